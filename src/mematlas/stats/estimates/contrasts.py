"""The stratified difference of means between a group of rows and the other rows.

It is the mean over strata of (mean of the group - mean of the others), each stratum weighted by its number of rows
(direct standardization). Strata with rows of one group only carry no information and are left out.

Rows of a cluster (documents, or copies of one text) are not independent. The squared error of each group's mean is then
multiplied by its design effect, that of the totals of its rows' contributions over clusters, and the covariance of both
groups over the clusters that have rows of both is taken into account; with one row per cluster nothing changes.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
    """One group: means [strata, columns], squared error of their weighted mean [columns], degrees of freedom; rows [n]
    and their contributions to the weighted mean, [n, columns]; units: rows, or clusters that have one."""

    means: NDArray[np.float64]
    squared_error: NDArray[np.float64]
    degrees_of_freedom: int
    rows: NDArray[np.int64]
    contributions: NDArray[np.float64]
    units: int


def stratified_difference(
    values: ArrayLike, member: ArrayLike, stratum: ArrayLike | None = None, clusters: ArrayLike | None = None
) -> Contrast:
    """Mean of the group minus mean of the others, within strata.

    The interval is Welch's, with each group's variance pooled over the strata, so that strata with one row of a group
    count too; with one stratum it is exactly Welch's. NaN if a group has no two rows in any stratum, rows of fewer than
    two clusters, or nothing varies.

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
    sides = [_side(used, np.flatnonzero(group), strata, labels) for group in (strata.member, ~strata.member)]
    estimate = strata.weights @ (sides[0].means - sides[1].means)
    squared_errors = [side.squared_error * _design_effect(side, labels) for side in sides]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = squared_errors[0] + squared_errors[1]
        degrees_of_freedom = total**2 / sum(
            error**2 / max(1, side.degrees_of_freedom if labels is None else side.units - 1)
            for error, side in zip(squared_errors, sides, strict=True)
        )
        units = len(used) if labels is None else int(labels.max()) + 1
        if labels is not None:
            total = total - 2 * _covariance(sides, labels)
            degrees_of_freedom = np.minimum(degrees_of_freedom, max(1, units - 1))
        half_width = student_t.ppf(0.975, degrees_of_freedom) * np.sqrt(total)
    counts = int(strata.members.sum()), int(strata.others.sum())
    unknown = (total <= 1e-24 * np.square(values).max(0, initial=0)) | any(
        side.degrees_of_freedom < 1 or side.units < 2 for side in sides
    )
    half_width = np.where(unknown, np.nan, half_width)
    interval = INTERVAL if labels is None else f"{INTERVAL}, clustered"
    return Contrast(
        estimate, estimate - half_width, estimate + half_width, *counts, len(strata.members), units, interval
    )


def _side(
    values: NDArray[np.float64], rows: NDArray[np.int64], strata: Strata, labels: NDArray[np.int64] | None
) -> _Side:
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
    if labels is None:
        return _Side(means, squared_error, degrees_of_freedom, rows, deviations[:0], len(rows))
    contributions = deviations * np.repeat(weights / counts, counts)[:, None]
    return _Side(means, squared_error, degrees_of_freedom, rows, contributions, len(np.unique(labels[rows])))


def _design_effect(side: _Side, labels: NDArray[np.int64] | None) -> NDArray[np.float64] | float:
    """The squared error of a group's mean over clusters / that of independent rows, per column."""
    if labels is None:
        return 1.0
    totals = sum_by_label(np.unique(labels[side.rows], return_inverse=True)[1], side.contributions)
    clustered = side.units / max(1, side.units - 1) * np.einsum("ij,ij->j", totals, totals)
    rows = len(side.rows)
    independent = rows / max(1, rows - 1) * np.einsum("ij,ij->j", side.contributions, side.contributions)
    return np.where(independent > 0, clustered / np.where(independent > 0, independent, 1), 1.0)


def _covariance(sides: list[_Side], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The covariance of the means of both groups, from the clusters that have rows of both; per column."""
    totals = []
    for side in sides:
        contributions = np.zeros((len(labels), side.contributions.shape[1]))
        contributions[side.rows] = side.contributions
        totals.append(sum_by_label(labels, contributions))
    units = len(totals[0])
    return units / max(1, units - 1) * np.einsum("ij,ij->j", *totals)
