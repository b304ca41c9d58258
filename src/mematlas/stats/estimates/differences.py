"""The difference of two shares counted in separate groups of rows."""

from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson


@dataclass(frozen=True, slots=True)
class ShareDifference:
    """First share - second share with its 95 % interval; None where a group is empty. counts: rows of each group;
    clusters: clusters that have a row of either."""

    estimate: float | None
    lower: float | None
    upper: float | None
    counts: tuple[int, int]
    clusters: int
    interval: str = "Newcombe 95 %"


def difference_of_shares(first: tuple[int, int], second: tuple[int, int]) -> ShareDifference:
    """The difference of two independent shares, with Newcombe's score interval (1998, method 10). It is computed
    from the two Wilson intervals, so it is valid for shares of 0 and 1 too.

    Args:
        first, second: (hits, count) of each group.

    Raises:
        ValueError: hits are not between 0 and count.
    """
    a, b = wilson(*first), wilson(*second)
    counts = a.count, b.count
    bounds = (a.estimate, a.lower, a.upper, b.estimate, b.lower, b.upper)
    if None in bounds:
        return ShareDifference(None, None, None, counts, sum(counts))
    share_a, low_a, high_a, share_b, low_b, high_b = (float(bound) for bound in bounds if bound is not None)
    difference = share_a - share_b
    lower = difference - hypot(share_a - low_a, high_b - share_b)
    upper = difference + hypot(high_a - share_a, share_b - low_b)
    return ShareDifference(difference, lower, upper, counts, sum(counts))


def clustered_difference_of_shares(
    hits: ArrayLike, rows: ArrayLike, other_hits: ArrayLike, other_rows: ArrayLike
) -> ShareDifference:
    """The difference of two shares whose rows come in clusters, which may have rows of both groups.

    The bounds of both clustered intervals are joined as Newcombe's, less what both shares have in common: the
    correlation of the clusters' contributions to them (MOVER; Zou 2007), which counts for k / (k + 1/2) where k
    clusters have rows of both groups (our choice, as in clustered.py). With one row per cluster it is Newcombe's.

    Args:
        hits, rows: of the first group in each cluster, shape (clusters,); other_hits, other_rows: of the second.

    Raises:
        ValueError: the shapes differ, or hits are not between 0 and rows.
    """
    groups = [
        (np.asarray(y, np.float64), np.asarray(n, np.float64)) for y, n in ((hits, rows), (other_hits, other_rows))
    ]
    shares = [clustered_shares(cluster_sums(y, n)) for y, n in groups]
    counts = int(groups[0][1].sum()), int(groups[1][1].sum())
    clusters = int(((groups[0][1] > 0) | (groups[1][1] > 0)).sum())
    bounds = np.array([(share.estimate[0], share.lower[0], share.upper[0]) for share in shares])
    estimate = float(bounds[0, 0] - bounds[1, 0])
    if np.isnan(bounds).any():
        known = None if np.isnan(estimate) else estimate
        return ShareDifference(known, None, None, counts, clusters, "Newcombe 95 %, clustered")
    correlation = _correlation(groups, bounds[:, 0])
    below, above = (
        sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))
        for one, other in (
            (bounds[0, 0] - bounds[0, 1], bounds[1, 2] - bounds[1, 0]),
            (bounds[0, 2] - bounds[0, 0], bounds[1, 0] - bounds[1, 1]),
        )
    )
    return ShareDifference(estimate, estimate - below, estimate + above, counts, clusters, "Newcombe 95 %, clustered")


def _correlation(groups: list[tuple[NDArray[np.float64], NDArray[np.float64]]], shares: NDArray[np.float64]) -> float:
    """The correlation of the clusters' contributions to two shares."""
    first, second = (y - share * n for (y, n), share in zip(groups, shares, strict=True))
    scale = sqrt(float(first @ first) * float(second @ second))
    common = int(((groups[0][1] > 0) & (groups[1][1] > 0)).sum())
    return float(first @ second) / scale * common / (common + 0.5) if scale else 0.0
