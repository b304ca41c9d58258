"""How well predicted probabilities tell which tokens are recited, each token with a weight.

AUROC and average precision are scikit-learn's. Accuracy and F1 at a probability of 1/2 are sums of weights, which the
tests hold against scikit-learn's; the calibration error has the bins of `discrimination`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.metrics import auc, average_precision_score, roc_curve

from mematlas.stats.classification.discrimination import BINS

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Numbers between 0 and 1; None where there is nothing to count, or, for auroc, auprc and f1, nothing to find.

    count: tokens; base_rate: weighted share of hits; guess: accuracy of always saying the commoner class; accuracy: at
    a probability of 1/2 or more; auroc; auprc: average precision of the hits; f1: of the hits, at 1/2; ece: |share of
    hits - mean probability| in bins of equal width, weighted.
    """

    count: int
    base_rate: float | None = None
    guess: float | None = None
    accuracy: float | None = None
    auroc: float | None = None
    auprc: float | None = None
    f1: float | None = None
    ece: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Bins of equal width from 0 to 1. count: tokens in each; weight: share of all weight; probability: weighted mean
    of the probabilities; share: weighted share of hits; NaN in empty bins. All of shape (bins,)."""

    count: NDArray[np.int64]
    weight: Floats
    probability: Floats
    share: Floats


def token_scores(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> TokenScores:
    """How well probabilities fit hits.

    auroc and auprc are None where one class is absent, f1 where there is no hit.

    Args:
        probabilities, hits, weights: shape (tokens,); hits Boolean, weights above 0.

    Raises:
        ValueError: the shapes differ.
    """
    p, y, w = _checked(probabilities, hits, weights)
    if not len(y):
        return TokenScores(0)
    share, said = float(np.average(y, weights=w)), p >= 0.5
    found, called = w[y & said].sum(), w[said].sum() + w[y].sum()
    both = bool(y.any() and not y.all())
    cells = calibration(p, y, w)
    gaps = cells.weight * np.abs(cells.share - cells.probability)
    return TokenScores(
        len(y),
        base_rate=share,
        guess=max(share, 1 - share),
        accuracy=float(np.average(y == said, weights=w)),
        auroc=weighted_auroc(p, y, w),
        auprc=_average_precision(p, y, w) if both else None,
        f1=float(2 * found / called) if y.any() else None,
        ece=float(np.nansum(gaps)),
    )


def weighted_auroc(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> float | None:
    """Chance that a hit has a higher probability than a miss, ties counting half; None where one class is absent.

    Args, Raises: as `token_scores`.
    """
    p, y, w = _checked(probabilities, hits, weights)
    if not y.any() or y.all():
        return None
    with config_context(assume_finite=True, skip_parameter_validation=True):
        false, true, _ = roc_curve(y, p, sample_weight=w, drop_intermediate=False)
        return min(1.0, float(auc(false, true)))


def calibration(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> Calibration:
    """Probabilities beside what came true, in 5 bins of equal width. Args, Raises: as `token_scores`."""
    p, y, w = _checked(probabilities, hits, weights)
    place = np.clip((p * BINS).astype(int), 0, BINS - 1)
    total, meant, true = (np.bincount(place, w * values, minlength=BINS) for values in (1.0, p, y))
    with np.errstate(invalid="ignore"):
        return Calibration(np.bincount(place, minlength=BINS), total / total.sum(), meant / total, true / total)


def _average_precision(p: Floats, y: Truth, w: Floats) -> float:
    with config_context(assume_finite=True, skip_parameter_validation=True):
        return min(1.0, float(average_precision_score(y, p, sample_weight=w)))


def _checked(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> tuple[Floats, Truth, Floats]:
    p, y, w = np.asarray(probabilities, float), np.asarray(hits, bool), np.asarray(weights, float)
    if p.ndim != 1 or not p.shape == y.shape == w.shape:
        raise ValueError(f"probabilities, hits and weights are of shapes {p.shape}, {y.shape}, {w.shape}: not one")
    return p, y, w
