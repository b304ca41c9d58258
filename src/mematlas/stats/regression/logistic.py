"""Logistic regression by Newton's method, with what its theory gives: Wald intervals and likelihood-ratio tests.

P(hit | x) = 1 / (1 + exp(-(b0 + b x))). Without a penalty it is maximum likelihood (Cox 1958); with one it minimises
|b|^2 / 2 + C * sum of weights * losses, the intercept free, as the models of K2 do (L2 with C = 1, classes weighted so
that both count as much).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import chi2, norm

Floats = NDArray[np.float64]

SEED: Final = 1024  # K2
TEST_SHARE: Final = 0.2  # K2
_STEPS: Final = 100
_SMALLEST_STEP: Final = 1e-8
_LARGEST: Final = 30.0  # coefficient, or standard error, of a standardised feature that means separation (our choice)

_SEPARATED: Final = "the features separate the classes, or some rows of them: the coefficients grow without end"


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """A fitted model of `count` rows.

    coefficients: shape (1 + features,), the intercept first; error: their standard errors from the inverse information,
    None where they mean nothing (a penalty or weights: the model is then no maximum likelihood); log_likelihood: of
    the rows fitted, without weights or penalty; converged: whether Newton's method came to rest; reason: why not.
    """

    coefficients: Floats
    error: Floats | None
    log_likelihood: float
    count: int
    converged: bool
    reason: str | None = None

    def probabilities(self, features: ArrayLike) -> Floats:
        """P(hit) of each row: shape (rows, features) -> shape (rows,)."""
        return expit(_with_intercept(np.asarray(features, float)) @ self.coefficients)


@dataclass(frozen=True, slots=True, eq=False)
class Wald:
    """95 % Wald intervals and two-sided p of coefficients, each of shape (1 + features,)."""

    lower: Floats
    upper: Floats
    p: Floats


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """Twice the gain in log-likelihood of a larger model, and its p by chi-square with `freedom` degrees of freedom."""

    statistic: float
    freedom: int
    p: float


def fit_logistic(features: ArrayLike, hits: ArrayLike, *, penalty: float = 0.0, balanced: bool = False) -> Logistic:
    """Fit P(hit) to standardised features.

    Args:
        features: shape (rows, features), finite, standardised (see `standardised`); none gives the intercept alone.
        hits: shape (rows,), Boolean; both classes must be there.
        penalty: 1 / C; 0 is maximum likelihood.
        balanced: weigh each row by rows / (2 * rows of its class), as scikit-learn's class_weight="balanced" does.

    Raises:
        ValueError: shapes differ, a feature is not finite, the penalty is negative, or a class is empty.
    """
    x, y = _checked(features, hits)
    if penalty < 0:
        raise ValueError(f"a penalty is 0 or above, not {penalty}")
    weights = np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum())) if balanced else np.ones(len(y))
    ridge = np.diag([0.0] + [penalty] * (x.shape[1] - 1))
    coefficients, reason = _newton(x, y, weights, ridge)
    error = None
    if penalty == 0 and not balanced and reason is None:
        information = _information(x, x @ coefficients, weights)
        # rounding can bring the steps to rest where there is no maximum
        if np.linalg.eigvalsh(information)[0] < _LARGEST**-2:
            reason = _SEPARATED
        else:
            error = np.sqrt(np.diag(np.linalg.inv(information)))
    likelihood = log_likelihood(expit(x @ coefficients), y)
    return Logistic(coefficients, error, likelihood, len(y), reason is None, reason)


def _newton(x: Floats, y: NDArray[np.bool_], weights: Floats, ridge: Floats) -> tuple[Floats, str | None]:
    """The coefficients, and why they are not those sought. Steps are halved until they lower the loss."""
    at = np.zeros(x.shape[1])
    if not ridge.any() and np.linalg.matrix_rank(x) < x.shape[1]:
        return at, "features are linear combinations of one another"
    loss = _loss(x, y, weights, ridge, at)
    for _ in range(_STEPS):
        slope = x.T @ (weights * (y - expit(x @ at))) - ridge @ at
        try:
            step = np.linalg.solve(_information(x, x @ at, weights) + ridge, slope)
        except np.linalg.LinAlgError:
            return at, _SEPARATED
        while _loss(x, y, weights, ridge, at + step) > loss + 1e-9 and np.abs(step).max() > _SMALLEST_STEP:
            step = step / 2
        at = at + step
        loss = _loss(x, y, weights, ridge, at)
        if np.abs(at).max() > _LARGEST:
            return at, _SEPARATED
        if np.abs(step).max() <= _SMALLEST_STEP:
            return at, None
    return at, _SEPARATED


def _information(x: Floats, odds: Floats, weights: Floats) -> Floats:
    return (x * (weights * expit(odds) * expit(-odds))[:, None]).T @ x


def _loss(x: Floats, y: NDArray[np.bool_], weights: Floats, ridge: Floats, at: Floats) -> float:
    odds = x @ at
    return float(weights @ np.logaddexp(0, np.where(y, -odds, odds)) + at @ ridge @ at / 2)


def log_likelihood(probabilities: ArrayLike, hits: ArrayLike) -> float:
    """Of Boolean `hits` under `probabilities`, both of shape (rows,); natural logarithm, kept finite at 1e-15."""
    p = np.clip(np.asarray(probabilities, float), 1e-15, 1 - 1e-15)
    return float(np.where(np.asarray(hits, bool), np.log(p), np.log1p(-p)).sum())


def wald(model: Logistic) -> Wald | None:
    """Wald intervals and tests of a model's coefficients; None where it has no standard errors."""
    if model.error is None:
        return None
    half = float(norm.ppf(0.975)) * model.error
    p = 2 * norm.sf(np.abs(model.coefficients) / model.error)
    return Wald(model.coefficients - half, model.coefficients + half, p)


def likelihood_ratio(smaller: float, larger: float, freedom: int) -> LikelihoodRatio:
    """Wilks' test of log-likelihoods `smaller` and `larger`, of nested models fitted to the same rows.

    Raises:
        ValueError: freedom, by how many parameters the models differ, is below 1.
    """
    if freedom < 1:
        raise ValueError(f"nested models differ by one parameter or more, not {freedom}")
    statistic = max(0.0, 2 * (larger - smaller))
    return LikelihoodRatio(statistic, freedom, float(chi2.sf(statistic, freedom)))


def standardised(features: ArrayLike, like: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Features with mean 0 and standard deviation 1 over the rows `like`, and which columns vary there at all.

    Args:
        features: shape (rows, features). like: shape (rows,), the rows to learn from.

    Returns:
        shape (rows, varying features), and shape (features,): columns that stand still over `like` are left out.
    """
    x = np.asarray(features, float)
    mean, spread = x[like].mean(axis=0), x[like].std(axis=0)
    varies = spread > 1e-12 * np.maximum(1, np.abs(mean))
    return (x[:, varies] - mean[varies]) / spread[varies], varies


def held_out(
    hits: ArrayLike, groups: ArrayLike | None = None, *, share: float = TEST_SHARE, seed: int = SEED
) -> NDArray[np.bool_]:
    """Which rows to test on: shape (rows,).

    Without groups, `share` of the rows of each class (stratified). With them (one number a row), whole groups in drawn
    order until they hold `share` of the rows: no group is on both sides.
    """
    y = np.asarray(hits, bool)
    generator = np.random.default_rng(seed)
    test = np.zeros(len(y), dtype=bool)
    if groups is None:
        for members in (np.flatnonzero(y), np.flatnonzero(~y)):
            test[generator.permutation(members)[: round(share * len(members))]] = True
        return test
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(member)
    order = generator.permutation(len(sizes))
    before = np.concatenate([[0], np.cumsum(sizes[order])[:-1]])
    return np.isin(member, order[before + sizes[order] / 2 <= share * len(y)])


def _with_intercept(features: Floats) -> Floats:
    return np.column_stack([np.ones(len(features)), features])


def _checked(features: ArrayLike, hits: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    x, y = np.asarray(features, float), np.asarray(hits, bool)
    if x.ndim != 2 or y.shape != (len(x),):
        raise ValueError(f"features and hits must be of shapes (rows, features) and (rows,), not {x.shape}, {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError("features must be finite")
    if y.all() or not y.any():
        raise ValueError("both classes must hold rows")
    return _with_intercept(x), y
