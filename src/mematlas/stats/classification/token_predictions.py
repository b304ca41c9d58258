"""How well predicted probabilities match which tokens are recited; every token has a weight.

AUROC, average precision, accuracy and F1 at a threshold of 1/2 are sums of weights, compared with scikit-learn's in the
tests; the calibration error uses the bins of `discrimination`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.classification.discrimination import CALIBRATION_BINS

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Weighted metrics between 0 and 1; None without tokens, and for auroc, auprc and f1 where they are undefined.

    count: tokens; base_rate: weighted share of hits; guess: accuracy of always predicting the majority class; accuracy:
    at a threshold of 1/2; auroc; auprc: average precision of the hits; f1: of the hits, at a threshold of 1/2; ece:
    expected calibration error, |share of hits - mean probability| in bins of equal width, weighted.
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
    """Bins of equal width from 0 to 1; all fields are of shape (bins,).

    count: tokens in each bin; weight: share of the total weight; probability: weighted mean of the probabilities;
    share: weighted share of hits. The last two are NaN in empty bins.
    """

    count: NDArray[np.int64]
    weight: Floats
    probability: Floats
    share: Floats


def token_scores(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> TokenScores:
    """All metrics of predicted probabilities against the true outcomes.

    auroc and auprc are None where one class is absent, f1 where there is no hit.

    Args:
        probabilities, hits, weights: shape (tokens,); hits Boolean, weights above 0.

    Raises:
        ValueError: the shapes differ.
    """
    p, y, w = _validated(probabilities, hits, weights)
    if not len(y):
        return TokenScores(0)
    share, predicted = float(np.average(y, weights=w)), p >= 0.5
    true_positives, predicted_plus_true = w[y & predicted].sum(), w[predicted].sum() + w[y].sum()
    both_classes = bool(y.any() and not y.all())
    bins = calibration(p, y, w)
    gaps = bins.weight * np.abs(bins.share - bins.probability)
    return TokenScores(
        len(y),
        base_rate=share,
        guess=max(share, 1 - share),
        accuracy=float(np.average(y == predicted, weights=w)),
        auroc=weighted_auroc(p, y, w),
        auprc=_average_precision(p, y, w) if both_classes else None,
        f1=float(2 * true_positives / predicted_plus_true) if y.any() else None,
        ece=float(np.nansum(gaps)),
    )


def weighted_auroc(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> float | None:
    """Weighted AUROC, with ties counting half; None where one class is absent.

    Args, Raises: as `token_scores`.
    """
    p, y, w = _validated(probabilities, hits, weights)
    if not y.any() or y.all():
        return None
    hits_so_far, misses_so_far = _sums_from_the_top(p, y, w)
    area = np.trapezoid(np.append(0, hits_so_far), np.append(0, misses_so_far))
    return min(1.0, float(area / (hits_so_far[-1] * misses_so_far[-1])))


def auroc_influences(
    probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike
) -> tuple[float, NDArray[np.float64]] | None:
    """`weighted_auroc`, and what each token contributes to its deviation from the true value.

    The contributions sum to 0; the variance of the area is about the sum over independent groups of tokens of their
    squared sums (DeLong et al. 1988; for clusters Obuchowski 1997).

    Args, Raises: as `token_scores`.

    Returns:
        the area and an array of shape (tokens,); None where one class is absent.
    """
    p, y, w = _validated(probabilities, hits, weights)
    if not y.any() or y.all():
        return None
    order = np.unique(p, return_inverse=True)[1]
    hit_weights, miss_weights = (np.bincount(order, w * side, minlength=order.max() + 1) for side in (y, ~y))
    misses_below = (np.cumsum(miss_weights) - miss_weights / 2) / miss_weights.sum()
    hits_above = 1 - (np.cumsum(hit_weights) - hit_weights / 2) / hit_weights.sum()
    placements = np.where(y, misses_below[order], hits_above[order])
    area = float(np.average(placements[y], weights=w[y]))
    return area, w * (placements - area) / np.where(y, hit_weights.sum(), miss_weights.sum())


def calibration(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> Calibration:
    """Mean probability and share of hits in 5 bins of equal width (reliability curve). Args, Raises: `token_scores`."""
    p, y, w = _validated(probabilities, hits, weights)
    bins = np.clip((p * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    weight_sums, probability_sums, hit_sums = (
        np.bincount(bins, w * values, minlength=CALIBRATION_BINS) for values in (1.0, p, y)
    )
    with np.errstate(invalid="ignore"):
        return Calibration(
            np.bincount(bins, minlength=CALIBRATION_BINS),
            weight_sums / weight_sums.sum(),
            probability_sums / weight_sums,
            hit_sums / weight_sums,
        )


def _average_precision(p: Floats, y: Booleans, w: Floats) -> float:
    hits_so_far, misses_so_far = _sums_from_the_top(p, y, w)
    precisions = hits_so_far / (hits_so_far + misses_so_far)
    return min(1.0, float((np.diff(hits_so_far, prepend=0) * precisions).sum() / hits_so_far[-1]))


def _sums_from_the_top(p: Floats, y: Booleans, w: Floats) -> tuple[Floats, Floats]:
    """Weights of the hits, and of the misses, with at least each distinct probability, the highest first."""
    order = np.argsort(-p, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)
    hits, misses = (np.cumsum(np.where(side, w, 0.0)[order])[last_of_ties] for side in (y, ~y))
    return hits, misses


def _validated(probabilities: ArrayLike, hits: ArrayLike, weights: ArrayLike) -> tuple[Floats, Booleans, Floats]:
    p, y, w = np.asarray(probabilities, float), np.asarray(hits, bool), np.asarray(weights, float)
    if p.ndim != 1 or not p.shape == y.shape == w.shape:
        raise ValueError(
            f"probabilities, hits and weights must have the same shape (tokens,), not {p.shape}, {y.shape}, {w.shape}"
        )
    return p, y, w
