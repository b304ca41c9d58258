"""How well scores tell hits from misses, and how true they are as probabilities.

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

BINS: Final = 5  # K2
DRAWS: Final = 500  # our choice
_Z: Final = float(norm.ppf(0.975))

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its 95 % interval; None where there was nothing to compare."""

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    interval: str


def roc_auc(scores: ArrayLike, hits: ArrayLike) -> Measure:
    """Chance that a hit scores above a miss (ties count half): 0.5 tells nothing apart.

    The interval is DeLong's, on the log-odds of the area so that it stays within 0 and 1 (our choice); None with fewer
    than two hits or misses, and where nothing varies: hits and misses wholly apart, or all scores tied.

    Args:
        scores, hits: shape (rows,); hits Boolean.

    Raises:
        ValueError: the shapes differ.
    """
    s, y = _checked(scores, hits)
    of_hits, of_misses = s[y], s[~y]
    if not len(of_hits) or not len(of_misses):
        return Measure(None, None, None, len(y), "DeLong 95 %")
    both = rankdata(np.concatenate([of_hits, of_misses]))
    above = (both[: len(of_hits)] - rankdata(of_hits)) / len(of_misses)
    below = 1 - (both[len(of_hits) :] - rankdata(of_misses)) / len(of_hits)
    area = float(above.mean())
    if min(len(of_hits), len(of_misses)) < 2 or not 0 < area < 1:
        return Measure(area, None, None, len(y), "DeLong 95 %")
    error = (above.var(ddof=1) / len(of_hits) + below.var(ddof=1) / len(of_misses)) ** 0.5
    if error == 0:
        return Measure(area, None, None, len(y), "DeLong 95 %")
    odds, half = logit(area), _Z * error / (area * (1 - area))
    return Measure(area, float(expit(odds - half)), float(expit(odds + half)), len(y), "DeLong 95 %")


def pr_auc(scores: ArrayLike, hits: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> Measure:
    """Average precision: precision at each distinct score, weighted by the recall gained there; chance is the share of
    hits. Args, Raises: as `roc_auc`; the bootstrap draws hits and misses apart, so that their share stays."""
    s, y = _checked(scores, hits)
    if not y.any() or y.all():
        return Measure(None, None, None, len(y), "bootstrap 95 %")
    return _bootstrapped(_average_precision, s, y, draws, seed)


def calibration_error(probabilities: ArrayLike, hits: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> Measure:
    """Expected calibration error: |share of hits - mean probability| in 5 bins of equal width, weighted by their rows.

    It is above 0 by chance even for true probabilities, the more so the fewer the rows. Args, Raises: as `roc_auc`.
    """
    s, y = _checked(probabilities, hits)
    if not len(y):
        return Measure(None, None, None, 0, "bootstrap 95 %")
    return _bootstrapped(_calibration, s, y, draws, seed)


def _average_precision(scores: Floats, hits: Truth) -> float:
    order = np.argsort(-scores, kind="stable")
    found, scores = np.cumsum(hits[order]), scores[order]
    last = np.append(scores[1:] != scores[:-1], True)
    found, taken = found[last], np.arange(1, len(scores) + 1)[last]
    return float((np.diff(found, prepend=0) * found / taken).sum() / hits.sum())


def _calibration(probabilities: Floats, hits: Truth) -> float:
    place = np.clip((probabilities * BINS).astype(int), 0, BINS - 1)
    gaps = np.bincount(place, hits - probabilities, minlength=BINS)
    return float(np.abs(gaps).sum() / len(hits))


def _bootstrapped(
    measure: Callable[[Floats, Truth], float], scores: Floats, hits: Truth, draws: int, seed: int
) -> Measure:
    """`measure` with its percentile interval; the ends are None where all samples are the same.

    The interval is widened to hold the estimate, which a biased measure may leave.
    """
    generator = np.random.default_rng(seed)
    classes = [members for members in (np.flatnonzero(hits), np.flatnonzero(~hits)) if len(members)]
    estimate = measure(scores, hits)
    drawn = []
    for _ in range(draws):
        sample = np.concatenate([generator.choice(members, len(members)) for members in classes])
        drawn.append(measure(scores[sample], hits[sample]))
    if np.ptp(drawn) == 0:
        return Measure(estimate, None, None, len(hits), "bootstrap 95 %")
    lower, upper = np.quantile(drawn, (0.025, 0.975))
    return Measure(estimate, min(float(lower), estimate), max(float(upper), estimate), len(hits), "bootstrap 95 %")


def _checked(scores: ArrayLike, hits: ArrayLike) -> tuple[Floats, Truth]:
    s, y = np.asarray(scores, float), np.asarray(hits, bool)
    if s.shape != y.shape or s.ndim != 1:
        raise ValueError(f"scores and hits must be of one shape (rows,), not {s.shape} and {y.shape}")
    return s, y
