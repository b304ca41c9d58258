"""Shares of rows that come in clusters: documents, or copies and near-copies of one text.

Rows of one cluster are not independent, so a share of n rows in m clusters is known about as well as one of n / D
independent rows; D is the design effect (Kish 1965), the variance of the share over that of n independent rows. The
variance is that of a ratio of cluster totals, by linearization, with the factor m / (m - 1).

A share has Wilson's interval at the effective sample size n / D, reduced by (z / t)^2 with t at m - 1 degrees of
freedom (Korn and Graubard 1998), because D is estimated from m clusters. D is at least 1. Where few clusters contain a
hit, or few a miss, D is estimated from these few and comes out too small; it is therefore averaged with that of
clusters of equal size whose rows are all alike, n / m, which counts as half a cluster (our choice). A share of 0 or 1
has that one itself, so that its interval is that of m independent rows. With one row per cluster it is Wilson's
interval.

Means over clusters are in averages.py, differences in differences.py and contrasts.py.

Coverage is measured in tests/stats/test_coverage.py and benchmarks/interval_coverage.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from mematlas.stats.estimates.intervals import Z, wilson_interval

_PRIOR_CLUSTERS: Final = 0.5  # clusters that the largest possible design effect counts as; our choice
INTERVAL: Final = "Wilson 95 %, clustered"

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSums:
    """Sums over the clusters of each group, from which a share and its interval are computed; all of shape (groups,).

    rows: sum of n, the rows of a cluster; hits: sum of y, those of its rows that are hits; clusters: their number;
    hits_squared, hits_times_rows, rows_squared: sums of y^2, y n and n^2; with_hit, with_miss: clusters with at least
    one hit, and with at least one miss.
    """

    rows: Floats
    hits: Floats
    clusters: Floats
    hits_squared: Floats
    hits_times_rows: Floats
    rows_squared: Floats
    with_hit: Floats
    with_miss: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredShares:
    """A share per group with its 95 % interval and design effect; NaN where there is nothing to count."""

    estimate: Floats
    lower: Floats
    upper: Floats
    design_effect: Floats
    interval: str = INTERVAL


def cluster_sums(hits: ArrayLike, rows: ArrayLike) -> ClusterSums:
    """The sums of one group from its clusters, or of several groups.

    Args:
        hits, rows: shape (clusters,), of each cluster; or (clusters, groups).

    Raises:
        ValueError: the shapes differ, or hits are not between 0 and rows.
    """
    y, n = np.asarray(hits, np.float64), np.asarray(rows, np.float64)
    if y.shape != n.shape or y.ndim not in (1, 2):
        raise ValueError(f"hits and rows must have the same shape (clusters,), not {y.shape} and {n.shape}")
    if ((y < 0) | (y > n)).any():
        raise ValueError("hits must be between 0 and rows in every cluster")
    sums = (n, y, n > 0, y * y, y * n, n * n, y > 0, y < n)
    return ClusterSums(*(np.atleast_1d(values.sum(0)).astype(np.float64) for values in sums))


def stacked_sums(sums: Sequence[ClusterSums]) -> ClusterSums:
    """The sums of several sets of groups as those of one set, in order; there must be at least one."""
    names = [field.name for field in fields(ClusterSums)]
    return ClusterSums(*(np.concatenate([getattr(part, name) for part in sums]) for name in names))


def independent_sums(hits: ArrayLike, rows: ArrayLike) -> ClusterSums:
    """The sums of groups whose rows are each a cluster of its own; shape (groups,) each."""
    y, n = np.atleast_1d(np.asarray(hits, np.float64)), np.atleast_1d(np.asarray(rows, np.float64))
    return ClusterSums(n, y, n, y, y, n, y, n - y)


def clustered_shares(sums: ClusterSums) -> ClusteredShares:
    """The share of hits in each group, with its interval; see the module's docstring.

    A group of several rows in a single cluster has no interval: nothing says how clusters differ.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = sums.hits / sums.rows
        design_effect = _design_effects(sums, share)
        lower, upper = wilson_interval(share, effective_rows(sums.hits, sums.rows, sums.clusters, design_effect))
    known = (sums.rows > 0) & ((sums.clusters > 1) | (sums.rows_squared == sums.rows))
    lower = np.where(sums.hits == 0, 0.0, lower)
    upper = np.where(sums.hits == sums.rows, 1.0, upper)
    return ClusteredShares(
        share, np.where(known, lower, np.nan), np.where(known, upper, np.nan), np.where(known, design_effect, np.nan)
    )


def effective_rows(hits: ArrayLike, rows: ArrayLike, clusters: ArrayLike, design_effect: ArrayLike) -> Floats:
    """The number of independent rows that would give a share its interval: rows / design effect, and less for an
    estimated design effect of few clusters, by (normal quantile / Student's t quantile at clusters - 1)^2.

    A share of 0 or 1 has the largest possible design effect, which is not estimated. All of shape (groups,).
    """
    y, n, m = (np.asarray(values, np.float64) for values in (hits, rows, clusters))
    estimated = (m < n) & (y > 0) & (y < n)
    factor = np.where(estimated, (Z / student_t.ppf(0.975, np.maximum(m - 1, 1))) ** 2, 1.0)
    return n / np.asarray(design_effect, np.float64) * factor


def _design_effects(sums: ClusterSums, share: Floats) -> Floats:
    largest = np.maximum(sums.rows / sums.clusters, 1.0)
    squares = sums.hits_squared - 2 * share * sums.hits_times_rows + share**2 * sums.rows_squared
    variance = sums.clusters / (sums.clusters - 1) * squares / sums.rows**2
    estimated = np.maximum(variance * (sums.rows - 1) / (share * (1 - share)), 1.0)
    estimated = np.where((sums.hits == 0) | (sums.hits == sums.rows), largest, estimated)
    informative = _informative(sums)
    averaged = (informative * estimated + _PRIOR_CLUSTERS * np.maximum(estimated, largest)) / (
        informative + _PRIOR_CLUSTERS
    )
    return np.where(sums.rows_squared == sums.rows, 1.0, averaged)


def _informative(sums: ClusterSums) -> Floats:
    """The number of clusters that tell how much clusters differ: those with a hit, or those with a miss if fewer."""
    return np.minimum(sums.with_hit, sums.with_miss)


def dense_labels(clusters: ArrayLike | None, count: int) -> Ids | None:
    """The clusters of rows numbered from 0, shape (count,); None if each row is a cluster of its own.

    Raises:
        ValueError: there are not `count` of them.
    """
    if clusters is None:
        return None
    distinct, labels = np.unique(np.asarray(clusters), return_inverse=True)
    if labels.shape != (count,):
        raise ValueError(f"clusters must be of shape (rows,), here ({count},), not {labels.shape}")
    return None if len(distinct) == count else labels.astype(np.int64)


def sum_by_label(labels: Ids, values: Floats) -> Floats:
    """Sums of the rows with each label: labels [n] from 0 without gaps, values [n, ...] -> [labels, ...]."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    return np.add.reduceat(values[order], starts, axis=0) if len(starts) else values[:0]
