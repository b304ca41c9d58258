"""How far apart the shares of labels are in two samples, and which of two samples a third one is nearer to.

The distance is the total variation distance, half the sum of absolute differences: the largest difference of any set of
labels, between 0 and 1. It is above 0 for two samples of the same shares, too, and more so for small ones; so each
number stands beside its mean under permutations. Units are clusters of texts, permuted and drawn as a whole; clusters
with the same counts are interchangeable, so that a permutation costs as much as there are kinds of clusters. p-values
are (1 + permutations with at least this statistic) / (1 + permutations) (Phipson and Smyth 2010), intervals percentiles
of a bootstrap of clusters (Efron 1979). Distance and tests are our choice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERMUTATIONS: Final = 9_999
_ENDS: Final = (0.025, 0.975)
_TOLERANCE: Final = 1e-9  # rounding must not make permutations with the same statistic differ

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number with its 95 % bootstrap interval, its mean under permutations, and the p-value that they give."""

    estimate: float
    lower: float
    upper: float
    permuted: float
    p: float


def total_variation(first: ArrayLike, second: ArrayLike) -> Floats:
    """The distance of two sets of counts, shape (..., labels) each; NaN for one without a text."""
    return np.asarray(0.5 * np.abs(_shares(first) - _shares(second)).sum(-1))


def distance_of_shares(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Statistic:
    """The distance of two samples; clusters are permuted between the two, and p is one-sided: of a larger distance.

    Args:
        first, second: counts of labels in each cluster, shape (clusters, labels), no cluster without a text.
    """
    kinds, (one, two) = _kinds(first, second)
    generator = np.random.default_rng([seed, 1])
    observed = float(total_variation(one @ kinds, two @ kinds))
    drawn = _dealt(one, two, generator)
    permuted = total_variation(drawn @ kinds, (one + two - drawn) @ kinds)
    resampled = total_variation(_resampled(one, generator) @ kinds, _resampled(two, generator) @ kinds)
    return _statistic(observed, permuted, resampled, _p(permuted >= observed - _TOLERANCE))


def nearer_to(sample: ArrayLike, first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Statistic:
    """The distance of `sample` from `second` less that from `first`: above 0 if it is nearer to the first.

    Clusters are permuted between first and second, so that a difference that comes from their sizes alone is not
    significant; p is two-sided: twice the smaller of both sides. The interval knows how uncertain all three are. A
    sample is nearer to one of the two if the interval excludes 0 and p is small: both together keep the level of 5 %,
    or nearly so, for two samples of equal shares and at the middle of two that differ
    (tests/stats/hypotheses/test_label_shares.py).

    Args:
        sample, first, second: counts of labels in each cluster, shape (clusters, labels), none without a text.
    """
    kinds, (own, one, two) = _kinds(sample, first, second)
    generator = np.random.default_rng([seed, 2])

    def difference(middle: Counts, near: Counts, far: Counts) -> Floats:
        shares = middle @ kinds
        return np.asarray(total_variation(shares, far @ kinds) - total_variation(shares, near @ kinds))

    drawn = _dealt(one, two, generator)
    resampled = difference(*(_resampled(each, generator) for each in (own, one, two)))
    observed, permuted = float(difference(own, one, two)), difference(own, drawn, one + two - drawn)
    p = 2 * min(_p(permuted >= observed - _TOLERANCE), _p(permuted <= observed + _TOLERANCE))
    return _statistic(observed, permuted, resampled, min(p, 1.0))


def _p(as_far: NDArray[np.bool_]) -> float:
    return (1 + int(as_far.sum())) / (1 + len(as_far))


def _statistic(observed: float, permuted: Floats, resampled: Floats, p: float) -> Statistic:
    lower, upper = np.quantile(resampled, _ENDS)
    return Statistic(observed, float(lower), float(upper), float(permuted.mean()), p)


def _shares(counts: ArrayLike) -> Floats:
    array = np.asarray(counts, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(array / array.sum(-1, keepdims=True))


def _kinds(*samples: ArrayLike) -> tuple[Counts, list[Counts]]:
    """The distinct counts of clusters [kinds, labels], and how many clusters of each kind a sample has [kinds]."""
    arrays = [np.asarray(sample, np.int64) for sample in samples]
    kinds, labels = np.unique(np.concatenate(arrays), axis=0, return_inverse=True)
    parts = np.split(labels.reshape(-1), np.cumsum([len(array) for array in arrays])[:-1])
    return kinds, [np.bincount(part, minlength=len(kinds)) for part in parts]


def _dealt(one: Counts, two: Counts, generator: np.random.Generator) -> Counts:
    """As many clusters as in `one`, drawn from both without replacement: [permutations, kinds]."""
    return generator.multivariate_hypergeometric(one + two, int(one.sum()), PERMUTATIONS, method="marginals")


def _resampled(sample: Counts, generator: np.random.Generator) -> Counts:
    """As many clusters as a sample has, drawn from it with replacement: [draws, kinds]."""
    return generator.multinomial(int(sample.sum()), sample / sample.sum(), PERMUTATIONS)
