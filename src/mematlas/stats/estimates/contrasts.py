"""The stratified difference of means between a group of rows and the other rows.

It is the mean over strata of (mean of the group - mean of the others), each stratum weighted by its number of rows
(direct standardization). Strata with rows of one group only carry no information and are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """One difference per column of the values, in their unit, with its 95 % interval; NaN where there is none.

    estimate, lower, upper: shape (columns,); members, others: rows of the group and other rows in the strata used;
    strata: number of strata used; interval: the kind of 95 % interval.
    """

    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    members: int
    others: int
    strata: int
    interval: str = "Welch 95 %, variances pooled over strata"


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


def stratified_difference(values: ArrayLike, member: ArrayLike, stratum: ArrayLike | None = None) -> Contrast:
    """Mean of the group minus mean of the others, within strata.

    The interval is Welch's, with each group's variance pooled over the strata, so that strata with one row of a group
    count too; with one stratum it is exactly Welch's. NaN if a group has no two rows in any stratum or nothing varies.

    Args:
        values: shape (rows, columns), none missing. member, stratum: as `strata_with_both_groups`.

    Raises:
        ValueError: shapes differ, or a value is missing.
    """
    values = np.asarray(values, dtype=np.float64)
    strata = strata_with_both_groups(member, stratum)
    if values.ndim != 2 or len(values) != len(np.asarray(member)) or np.isnan(values).any():
        raise ValueError("values must be of shape (rows, columns), with no value missing")
    missing = np.full(values.shape[1], np.nan)
    if not len(strata.rows):
        return Contrast(missing, missing, missing, 0, 0, 0)
    moments = [
        _group_moments(values[strata.rows[in_group]], strata.stratum[in_group], strata.weights)
        for in_group in (strata.member, ~strata.member)
    ]
    estimate = strata.weights @ (moments[0][0] - moments[1][0])
    squared_errors = [error for _, error, _ in moments]
    degrees_of_freedom = [np.maximum(degrees, 1) for _, _, degrees in moments]
    total_squared_error = squared_errors[0] + squared_errors[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        effective_degrees = total_squared_error**2 / (
            squared_errors[0] ** 2 / degrees_of_freedom[0] + squared_errors[1] ** 2 / degrees_of_freedom[1]
        )
        half_width = student_t.ppf(0.975, effective_degrees) * np.sqrt(total_squared_error)
    counts = int(strata.members.sum()), int(strata.others.sum())
    constant = total_squared_error <= 1e-24 * np.square(values).max(0, initial=0)
    half_width = np.where(constant | (min(degrees for _, _, degrees in moments) < 1), np.nan, half_width)
    return Contrast(estimate, estimate - half_width, estimate + half_width, *counts, len(strata.members))


def _group_moments(
    values: NDArray[np.float64], stratum: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Of one group: means [strata, columns], squared error of the weighted mean [columns], degrees of freedom."""
    counts = np.bincount(stratum, minlength=len(weights))
    if len(weights) > 1:
        values = values[np.argsort(stratum, kind="stable")]
    means = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0) / counts[:, None]
    values = values - (np.repeat(means, counts, axis=0) if len(weights) > 1 else means)
    degrees_of_freedom = int((counts - 1).sum())
    variance = np.einsum("ij,ij->j", values, values) / max(1, degrees_of_freedom)
    return means, variance * (weights**2 / counts).sum(), degrees_of_freedom
