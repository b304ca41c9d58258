"""Means of a matrix over pairs of rows, within groups of rows and between them, with jackknife intervals.

Because pairs share rows, the intervals are over rows, of which one is left out at a time (Tukey 1958; Arvesen 1969 for
means over pairs). Where rows come in clusters (documents, or copies of one text), which are not independent, a cluster
is left out at a time, as in Cameron and Miller (2015), A Practitioner's Guide to Cluster-Robust Inference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.stats import t as student_t

from mematlas.stats.estimates.clustered import dense_labels

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PairMeans:
    """Means over pairs of rows, in the unit of the matrix; NaN where there is none. All of shape [pairs of groups].

    first_rows, second_rows: rows in the two groups; count: pairs of rows; clusters: those of the rows of both, as many
    as rows where these are independent; interval: the kind of 95 % interval.
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    first_rows: Ids
    second_rows: Ids
    count: Ids
    clusters: Ids
    interval: str = "jackknife over rows 95 %"


class GroupPairs:
    """Pairs of groups of the same rows, for the means of several matrices over them.

    Args:
        members: shape (rows, groups), Boolean.
        pairs: of group numbers: a group with itself, or two groups without common rows.
        clusters: shape (rows,), any numbers; rows of one number are not independent. None: all rows are.

    Raises:
        ValueError: shapes differ, or two different groups of a pair have a row in common.
    """

    def __init__(self, members: ArrayLike, pairs: Sequence[tuple[int, int]], clusters: ArrayLike | None = None) -> None:
        self._members, self._pairs = np.asarray(members, dtype=bool), pairs
        if self._members.ndim != 2:
            raise ValueError(f"members must be [rows, groups], not {self._members.shape}")
        if any(i != j and (self._members[:, i] & self._members[:, j]).any() for i, j in pairs):
            raise ValueError("two different groups of a pair must have no row in common")
        labels = dense_labels(clusters, len(self._members))
        self._interval = f"jackknife over {'rows' if labels is None else 'clusters'} 95 %"
        self._clusters = np.arange(len(self._members)) if labels is None else labels
        self._layout = lru_cache(1)(self._layout_of)  # most matrices lack the same rows

    def means(self, matrix: ArrayLike) -> PairMeans:
        """Mean of the matrix over pairs of different rows, one from each group, with the jackknife 95 % interval.

        Rows, or clusters, are left out one at a time; Student's t with n - 1 degrees of freedom for n of them within a
        group, Welch's between groups. A cluster with rows of both groups is left out of both at once. No interval with
        fewer than three rows or clusters within a group (two in each of two), or if leaving them out changes nothing.

        Args:
            matrix: shape (rows, rows), symmetric; rows with NaN on the diagonal are missing.

        Raises:
            ValueError: the shape differs.
        """
        matrix, rows = np.asarray(matrix, dtype=np.float64), len(self._members)
        if matrix.shape != (rows, rows):
            raise ValueError(f"matrix must be [rows, rows], here ({rows}, {rows}), not {matrix.shape}")
        measured = ~np.isnan(np.diag(matrix))
        matrix = matrix if measured.all() else np.where(measured[:, None] & measured, matrix, 0)
        layout = self._layout(measured.tobytes())
        estimate, variance, degrees_of_freedom = layout.moments(matrix)
        standard_error = np.where(variance > np.square(1e-9 * estimate), np.sqrt(variance), np.nan)
        half_width = student_t.ppf(0.975, np.maximum(degrees_of_freedom, 1)) * standard_error
        sizes = (layout.first_rows, layout.second_rows, layout.count, layout.units)
        return PairMeans(estimate, estimate - half_width, estimate + half_width, *sizes, self._interval)

    def _layout_of(self, measured: bytes) -> "_Layout":
        members = self._members & np.frombuffer(measured, np.bool_)[:, None]
        return _Layout(members, np.array(self._pairs, dtype=np.int64).reshape(-1, 2), self._clusters)


def pair_means(
    matrix: ArrayLike, members: ArrayLike, pairs: Sequence[tuple[int, int]], clusters: ArrayLike | None = None
) -> PairMeans:
    """The means of one matrix; see `GroupPairs`."""
    return GroupPairs(members, pairs, clusters).means(matrix)


class _Layout:
    """What the means of all matrices have in common. Axes: rows, clusters c, groups g, pairs of groups p.

    members: [rows, g]; pairs: [p, 2], numbers of groups; clusters: [rows], from 0 without gaps.
    """

    def __init__(self, members: Mask, pairs: Ids, clusters: Ids) -> None:
        self._members, (self._first, self._second) = members.astype(np.float64), pairs.T
        self._groups_of_clusters = _incidence(members, clusters)
        self._of_one_cluster = _pairs_of_one_cluster(clusters)
        sizes = self._groups_of_clusters.sum(1).reshape(-1, members.shape[1])
        first_sizes, second_sizes = sizes[:, self._first], sizes[:, self._second]  # [c, p]
        first_rows, second_rows = first_sizes.sum(0), second_sizes.sum(0)
        is_within = self._first == self._second
        # pairs of rows that remain without each cluster: of its rows in both groups, or in one alone
        others, second_others = first_rows - first_sizes, second_rows - second_sizes
        self._remaining = others * (second_others - is_within)
        self._first_remaining, self._second_remaining = others * second_rows, second_others * first_rows
        self._total = first_rows * (second_rows - is_within)
        self._in_first, self._in_second = first_sizes > 0, second_sizes > 0
        self._in_either = self._in_first | self._in_second
        self.first_rows, self.second_rows = first_rows.astype(np.int64), second_rows.astype(np.int64)
        self.count = np.where(is_within, self._total // 2, self._total).astype(np.int64)
        self.units: Ids = self._in_either.sum(0)
        units_of_sides = np.stack([self._in_first.sum(0), self._in_second.sum(0)])
        remains = (self._remaining > 0).all(0, where=self._in_either)
        self._has_variance = np.where(is_within, (self.units >= 3) & remains, (units_of_sides >= 2).all(0))
        self._is_apart = units_of_sides.sum(0) == self.units  # no cluster has rows of both groups
        self._is_within = is_within

    def moments(self, matrix: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean, its variance and degrees of freedom, each [p], NaN where there is none; no value of `matrix` is NaN."""
        sums = matrix @ self._members - np.diag(matrix)[:, None] * self._members
        of_first, of_second = self._by_cluster(sums)  # rows of each cluster in one group with the whole other group
        rows, columns, ends = self._of_one_cluster
        own = csr_array((matrix[rows, columns], columns, ends), shape=matrix.shape)
        of_both = of_first + of_second - self._by_cluster(own @ self._members)[0]
        total = of_first.sum(0)
        mean = np.divide(total, self._total, out=np.full(len(total), np.nan), where=self._total > 0)
        variance, units = _jackknife(total - of_both, self._remaining, self._in_either)
        degrees_of_freedom = units - 1
        between = [
            _jackknife(total - of_first, self._first_remaining, self._in_first),
            _jackknife(total - of_second, self._second_remaining, self._in_second),
        ]
        squares = sum(one**2 / np.maximum(count - 1, 1) for one, count in between)
        welch = sum(one for one, _ in between) ** 2 / np.maximum(squares, 1e-300)
        is_apart = self._is_apart & ~self._is_within
        variance = np.where(is_apart, between[0][0] + between[1][0], variance)
        limited = np.where(is_apart, welch, np.minimum(welch, degrees_of_freedom))
        degrees_of_freedom = np.where(self._is_within, degrees_of_freedom, limited)
        return mean, np.where(self._has_variance, variance, np.nan), degrees_of_freedom

    def _by_cluster(self, sums: Floats) -> tuple[Floats, Floats]:
        """Sums over the rows of each cluster in the first group of a pair, and in the second, each [c, p].

        sums: [rows, g], of each row over the rows of a group.
        """
        groups = sums.shape[1]
        by_cluster = (self._groups_of_clusters @ sums).reshape(-1, groups, groups)
        return by_cluster[:, self._first, self._second], by_cluster[:, self._second, self._first]


def _incidence(members: Mask, clusters: Ids) -> csr_array:
    """Whether a row is of a cluster and a group, [clusters times groups, rows]."""
    rows, groups = np.nonzero(members)
    count = members.shape[1]
    cells = clusters[rows] * count + groups
    shape = ((clusters.max(initial=-1) + 1) * count, len(members))
    return csr_array((np.ones(len(rows)), (cells, rows)), shape=shape)


def _pairs_of_one_cluster(clusters: Ids) -> tuple[Ids, Ids, Ids]:
    """Rows and columns of the pairs of different rows of one cluster, by row, and where the pairs of each row end."""
    sizes = np.bincount(clusters)
    starts, own = (np.cumsum(sizes) - sizes)[clusters], sizes[clusters]
    ends = np.concatenate([[0], np.cumsum(own)])
    places = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], own)
    rows, columns = np.repeat(np.arange(len(clusters)), own), np.argsort(clusters, kind="stable")[places]
    is_pair = rows != columns
    return rows[is_pair], columns[is_pair], ends - np.arange(len(ends))


def _jackknife(sums: Floats, counts: Floats, is_unit: Mask) -> tuple[Floats, Floats]:
    """The variance of a mean, and the number of units; each [p].

    Args:
        sums, counts: [c, p], of what remains without each unit; is_unit: [c, p], others are left alone.
    """
    means = np.divide(sums, counts, out=np.zeros(sums.shape), where=is_unit & (counts > 0))
    units = is_unit.sum(0, dtype=np.float64)
    deviations = np.where(is_unit, means - means.sum(0) / np.maximum(units, 1), 0)
    return (units - 1) / np.maximum(units, 1) * np.square(deviations).sum(0), units
