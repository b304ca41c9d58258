"""The jackknife of means over pairs of rows that leaves out a cluster of rows at a time, from sums of the matrix.

Source: Tukey (1958); that clusters are left out is as in Cameron and Miller (2015), A Practitioner's Guide to
Cluster-Robust Inference. With one row a cluster it is the jackknife over rows of distances.py.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
#: Mean, its variance and degrees of freedom; NaN where there is none.
Moments = tuple[float, float, float]


def within_group_of_clusters(sums: Floats, own_sums: Floats, clusters: Ids) -> Moments:
    """The mean over the pairs of one group.

    Args:
        sums: [n], of each row over the other rows of the group; own_sums: [n], over those of its own cluster.
        clusters: [n], of each row, small numbers from 0.
    """
    n = len(sums)
    if n < 2:
        return np.nan, np.nan, np.nan
    mean = float(sums.sum() / (n * (n - 1)))
    labels, sizes = _numbered(clusters)
    remaining = n - sizes
    if len(sizes) < 3 or remaining.min() < 2:
        return mean, np.nan, np.nan
    totals = sums.sum() - 2 * np.bincount(labels, sums) + np.bincount(labels, own_sums)
    return mean, _variance(totals / (remaining * (remaining - 1))), len(sizes) - 1


def between_groups_of_clusters(
    first_sums: Floats, second_sums: Floats, first_own_sums: Floats, first_clusters: Ids, second_clusters: Ids
) -> Moments:
    """The mean over the pairs of two groups.

    Args:
        first_sums: [n], of each row of the first group over the second; second_sums: [m], of each row of the second
            group over the first; first_own_sums: [n], over those rows of the second group that are of its cluster.
        first_clusters: [n]. second_clusters: [m].
    """
    n, m, total = len(first_sums), len(second_sums), first_sums.sum()
    if not n or not m:
        return np.nan, np.nan, np.nan
    mean = float(total / (n * m))
    sides = [_numbered(clusters) for clusters in (first_clusters, second_clusters)]
    units = [len(sizes) for _, sizes in sides]
    if min(units) < 2:
        return mean, np.nan, np.nan
    sums = (first_sums, second_sums)
    variances = [
        _variance((total - np.bincount(labels, values)) / ((len(values) - sizes) * (n * m / len(values))))
        for (labels, sizes), values in zip(sides, sums, strict=True)
    ]
    squares = sum(variance**2 / (count - 1) for variance, count in zip(variances, units, strict=True))
    degrees_of_freedom = sum(variances) ** 2 / max(squares, 1e-300)
    labels, sizes = _numbered(np.concatenate([first_clusters, second_clusters]))
    count, first, second = len(sizes), labels[:n], labels[n:]
    if sum(units) == count:  # no cluster has rows of both groups
        return mean, sum(variances), degrees_of_freedom
    remaining = (n - np.bincount(first, minlength=count)) * (m - np.bincount(second, minlength=count))
    left_out = np.bincount(first, first_sums - first_own_sums, count) + np.bincount(second, second_sums, count)
    return mean, _variance((total - left_out) / remaining), min(degrees_of_freedom, count - 1)


def _numbered(clusters: Ids) -> tuple[Ids, Ids]:
    """The clusters of rows numbered without gaps, and the rows of each."""
    sizes = np.bincount(clusters)
    return (np.cumsum(sizes > 0) - 1)[clusters], sizes[sizes > 0]


def _variance(left_out: Floats) -> float:
    """The jackknife variance from the means without each cluster."""
    return float((len(left_out) - 1) / len(left_out) * np.square(left_out - left_out.mean()).sum())
