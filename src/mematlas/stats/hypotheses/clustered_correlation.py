"""Spearman's correlation of pairs that belong to clusters: bootstrap over clusters, and a permutation null of clusters.

Pairs of one cluster (n-grams of one example) are not independent. The interval has the middle 95 % of resampled
clusters (percentile bootstrap, Efron 1979; Field and Welsh 2007). Under the null hypothesis the second column moves in
whole clusters (`label_shuffles`), so that what pairs of a cluster share is kept. p = (1 + shuffles at least as far from
0) / (1 + shuffles), which is never 0 (Phipson and Smyth 2010). Ties have mean ranks, as in scipy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau

from mematlas.stats.estimates.clustered import dense_labels
from mematlas.stats.hypotheses.label_shuffles import label_shuffles

RESAMPLES: Final = 999
SHUFFLES: Final = 999
FEWEST: Final = 4  # clusters; of three, p cannot be below 1/3
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClusteredSpearman:
    """The coefficient with its 95 % interval, two-sided p and the middle 95 % of shuffles; None if not defined.

    partial: the coefficient with the third column held fixed, None without one; tau_distance: (1 - Kendall's tau-b) /
    2, 0 for the same order and 1 for the reversed one; pairs, clusters: behind it; reason: why there is none.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    p: float | None
    null_lower: float | None
    null_upper: float | None
    partial: float | None
    tau_distance: float | None
    pairs: int
    clusters: int
    reason: str | None = None


def clustered_spearman(
    x: ArrayLike, y: ArrayLike, clusters: ArrayLike, fixed: ArrayLike | None = None, *, seed: int = 0
) -> ClusteredSpearman:
    """Spearman's correlation of x and y, each of shape (pairs,), none missing.

    Args:
        clusters: (pairs,) any numbers; pairs of one number are not independent.
        fixed: (pairs,) a third column that is partialled out for `partial`.

    Raises:
        ValueError: the shapes differ, or a value is missing.
    """
    x, y, groups = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(clusters)
    if x.ndim != 1 or not x.shape == y.shape == groups.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x, y and clusters must be of the same shape (pairs,), with no value missing")
    count = len(np.unique(groups))
    reason = _undefined(x, y, count)
    if reason is not None:
        return ClusteredSpearman(None, None, None, None, None, None, None, None, len(x), count, reason)
    first, second = TieRanks(x), TieRanks(y)
    ones = np.ones(len(x))
    a, b = first.ranks(ones), second.ranks(ones)
    estimate = _pearson(a, b, ones)
    generator = np.random.default_rng(seed)
    dense = dense_labels(groups, len(groups))
    numbers = np.arange(len(x)) if dense is None else dense
    low, high = _resampled(first, second, numbers, count, generator, estimate)
    shuffled = np.array([_pearson(a, b[order], ones) for order in label_shuffles(len(x), groups, SHUFFLES, generator)])
    known = shuffled[np.isfinite(shuffled)]
    far = int((np.abs(known) >= abs(estimate) - 1e-12).sum())
    null = [float(end) for end in np.quantile(known, (0.025, 0.975))] if len(known) else [None, None]
    partial = None if fixed is None else partial_correlation(a, b, TieRanks(np.asarray(fixed, np.float64)).ranks(ones))
    return ClusteredSpearman(
        estimate, low, high, (1 + far) / (1 + len(known)), null[0], null[1], partial, tau_distance(x, y), len(x), count
    )


class TieRanks:
    """Mean ranks of values, also of each value taken several times; the order is computed once.

    Args:
        values: (pairs,), none missing.
    """

    def __init__(self, values: Floats) -> None:
        _, inverse = np.unique(values, return_inverse=True)
        self._places: NDArray[np.int64] = inverse.reshape(-1)

    def ranks(self, times: Floats) -> Floats:
        """The mean rank of each value if it occurs so many times, (pairs,)."""
        sizes = np.bincount(self._places, times)
        ranks: Floats = (np.cumsum(sizes) - sizes + (sizes + 1) / 2)[self._places]
        return ranks


def _resampled(
    first: TieRanks,
    second: TieRanks,
    numbers: NDArray[np.int64],
    count: int,
    generator: np.random.Generator,
    estimate: float,
) -> tuple[float, float]:
    """Both ends of the bootstrap interval over clusters."""
    values = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        times = np.bincount(generator.integers(0, count, count), minlength=count).astype(np.float64)[numbers]
        values[number] = _pearson(first.ranks(times), second.ranks(times), times)
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (estimate, estimate)
    return float(low), float(high)


def tau_distance(x: ArrayLike, y: ArrayLike) -> float | None:
    """(1 - Kendall's tau-b) / 2; None where a side does not vary."""
    tau = float(kendalltau(x, y).statistic)
    return (1 - tau) / 2 if np.isfinite(tau) else None


def partial_correlation(x: Floats, y: Floats, fixed: Floats) -> float | None:
    """Pearson's correlation of x and y with `fixed` held fixed, each (pairs,); None where it is not defined."""
    ones = np.ones(len(x))
    xy, xz, yz = _pearson(x, y, ones), _pearson(x, fixed, ones), _pearson(y, fixed, ones)
    if not np.isfinite(xz + yz):  # it does not vary, and is fixed already
        return xy
    rest = (1 - xz * xz) * (1 - yz * yz)
    return float(np.clip((xy - xz * yz) / np.sqrt(rest), -1, 1)) if rest > 1e-12 else None


def _undefined(x: Floats, y: Floats, clusters: int) -> str | None:
    if clusters < FEWEST:
        return f"fewer than {FEWEST} examples"
    return "one side does not vary" if np.ptp(x) == 0 or np.ptp(y) == 0 else None


def _pearson(x: Floats, y: Floats, times: Floats) -> float:
    """The coefficient of weighted pairs; NaN where a side does not vary."""
    total = times.sum()
    a, b = x - (times @ x) / total, y - (times @ y) / total
    with np.errstate(invalid="ignore", divide="ignore"):
        return float((times * a) @ b / np.sqrt(((times * a) @ a) * ((times * b) @ b)))
