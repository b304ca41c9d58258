"""Shares and means over rows that come in clusters: documents, or copies and near-copies of one text.

Rows of one cluster are not independent, so a share of n rows in m clusters is known about as well as one of n / D
independent rows; D is the design effect (Kish 1965), the variance of the share over that of n independent rows. The
variance is that of a ratio of cluster totals, by linearization, with the factor m / (m - 1).

- A share has Wilson's interval at the effective sample size n / D, reduced by (z / t)^2 with t at m - 1 degrees of
  freedom (Korn and Graubard 1998), because D is estimated from m clusters. D is at least 1. Where few clusters contain
  a hit, or few a miss, D is estimated from these few and comes out too small; it is therefore averaged with that of
  clusters of equal size whose rows are all alike, n / m, which counts as half a cluster (our choice). A share of 0 or 1
  has that one itself, so that its interval is that of m independent rows. With one row per cluster it is
  Wilson's interval.
- A mean has Student's t interval at m - 1 degrees of freedom. With one row per cluster it is the ordinary one.

Coverage is measured in tests/stats/test_coverage.py and benchmarks/interval_coverage.py.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from mematlas.stats.estimates.intervals import Z, wilson_interval

_PRIOR_CLUSTERS: Final = 0.5  # clusters that the largest possible design effect counts as; our choice
INTERVAL: Final = "Wilson 95 %, clustered"

Floats = NDArray[np.float64]


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
    """The sums of one group, from its clusters.

    Args:
        hits, rows: shape (clusters,), of each cluster.

    Raises:
        ValueError: the shapes differ, or hits are not between 0 and rows.
    """
    y, n = np.asarray(hits, np.float64), np.asarray(rows, np.float64)
    if y.shape != n.shape or y.ndim != 1:
        raise ValueError(f"hits and rows must have the same shape (clusters,), not {y.shape} and {n.shape}")
    if ((y < 0) | (y > n)).any():
        raise ValueError("hits must be between 0 and rows in every cluster")
    y, n = y[n > 0], n[n > 0]
    sums = (n.sum(), y.sum(), len(n), y @ y, y @ n, n @ n, (y > 0).sum(), (y < n).sum())
    return ClusterSums(*(np.array([value], np.float64) for value in sums))


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
        single_rows = sums.rows_squared == sums.rows
        # the t quantile is for an estimated design effect; that of a share of 0 or 1 is the largest possible one
        estimated = ~single_rows & (_informative(sums) > 0)
        degrees_of_freedom = np.maximum(sums.clusters - 1, 1)
        factor = np.where(estimated, (Z / student_t.ppf(0.975, degrees_of_freedom)) ** 2, 1.0)
        lower, upper = wilson_interval(share, sums.rows / design_effect * factor)
    known = (sums.rows > 0) & ((sums.clusters > 1) | single_rows)
    lower = np.where(sums.hits == 0, 0.0, lower)
    upper = np.where(sums.hits == sums.rows, 1.0, upper)
    return ClusteredShares(
        share, np.where(known, lower, np.nan), np.where(known, upper, np.nan), np.where(known, design_effect, np.nan)
    )


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


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredMeans:
    """The mean of each column with its 95 % interval; NaN where there is none. All of shape (columns,).

    count, clusters: values that are not missing, and clusters that have one; design_effect: the variance over that of
    so many independent values.
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    count: NDArray[np.int64]
    clusters: NDArray[np.int64]
    design_effect: Floats
    interval: str = "Student's t 95 %, clustered"


def clustered_means(values: ArrayLike, cluster: ArrayLike) -> ClusteredMeans:
    """The mean of each column, with Student's t interval over clusters.

    There is no interval for one cluster, or where no cluster's mean differs from the others'.

    Args:
        values: shape (rows, columns); NaN means not measured. cluster: shape (rows,), any numbers.

    Raises:
        ValueError: the shapes do not fit.
    """
    x, labels = np.asarray(values, np.float64), np.unique(np.asarray(cluster), return_inverse=True)[1]
    if x.ndim != 2 or labels.shape != (len(x),):
        raise ValueError(
            f"values must be of shape (rows, columns) and cluster of (rows,), not {x.shape}, {labels.shape}"
        )
    known = ~np.isnan(x)
    count = known.sum(0)
    m = int(labels.max(initial=-1)) + 1
    origin = np.zeros(x.shape[1]) if not len(x) else np.nanmin(np.where(known.any(0), x, 0), axis=0)
    deviations = np.where(known, x - origin, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = deviations.sum(0) / count
        residuals = np.where(known, deviations - mean, 0.0)
        totals, present = _sum_by(labels, residuals, m), _sum_by(labels, known.astype(np.float64), m) > 0
        clusters = present.sum(0)
        squared = (totals**2).sum(0)
        variance = np.where(squared > 1e-24 * np.square(deviations).max(0, initial=0) * count, squared, 0.0)
        variance = clusters / (clusters - 1) * variance / count**2
        independent = (residuals**2).sum(0) / (count - 1) / count
        half_width = student_t.ppf(0.975, np.maximum(clusters - 1, 1)) * np.sqrt(
            np.where(variance > 0, variance, np.nan)
        )
        half_width = np.where(clusters > 1, half_width, np.nan)
        estimate = np.where(count > 0, origin + mean, np.nan)
        design_effect = np.where((clusters > 1) & (independent > 0), variance / independent, np.nan)
    return ClusteredMeans(
        estimate, estimate - half_width, estimate + half_width, count, clusters.astype(np.int64), design_effect
    )


def _sum_by(labels: NDArray[np.int64], values: Floats, groups: int) -> Floats:
    """Sums of rows with the same label; shape (groups, columns)."""
    sums = np.zeros((groups, values.shape[1]))
    np.add.at(sums, labels, values)
    return sums
