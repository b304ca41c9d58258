"""Logistic regression by Newton's method, with Wald intervals and likelihood-ratio tests.

P(hit | x) = 1 / (1 + exp(-(b0 + b x))). Without a penalty it is maximum likelihood (Cox 1958); with one it minimizes
|b|^2 / 2 + C * sum of weights * losses, where the intercept is not penalized, as in K2 (L2 with C = 1 and balanced
class weights).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import chi2, norm
from scipy.stats import t as student_t

from mematlas.stats.estimates.clustered import dense_labels, sum_by_label

Floats = NDArray[np.float64]

SEED: Final = 1024  # K2
TEST_SHARE: Final = 0.2  # K2
MAX_JACKKNIFED: Final = 1000  # clusters, our choice: with more both kinds of errors are the same to a few per mille
_MAX_STEPS: Final = 100
_MIN_STEP: Final = 1e-8
#: A larger coefficient or standard error of a standardized feature means that the classes are separated (our choice).
_MAX_COEFFICIENT: Final = 30.0

_SEPARATED: Final = "the features separate the classes, or some rows of them: the coefficients grow without end"


@dataclass(frozen=True, slots=True, eq=False)
class LogisticModel:
    """A model fitted to `count` rows.

    coefficients: shape (1 + features,), the intercept first; standard_errors: from the inverse information, None where
    they are undefined (with a penalty or weights the model is not a maximum likelihood estimate), over clusters where
    these are given; log_likelihood: of the fitted rows, without weights or penalty; converged: whether Newton's method
    converged; reason: why it did not; clusters: clusters fitted to, None where all rows are independent.
    """

    coefficients: Floats
    standard_errors: Floats | None
    log_likelihood: float
    count: int
    converged: bool
    reason: str | None = None
    clusters: int | None = None

    def probabilities(self, features: ArrayLike) -> Floats:
        """P(hit) of each row: shape (rows, features) -> shape (rows,)."""
        return expit(_with_intercept(np.asarray(features, float)) @ self.coefficients)


@dataclass(frozen=True, slots=True, eq=False)
class WaldTest:
    """95 % Wald intervals and two-sided p-values of coefficients, each of shape (1 + features,)."""

    lower: Floats
    upper: Floats
    p: Floats


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """Twice the gain in log-likelihood of a larger model, and its chi-square p at `freedom` degrees of freedom."""

    statistic: float
    freedom: int
    p: float


def fit_logistic(
    features: ArrayLike,
    hits: ArrayLike,
    *,
    penalty: float = 0.0,
    balanced: bool = False,
    clusters: ArrayLike | None = None,
) -> LogisticModel:
    """Fit P(hit) as a function of standardized features.

    Args:
        features: shape (rows, features), finite, standardized (see `standardize`); none: only the intercept.
        hits: shape (rows,), Boolean; both classes must occur.
        penalty: 1 / C; 0 is maximum likelihood.
        balanced: weight each row by rows / (2 * rows of its class), as scikit-learn's class_weight="balanced" does.
        clusters: shape (rows,), any numbers; rows of one number are not independent, and standard errors are those of
            the jackknife over clusters (CV3: Bell and McCaffrey 2002; MacKinnon, Nielsen and Webb 2023), for more than
            MAX_JACKKNIFED those of Liang and Zeger (1986) with the factor m / (m - 1) for m clusters. None: all rows
            are.

    Raises:
        ValueError: shapes differ, a feature is not finite, the penalty is negative, or a class is empty.
    """
    x, y = _validated(features, hits)
    if penalty < 0:
        raise ValueError(f"penalty must be 0 or above, not {penalty}")
    weights = np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum())) if balanced else np.ones(len(y))
    ridge = np.diag([0.0] + [penalty] * (x.shape[1] - 1))
    coefficients, reason = _newton(x, y, weights, ridge)
    error, labels = None, dense_labels(clusters, len(y))
    if penalty == 0 and not balanced and reason is None:
        information = _information(x, x @ coefficients, weights)
        # by rounding, the steps can converge where there is no maximum
        if np.linalg.eigvalsh(information)[0] < _MAX_COEFFICIENT**-2:
            reason = _SEPARATED
        else:
            error = _standard_errors(x, y, coefficients, labels)
    fitted_likelihood = log_likelihood(expit(x @ coefficients), y)
    units = None if labels is None else int(labels.max()) + 1
    return LogisticModel(coefficients, error, fitted_likelihood, len(y), reason is None, reason, units)


def _standard_errors(
    x: Floats, y: NDArray[np.bool_], coefficients: Floats, labels: NDArray[np.int64] | None
) -> Floats | None:
    """From the inverse information, or over clusters; None where these do not determine them.

    Over clusters they are jackknife errors by one Newton step from all clusters to all but one; for many clusters they
    are those of the sums of scores, to which they converge.
    """
    probabilities = expit(x @ coefficients)
    information = _information(x, x @ coefficients, np.ones(len(x)))
    if labels is None:
        return np.sqrt(np.diag(np.linalg.inv(information)))
    totals = sum_by_label(labels, x * (y - probabilities)[:, None])
    clusters = len(totals)
    if clusters <= len(information):
        return None
    if clusters > MAX_JACKKNIFED:
        inverse = np.linalg.inv(information)
        return np.sqrt(clusters / (clusters - 1) * np.diag(inverse @ (totals.T @ totals) @ inverse))
    order, ends = np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))
    scaled = (x * np.sqrt(probabilities * (1 - probabilities))[:, None])[order]
    without = [information - rows.T @ rows for rows in np.split(scaled, ends[:-1])]
    # a cluster without which a coefficient has no value
    if min(np.linalg.eigvalsh(np.array(without))[:, 0]) < _MAX_COEFFICIENT**-2:
        return None
    changes = np.linalg.solve(np.array(without), totals[:, :, None])[:, :, 0]
    return np.sqrt((clusters - 1) / clusters * np.square(changes).sum(0))


def _newton(x: Floats, y: NDArray[np.bool_], weights: Floats, ridge: Floats) -> tuple[Floats, str | None]:
    """The coefficients, and the reason if they did not converge. Steps are halved until they lower the loss."""
    coefficients = np.zeros(x.shape[1])
    if not ridge.any() and np.linalg.matrix_rank(x) < x.shape[1]:
        return coefficients, "features are linear combinations of one another"
    loss = _loss(x, y, weights, ridge, coefficients)
    for _ in range(_MAX_STEPS):
        gradient = x.T @ (weights * (y - expit(x @ coefficients))) - ridge @ coefficients
        try:
            step = np.linalg.solve(_information(x, x @ coefficients, weights) + ridge, gradient)
        except np.linalg.LinAlgError:
            return coefficients, _SEPARATED
        while _loss(x, y, weights, ridge, coefficients + step) > loss + 1e-9 and np.abs(step).max() > _MIN_STEP:
            step = step / 2
        coefficients = coefficients + step
        loss = _loss(x, y, weights, ridge, coefficients)
        if np.abs(coefficients).max() > _MAX_COEFFICIENT:
            return coefficients, _SEPARATED
        if np.abs(step).max() <= _MIN_STEP:
            return coefficients, None
    return coefficients, _SEPARATED


def _information(x: Floats, odds: Floats, weights: Floats) -> Floats:
    return (x * (weights * expit(odds) * expit(-odds))[:, None]).T @ x


def _loss(x: Floats, y: NDArray[np.bool_], weights: Floats, ridge: Floats, coefficients: Floats) -> float:
    odds = x @ coefficients
    return float(weights @ np.logaddexp(0, np.where(y, -odds, odds)) + coefficients @ ridge @ coefficients / 2)


def log_likelihood(probabilities: ArrayLike, hits: ArrayLike) -> float:
    """Natural log-likelihood of Boolean `hits` under probabilities clipped at 1e-15, both of shape (rows,)."""
    p = np.clip(np.asarray(probabilities, float), 1e-15, 1 - 1e-15)
    return float(np.where(np.asarray(hits, bool), np.log(p), np.log1p(-p)).sum())


def wald_test(model: LogisticModel) -> WaldTest | None:
    """Wald intervals and tests of a model's coefficients; None if it has no standard errors.

    They are normal or, with clusters, Student's at m - 1 degrees of freedom for m clusters.
    """
    if model.standard_errors is None:
        return None
    distribution = norm if model.clusters is None else student_t(max(1, model.clusters - 1))
    half_width = float(distribution.ppf(0.975)) * model.standard_errors
    p = 2 * distribution.sf(np.abs(model.coefficients) / model.standard_errors)
    return WaldTest(model.coefficients - half_width, model.coefficients + half_width, p)


def likelihood_ratio_test(smaller: float, larger: float, freedom: int) -> LikelihoodRatio:
    """Wilks' test of two nested models fitted to the same rows, from their log-likelihoods `smaller` and `larger`.

    Raises:
        ValueError: freedom, the number of additional parameters, is below 1.
    """
    if freedom < 1:
        raise ValueError(f"nested models must differ by at least one parameter, not {freedom}")
    statistic = max(0.0, 2 * (larger - smaller))
    return LikelihoodRatio(statistic, freedom, float(chi2.sf(statistic, freedom)))


def standardize(features: ArrayLike, training_rows: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Scale features to mean 0 and standard deviation 1 over the training rows, and drop those constant there.

    Args:
        features: shape (rows, features). training_rows: shape (rows,), Boolean.

    Returns:
        the scaled features, shape (rows, varying features), and a mask of the kept columns, shape (features,).
    """
    x = np.asarray(features, float)
    mean, deviations = x[training_rows].mean(axis=0), x[training_rows].std(axis=0)
    is_varying = deviations > 1e-12 * np.maximum(1, np.abs(mean))
    return (x[:, is_varying] - mean[is_varying]) / deviations[is_varying], is_varying


def held_out_rows(
    hits: ArrayLike, groups: ArrayLike | None = None, *, share: float = TEST_SHARE, seed: int = SEED
) -> NDArray[np.bool_]:
    """Random train-test split: a mask of the test rows, shape (rows,).

    Without groups, `share` of the rows of each class (stratified). With groups (one number per row), whole groups in
    random order until they contain `share` of the rows: no group is in both parts.
    """
    y = np.asarray(hits, bool)
    generator = np.random.default_rng(seed)
    test = np.zeros(len(y), dtype=bool)
    if groups is None:
        for rows in (np.flatnonzero(y), np.flatnonzero(~y)):
            test[generator.permutation(rows)[: round(share * len(rows))]] = True
        return test
    _, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(group_of_row)
    order = generator.permutation(len(sizes))
    rows_before = np.concatenate([[0], np.cumsum(sizes[order])[:-1]])
    return np.isin(group_of_row, order[rows_before + sizes[order] / 2 <= share * len(y)])


def _with_intercept(features: Floats) -> Floats:
    return np.column_stack([np.ones(len(features)), features])


def _validated(features: ArrayLike, hits: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    x, y = np.asarray(features, float), np.asarray(hits, bool)
    if x.ndim != 2 or y.shape != (len(x),):
        raise ValueError(f"features and hits must be of shapes (rows, features) and (rows,), not {x.shape}, {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError("features must be finite")
    if y.all() or not y.any():
        raise ValueError("both classes must have rows")
    return _with_intercept(x), y
