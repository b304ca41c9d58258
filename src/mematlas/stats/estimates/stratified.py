"""The unweighted mean of shares counted in separate groups."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csr_array

from mematlas.stats.estimates.clustered import ClusterSums, clustered_shares, independent_sums
from mematlas.stats.estimates.intervals import Share


def mean_of_shares(
    hits: ArrayLike, counts: ArrayLike, groups: ArrayLike | None = None, clusters: ArrayLike | None = None
) -> Share:
    """Mean over groups of hits / count, with a 95 % interval from the groups' Wilson intervals.

    The distances from each share to the bounds of its interval are added in squares (Newcombe 1998, method 10; for
    linear functions of shares Zou, Huang and Zhang 2009): unlike a normal interval, it is valid for shares of 0 and 1.
    With clusters the intervals are clustered, and the products of distances of two groups are added too, times the
    correlation of their clusters' contributions. Empty groups are left out; the result is None if all are empty, its
    interval if a group has none. count: rows in all groups.

    Args:
        hits, counts: shape (records,). groups: the group of each record; None: each is a group. clusters: the cluster
            of each record; None: all rows are independent.

    Raises:
        ValueError: some hits are not between 0 and count.
    """
    y, n = np.ravel(np.asarray(hits, np.float64)), np.ravel(np.asarray(counts, np.float64))
    if ((y < 0) | (y > n)).any():
        raise ValueError("hits must be between 0 and count in every record")
    group = np.arange(len(y)) if groups is None else np.asarray(groups)
    known = n > 0
    group, y, n = group[known], y[known], n[known]
    if not len(y):
        return Share(None, None, None, 0, "95 %, from the groups' Wilson intervals")
    numbers = np.unique(group, return_inverse=True)[1]
    size = int(numbers.max()) + 1
    if clusters is None:
        shares = clustered_shares(independent_sums(np.bincount(numbers, y), np.bincount(numbers, n)))
        correlations = np.eye(size)
    else:
        labels = np.unique(np.asarray(clusters)[known], return_inverse=True)[1]
        shape = (int(labels.max()) + 1, size)
        # few clusters have rows of many groups: sparse, shape (clusters, groups)
        hit_table, count_table = (coo_array((weights, (labels, numbers)), shape=shape).tocsr() for weights in (y, n))
        shares = clustered_shares(_column_sums(hit_table, count_table))
        correlations = _correlations(hit_table, count_table)
    below, above = shares.estimate - shares.lower, shares.upper - shares.estimate
    mean = float(shares.estimate.mean())
    count, interval = int(n.sum()), "95 %, from the groups' Wilson intervals"
    if np.isnan(below).any():
        return Share(mean, None, None, count, interval)
    lower, upper = (max(0.0, float(ends @ correlations @ ends)) ** 0.5 / size for ends in (below, above))
    return Share(mean, max(0.0, mean - lower), min(1.0, mean + upper), count, interval)


def _column_sums(hits: csr_array, counts: csr_array) -> ClusterSums:
    """As `cluster_sums`, of sparse tables of shape (clusters, groups)."""
    tables = (counts, hits, counts > 0, hits * hits, hits * counts, counts * counts, hits > 0, counts > hits)
    return ClusterSums(*(np.asarray(table.sum(0), np.float64).ravel() for table in tables))


def _correlations(hits: csr_array, counts: csr_array) -> NDArray[np.float64]:
    """The correlations of the clusters' contributions to the shares of groups, shape (groups, groups)."""
    contributions = hits - counts * (hits.sum(0) / counts.sum(0))[None, :]
    products = (contributions.T @ contributions).toarray()
    scale = np.sqrt(np.outer(np.diag(products), np.diag(products)))
    correlations = np.where(scale > 0, products / np.where(scale > 0, scale, 1), 0.0)
    np.fill_diagonal(correlations, 1.0)
    return correlations
