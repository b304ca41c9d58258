"""How well scores separate hits from misses, and how well they are calibrated as probabilities.

ROC-AUC with the interval of DeLong et al. (1988), by the ranks of Sun and Xu (2014); PR-AUC as average precision, with
an interval from the bootstrap; expected calibration error in bins of equal width (Guo et al. 2017) beside that by
chance.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata
from scipy.stats import t as student_t

from mematlas.stats.estimates.clustered import dense_labels
from mematlas.stats.estimates.intervals import Z, wilson_interval

CALIBRATION_BINS: Final = 5  # K2
BOOTSTRAP_SAMPLES: Final = 500  # our choice
FEWEST_OF_A_CLASS: Final = 5  # rows (clusters) with hits, and with misses, for an interval of average precision
_MAX_WEIGHTS: Final = 2_000_000  # of resampled rows in memory at once
_PRIOR_ROWS: Final = 1.0  # rows that the largest possible variance counts as; our choice
_PRIOR_CLUSTERS: Final = 0.5  # the same where rows come in clusters, as in estimates/clustered.py
_PRECISION_INTERVAL: Final = "bootstrap 95 %, Student's t on the log-odds"
_AREA_INTERVAL: Final = "DeLong 95 %, one exact end where the classes are apart"

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MetricEstimate:
    """The value of a metric with its 95 % interval; None where there was nothing to compare."""

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    interval: str


@dataclass(frozen=True, slots=True)
class CalibrationEstimate:
    """A calibration error beside that of true probabilities; None where there was nothing to compare.

    by_chance: mean error that the same probabilities would have if they were true; by_chance_upper: 95 % of their
    errors are at most this. An error above it is evidence that the probabilities are not true.
    """

    estimate: float | None
    by_chance: float | None
    by_chance_upper: float | None
    count: int


def roc_auc(scores: ArrayLike, hits: ArrayLike, clusters: ArrayLike | None = None) -> MetricEstimate:
    """Probability that a hit scores above a miss (ties count half); 0.5: no discrimination.

    The interval is DeLong's, computed on the log-odds of the area so that it stays within 0 and 1 (our choice); with
    clusters its variance is that of their sums (Obuchowski 1997). Where few rows are out of order, its variance rests
    on these few and comes out too small: it is averaged with the largest possible one, area * (1 - area) / (rows of the
    smaller class), which counts as one row out of order, or as half a cluster (our choice), and the interval is never
    wider than Wilson's of as many separate pairs, which have the largest possible variance. Where the classes are
    wholly apart, one end is exact for every distribution: as many separate pairs as the smaller class has rows are all
    in order with probability area ** pairs, which is 2.5 % at that end. There is no interval for fewer than two hits or
    two misses that are not apart, and where all scores are tied.

    Args:
        scores, hits: shape (rows,); hits Boolean. clusters: shape (rows,), any numbers; rows of one number are not
            independent. None: all rows are.

    Raises:
        ValueError: the shapes differ.
    """
    s, y = _validated(scores, hits)
    hit_scores, miss_scores = s[y], s[~y]
    if not len(hit_scores) or not len(miss_scores):
        return MetricEstimate(None, None, None, len(y), _AREA_INTERVAL)
    placements = np.empty(len(y))  # of a hit the share of misses below it, of a miss the share of hits above it
    ranks = rankdata(np.concatenate([hit_scores, miss_scores]))
    placements[y] = (ranks[: len(hit_scores)] - rankdata(hit_scores)) / len(miss_scores)
    placements[~y] = 1 - (ranks[len(hit_scores) :] - rankdata(miss_scores)) / len(hit_scores)
    area = float(placements[y].mean())
    lower, upper = _area_interval(area, placements, y, None if clusters is None else np.asarray(clusters))
    return MetricEstimate(area, lower, upper, len(y), _AREA_INTERVAL)


def _area_interval(
    area: float, placements: Floats, hits: Booleans, clusters: NDArray[Any] | None
) -> tuple[float | None, float | None]:
    """The 95 % interval of `roc_auc`; None where there is none."""
    labels = np.arange(len(hits)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    units = [len(np.unique(labels[side])) for side in (hits, ~hits)]
    pairs = min(*units, len(np.unique(labels)) // 2)
    if area in (0.0, 1.0):
        end = 0.025 ** (1 / max(pairs, 1))
        return (end, 1.0) if area == 1 else (0.0, 1 - end)
    if min(units) < 2 or np.ptp(placements) == 0:
        return None, None
    influences = (placements - area) / np.where(hits, hits.sum(), (~hits).sum())
    if clusters is None:
        variance = sum(
            units_ / (units_ - 1) * float(influences[side] @ influences[side])
            for units_, side in zip(units, (hits, ~hits), strict=True)
        )
        quantile = Z
    else:
        sums = np.bincount(labels, influences)
        variance, quantile = (
            len(sums) / (len(sums) - 1) * float(sums @ sums),
            float(student_t.ppf(0.975, max(1, len(sums) - 2))),
        )
    informative = min(
        len(np.unique(labels[side & out_of_order]))
        for side in (hits, ~hits)
        for out_of_order in (placements < 1, placements > 0)
    )
    largest = max(variance, area * (1 - area) / pairs)
    prior = _PRIOR_ROWS if clusters is None else _PRIOR_CLUSTERS
    standard_error = ((informative * variance + prior * largest) / (informative + prior)) ** 0.5
    log_odds, half_width = logit(area), quantile * standard_error / (area * (1 - area))
    lowest, highest = wilson_interval(area, pairs * (Z / quantile) ** 2)
    return float(max(lowest, expit(log_odds - half_width))), float(min(highest, expit(log_odds + half_width)))


def pr_auc(
    scores: ArrayLike,
    hits: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    draws: int = BOOTSTRAP_SAMPLES,
    seed: int = 0,
) -> MetricEstimate:
    """Average precision: precision at each distinct score, weighted by the gain in recall; by chance it is the share of
    hits.

    The interval is normal on the log-odds (Boyd, Eng and Page 2013), with Student's t, and with the variance and bias
    of a bootstrap of all rows, or of whole clusters: percentiles of a bootstrap cover 82 % for 48 rows, since average
    precision is too high in small samples. Where few rows are out of order the variance rests on these few: it is
    averaged with that of a share of the hits, which counts as one hit (our choice).
    There is none where hits or misses have fewer than FEWEST_OF_A_CLASS rows (clusters), or all samples agree.

    Args, Raises: as `roc_auc`.
    """
    s, y = _validated(scores, hits)
    if not y.any() or y.all():
        return MetricEstimate(None, None, None, len(y), _PRECISION_INTERVAL)
    labels = dense_labels(clusters, len(y))
    unit = np.arange(len(y)) if labels is None else labels
    order = np.argsort(-s, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(s[order]) != 0, True))
    estimate = float(_average_precisions(y[order], np.ones((1, len(y))), last_of_ties)[0])
    units = min(len(np.unique(unit[side])) for side in (y, ~y))
    if units < FEWEST_OF_A_CLASS:
        return MetricEstimate(estimate, None, None, len(y), _PRECISION_INTERVAL)
    sampled = _resampled_precisions(y[order], unit[order], last_of_ties, draws, np.random.default_rng(seed))
    if np.ptp(sampled) == 0:
        return MetricEstimate(estimate, None, None, len(y), _PRECISION_INTERVAL)
    least = 0.1 / units  # away from 0 and 1, whose log-odds are infinite
    log_odds, samples = (logit(np.clip(values, least, 1 - least)) for values in (estimate, sampled))
    share = float(expit(log_odds))
    variance = float(samples.var(ddof=1))
    variance = (units * variance + max(variance, 1 / (units * share * (1 - share)))) / (units + 1)
    half_width = float(student_t.ppf(0.975, units - 1)) * variance**0.5
    center = 2 * float(log_odds) - float(samples.mean())
    lower, upper = float(expit(center - half_width)), float(expit(center + half_width))
    return MetricEstimate(estimate, min(lower, estimate), max(upper, estimate), len(y), _PRECISION_INTERVAL)


def _resampled_precisions(
    hits: Booleans,
    units: NDArray[np.int64],
    last_of_ties: NDArray[np.int64],
    draws: int,
    generator: np.random.Generator,
) -> Floats:
    """Average precisions of `draws` samples of units with replacement; those without a hit are left out."""
    count = int(units.max()) + 1
    batch, sampled = max(1, _MAX_WEIGHTS // len(hits)), []
    for start in range(0, draws, batch):
        drawn = [
            np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(min(batch, draws - start))
        ]
        weights = np.array(drawn, np.float64)[:, units]
        sampled.append(_average_precisions(hits, weights[weights @ hits > 0], last_of_ties))
    return np.concatenate(sampled)


def _average_precisions(hits: Booleans, weights: Floats, last_of_ties: NDArray[np.int64]) -> Floats:
    """Average precision for each line of weights [samples, rows]; rows by descending score, hits [rows].

    last_of_ties: the last row of each distinct score.
    """
    true_positives = np.cumsum(weights * hits, axis=1)[:, last_of_ties]
    predicted_positives = np.cumsum(weights, axis=1)[:, last_of_ties]
    gains = np.diff(true_positives, axis=1, prepend=0)
    # of a score without a row in the sample the gain is 0
    return (gains * true_positives / np.maximum(predicted_positives, 1)).sum(1) / true_positives[:, -1]


def calibration_error(
    probabilities: ArrayLike,
    hits: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    draws: int = BOOTSTRAP_SAMPLES,
    seed: int = 0,
) -> CalibrationEstimate:
    """Expected calibration error: |share of hits - mean probability| in 5 bins of equal width, weighted by their rows.

    Even for true probabilities it is above 0 by chance, by more the fewer rows there are, so that no interval about it
    can contain a true error of 0. It is given with what true probabilities would give instead: hits are drawn with the
    probabilities, independently of each other; with clusters the signs of all errors of a cluster are flipped at random
    instead, which keeps what its rows have in common (our choice). Args, Raises: as `roc_auc`.
    """
    s, y = _validated(probabilities, hits)
    if not len(y):
        return CalibrationEstimate(None, None, None, 0)
    labels, generator = dense_labels(clusters, len(y)), np.random.default_rng(seed)

    def errors_by_chance() -> Floats:
        if labels is None:
            return (generator.random(len(s)) < s) - s
        signs = generator.integers(0, 2, int(labels.max()) + 1) * 2.0 - 1
        return signs[labels] * (y - s)

    by_chance = [_calibration_error(s, errors_by_chance()) for _ in range(draws)]
    return CalibrationEstimate(
        _calibration_error(s, y - s), float(np.mean(by_chance)), float(np.quantile(by_chance, 0.95)), len(y)
    )


def _calibration_error(probabilities: Floats, errors: Floats) -> float:
    """errors: of each row, 1 or 0 for a hit or a miss, minus its probability."""
    bins = np.clip((probabilities * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, errors, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(errors))


def _validated(scores: ArrayLike, hits: ArrayLike) -> tuple[Floats, Booleans]:
    s, y = np.asarray(scores, float), np.asarray(hits, bool)
    if s.shape != y.shape or s.ndim != 1:
        raise ValueError(f"scores and hits must have the same shape (rows,), not {s.shape} and {y.shape}")
    return s, y
