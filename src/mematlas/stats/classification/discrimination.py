"""How well scores separate hits from misses, and how well they are calibrated as probabilities.

ROC-AUC with the interval of DeLong et al. (1988), by the ranks of Sun and Xu (2014); PR-AUC as average precision;
expected calibration error in bins of equal width (Guo et al. 2017), both with bootstrap intervals.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

CALIBRATION_BINS: Final = 5  # K2
BOOTSTRAP_SAMPLES: Final = 500  # our choice
_Z: Final = float(norm.ppf(0.975))

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


def roc_auc(scores: ArrayLike, hits: ArrayLike) -> MetricEstimate:
    """Probability that a hit scores above a miss (ties count half); 0.5: no discrimination.

    The interval is DeLong's, computed on the log-odds of the area so that it stays within 0 and 1 (our choice). It is
    None with fewer than two hits or misses, with perfect separation, and where all scores are tied.

    Args:
        scores, hits: shape (rows,); hits Boolean.

    Raises:
        ValueError: the shapes differ.
    """
    s, y = _validated(scores, hits)
    hit_scores, miss_scores = s[y], s[~y]
    if not len(hit_scores) or not len(miss_scores):
        return MetricEstimate(None, None, None, len(y), "DeLong 95 %")
    ranks = rankdata(np.concatenate([hit_scores, miss_scores]))
    above = (ranks[: len(hit_scores)] - rankdata(hit_scores)) / len(miss_scores)
    below = 1 - (ranks[len(hit_scores) :] - rankdata(miss_scores)) / len(hit_scores)
    area = float(above.mean())
    if min(len(hit_scores), len(miss_scores)) < 2 or not 0 < area < 1:
        return MetricEstimate(area, None, None, len(y), "DeLong 95 %")
    standard_error = (above.var(ddof=1) / len(hit_scores) + below.var(ddof=1) / len(miss_scores)) ** 0.5
    if standard_error == 0:
        return MetricEstimate(area, None, None, len(y), "DeLong 95 %")
    log_odds, half_width = logit(area), _Z * standard_error / (area * (1 - area))
    return MetricEstimate(
        area, float(expit(log_odds - half_width)), float(expit(log_odds + half_width)), len(y), "DeLong 95 %"
    )


def pr_auc(scores: ArrayLike, hits: ArrayLike, *, draws: int = BOOTSTRAP_SAMPLES, seed: int = 0) -> MetricEstimate:
    """Average precision: precision at each distinct score, weighted by the gain in recall; by chance it is the share of
    hits. Args, Raises: as `roc_auc`. The bootstrap resamples hits and misses separately, which keeps their share."""
    s, y = _validated(scores, hits)
    if not y.any() or y.all():
        return MetricEstimate(None, None, None, len(y), "bootstrap 95 %")
    return _bootstrap_interval(_average_precision, s, y, draws, seed)


def calibration_error(
    probabilities: ArrayLike, hits: ArrayLike, *, draws: int = BOOTSTRAP_SAMPLES, seed: int = 0
) -> MetricEstimate:
    """Expected calibration error: |share of hits - mean probability| in 5 bins of equal width, weighted by their rows.

    Even for true probabilities it is above 0 by chance, by more the fewer rows there are. Args, Raises: as `roc_auc`.
    """
    s, y = _validated(probabilities, hits)
    if not len(y):
        return MetricEstimate(None, None, None, 0, "bootstrap 95 %")
    return _bootstrap_interval(_calibration_error, s, y, draws, seed)


def _average_precision(scores: Floats, hits: Booleans) -> float:
    order = np.argsort(-scores, kind="stable")
    true_positives, scores = np.cumsum(hits[order]), scores[order]
    last_of_ties = np.append(scores[1:] != scores[:-1], True)
    true_positives, predicted_positives = true_positives[last_of_ties], np.arange(1, len(scores) + 1)[last_of_ties]
    return float((np.diff(true_positives, prepend=0) * true_positives / predicted_positives).sum() / hits.sum())


def _calibration_error(probabilities: Floats, hits: Booleans) -> float:
    bins = np.clip((probabilities * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, hits - probabilities, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(hits))


def _bootstrap_interval(
    metric: Callable[[Floats, Booleans], float], scores: Floats, hits: Booleans, draws: int, seed: int
) -> MetricEstimate:
    """`metric` with its bootstrap percentile interval; the bounds are None where all samples give the same value.

    The interval is widened to include the estimate, which may be outside of it if the metric is biased.
    """
    generator = np.random.default_rng(seed)
    strata = [indices for indices in (np.flatnonzero(hits), np.flatnonzero(~hits)) if len(indices)]
    estimate = metric(scores, hits)
    sampled = []
    for _ in range(draws):
        sample = np.concatenate([generator.choice(indices, len(indices)) for indices in strata])
        sampled.append(metric(scores[sample], hits[sample]))
    if np.ptp(sampled) == 0:
        return MetricEstimate(estimate, None, None, len(hits), "bootstrap 95 %")
    lower, upper = np.quantile(sampled, (0.025, 0.975))
    return MetricEstimate(
        estimate, min(float(lower), estimate), max(float(upper), estimate), len(hits), "bootstrap 95 %"
    )


def _validated(scores: ArrayLike, hits: ArrayLike) -> tuple[Floats, Booleans]:
    s, y = np.asarray(scores, float), np.asarray(hits, bool)
    if s.shape != y.shape or s.ndim != 1:
        raise ValueError(f"scores and hits must have the same shape (rows,), not {s.shape} and {y.shape}")
    return s, y
