"""The stratified difference of means between a group of rows and the other rows.

It is the mean over strata of (mean of the group - mean of the others), each stratum weighted by its number of rows
(direct standardization). Strata with rows of one group only carry no information and are left out.

Rows of a cluster (documents, or copies of one text) are not independent. The squared error is then that of the totals
of both groups' contributions over clusters, with the covariance of the groups where clusters have rows of both. Each
group's degrees of freedom are its clusters less the means that were fitted to them: one for each stratum where every
cluster has rows in one stratum only. With one row per cluster nothing changes.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import t as student_t

from mematlas.stats.estimates.clustered import dense_labels, sum_by_label

INTERVAL: Final = "Welch 95 %, variances pooled over strata"


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """One difference per column of the values, in their unit, with its 95 % interval; NaN where there is none.

    estimate, lower, upper: shape (columns,); members, others: rows of the group and other rows in the strata used;
    strata: number of strata used; clusters: clusters of these rows; interval: the kind of 95 % interval.
    """

    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    members: int
    others: int
    strata: int
    clusters: int
    interval: str = INTERVAL


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """The rows in strata that contain both groups.

    rows: [n], indices of the rows; member: [n]; stratum: [n], numbered from 0; members, others: [strata], row counts.
    """

    rows: NDArray[np.int64]
    member: NDArray[np.bool_]
    stratum: NDArray[np.int64]
    members: NDArray[np.int64]
    others: NDArray[np.int64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weight of each stratum: its share of the rows."""
        sizes = self.members + self.others
        return sizes / max(1, sizes.sum())


def strata_with_both_groups(member: ArrayLike, stratum: ArrayLike | None = None) -> Strata:
    """The strata in which both groups have rows; without `stratum` all rows are one stratum.

    Args:
        member: shape (rows,), whether a row belongs to the group.
        stratum: shape (rows,), any numbers.

    Raises:
        ValueError: the shapes differ.
    """
    member = np.asarray(member, dtype=bool)
    stratum = np.zeros(len(member), np.int64) if stratum is None else np.asarray(stratum)
    if member.ndim != 1 or stratum.shape != member.shape:
        raise ValueError(f"member and stratum must have the same shape (rows,), not {member.shape} and {stratum.shape}")
    stratum_index = np.unique(stratum, return_inverse=True)[1]
    sizes = np.bincount(stratum_index)
    members = np.bincount(stratum_index, weights=member, minlength=len(sizes)).astype(np.int64)
    has_both = (members > 0) & (members < sizes)
    rows = np.flatnonzero(has_both[stratum_index])
    renumbered = np.cumsum(has_both)[stratum_index[rows]] - 1
    return Strata(rows, member[rows], renumbered, members[has_both], (sizes - members)[has_both])


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One group: means [strata, columns], squared error of their weighted mean [columns], degrees of freedom; rows [n],
    their deviations from the means [n, columns] and their weights in the weighted mean [n]."""

    means: NDArray[np.float64]
    squared_error: NDArray[np.float64]
    degrees_of_freedom: int
    rows: NDArray[np.int64]
    deviations: NDArray[np.float64]
    weights: NDArray[np.float64]


def stratified_difference(
    values: ArrayLike, member: ArrayLike, stratum: ArrayLike | None = None, clusters: ArrayLike | None = None
) -> Contrast:
    """Mean of the group minus mean of the others, within strata.

    The interval is Welch's, with each group's variance pooled over the strata, so that strata with one row of a group
    count too; with one stratum it is exactly Welch's. NaN if a group has no two rows (clusters) in any stratum, or
    nothing varies.

    Args:
        values: shape (rows, columns), none missing. member, stratum: as `strata_with_both_groups`.
        clusters: shape (rows,), any numbers; rows of one number are not independent. None: all rows are.

    Raises:
        ValueError: shapes differ, or a value is missing.
    """
    values = np.asarray(values, dtype=np.float64)
    strata = strata_with_both_groups(member, stratum)
    if values.ndim != 2 or len(values) != len(np.asarray(member)) or np.isnan(values).any():
        raise ValueError("values must be of shape (rows, columns), with no value missing")
    missing = np.full(values.shape[1], np.nan)
    if not len(strata.rows):
        return Contrast(missing, missing, missing, 0, 0, 0, 0)
    used = values[strata.rows]
    labels = dense_labels(None if clusters is None else np.asarray(clusters)[strata.rows], len(used))
    sides = [_side(used, np.flatnonzero(group), strata) for group in (strata.member, ~strata.member)]
    estimate = strata.weights @ (sides[0].means - sides[1].means)
    error = _independent_error(sides) if labels is None else _clustered_error(sides, strata, labels)
    half_width = student_t.ppf(0.975, error.degrees_of_freedom) * np.sqrt(error.squared)
    counts = int(strata.members.sum()), int(strata.others.sum())
    unknown = (error.squared <= 1e-24 * np.square(values).max(0, initial=0)) | (not error.known)
    half_width = np.where(unknown, np.nan, half_width)
    interval = INTERVAL if labels is None else f"{INTERVAL}, clustered"
    units = len(used) if labels is None else int(labels.max()) + 1
    return Contrast(
        estimate, estimate - half_width, estimate + half_width, *counts, len(strata.members), units, interval
    )


def _side(values: NDArray[np.float64], rows: NDArray[np.int64], strata: Strata) -> _Side:
    """One group of rows, its values of shape (rows, columns)."""
    weights, order = strata.weights, np.argsort(strata.stratum[rows], kind="stable")
    rows = rows[order] if len(weights) > 1 else rows
    counts = np.bincount(strata.stratum[rows], minlength=len(weights))
    values = values[rows]
    means = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0) / counts[:, None]
    deviations = values - (np.repeat(means, counts, axis=0) if len(weights) > 1 else means)
    degrees_of_freedom = int((counts - 1).sum())
    variance = np.einsum("ij,ij->j", deviations, deviations) / max(1, degrees_of_freedom)
    squared_error = variance * (weights**2 / counts).sum()
    return _Side(means, squared_error, degrees_of_freedom, rows, deviations, np.repeat(weights / counts, counts))


@dataclass(frozen=True, slots=True, eq=False)
class _Error:
    """The squared error of a difference and its degrees of freedom, per column; known: whether it can be estimated."""

    squared: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]
    known: bool


def _welch(squared_errors: list[NDArray[np.float64]], degrees_of_freedom: list[int]) -> NDArray[np.float64]:
    """The degrees of freedom of the sum of two squared errors (Welch 1947)."""
    parts = zip(squared_errors, degrees_of_freedom, strict=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = sum(squared_errors) ** 2 / sum(error**2 / max(1, each) for error, each in parts)
    return np.asarray(np.nan_to_num(freedom, nan=1.0), np.float64)


def _independent_error(sides: list[_Side]) -> _Error:
    errors, freedom = [side.squared_error for side in sides], [side.degrees_of_freedom for side in sides]
    return _Error(errors[0] + errors[1], _welch(errors, freedom), min(freedom) >= 1)


def _clustered_error(sides: list[_Side], strata: Strata, labels: NDArray[np.int64]) -> _Error:
    """The error over clusters; labels: the cluster of each row, shape (n,)."""
    totals = [np.zeros((int(labels.max()) + 1, sides[0].means.shape[1])) for _ in sides]
    errors, freedom, independent = [], [], np.zeros(sides[0].means.shape[1])
    for side, total in zip(sides, totals, strict=True):
        contributions = side.deviations * side.weights[:, None]
        clusters, index = np.unique(labels[side.rows], return_inverse=True)
        total[clusters] = sum_by_label(index, contributions)
        freedom.append(len(clusters) - _fitted_means(index, strata.stratum[side.rows]))
        errors.append(len(clusters) / max(1, freedom[-1]) * np.einsum("ij,ij->j", total, total))
        squares = np.einsum("ij,ij->j", contributions, contributions)
        independent += len(side.rows) / max(1, side.degrees_of_freedom) * squares
    units = len(totals[0])
    squared = errors[0] + errors[1] - 2 * units / max(1, units - 1) * np.einsum("ij,ij->j", *totals)
    # a stratum with a single row of a group has no deviation: as the variance pooled over strata allows for it
    pooled = sides[0].squared_error + sides[1].squared_error
    squared = squared * np.where(independent > 0, pooled / np.where(independent > 0, independent, 1), 1.0)
    return _Error(squared, np.minimum(_welch(errors, freedom), max(1, units - 1)), min(freedom) >= 1)


def _fitted_means(clusters: NDArray[np.int64], stratum: NDArray[np.int64]) -> int:
    """How many degrees of freedom the strata's means take from the clusters: one for each set of strata that have
    clusters in common, so one if clusters have rows in all strata, and one a stratum if none has rows in two."""
    strata, index = np.unique(stratum, return_inverse=True)
    count = int(clusters.max()) + 1
    edges = coo_array((np.ones(len(index), np.int8), (clusters, count + index)), shape=(count + len(strata),) * 2)
    return int(connected_components(edges, directed=False)[0])
