"""How far the means of two groups of rows are apart, within strata: rows are compared with rows of their own stratum.

The stratified difference is the mean over strata of (mean of the group - mean of the others), each stratum weighing as
many rows as it has (direct standardisation). Strata that hold rows of one group alone say nothing and are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """One difference a column of the values, in their unit, with its 95 % interval; NaN where there is none.

    estimate, lower, upper: shape (columns,); members, others: rows of the group and of the others in the strata used;
    strata: how many of them; interval: what the 95 % interval is.
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
    """Rows of the strata that hold both groups. rows: [n], which of the given rows; member: [n]; stratum: [n], numbered
    from 0; members, others: [strata], how many rows of each."""

    rows: NDArray[np.int64]
    member: NDArray[np.bool_]
    stratum: NDArray[np.int64]
    members: NDArray[np.int64]
    others: NDArray[np.int64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """What each stratum weighs: its share of the rows."""
        sizes = self.members + self.others
        return sizes / max(1, sizes.sum())


def with_both(member: ArrayLike, stratum: ArrayLike | None = None) -> Strata:
    """The strata in which both groups have rows; one stratum where none is given.

    Args:
        member: shape (rows,), whether a row is of the group.
        stratum: shape (rows,), any numbers.

    Raises:
        ValueError: the shapes differ.
    """
    member = np.asarray(member, dtype=bool)
    stratum = np.zeros(len(member), np.int64) if stratum is None else np.asarray(stratum)
    if member.ndim != 1 or stratum.shape != member.shape:
        raise ValueError(f"member and stratum must be of one shape (rows,), not {member.shape} and {stratum.shape}")
    number = np.unique(stratum, return_inverse=True)[1]
    sizes = np.bincount(number)
    members = np.bincount(number, weights=member, minlength=len(sizes)).astype(np.int64)
    both = (members > 0) & (members < sizes)
    rows = np.flatnonzero(both[number])
    kept = np.cumsum(both)[number[rows]] - 1
    return Strata(rows, member[rows], kept, members[both], (sizes - members)[both])


def stratified_difference(values: ArrayLike, member: ArrayLike, stratum: ArrayLike | None = None) -> Contrast:
    """Mean of the group minus mean of the others, within strata.

    The interval is Welch's, with each group's variance pooled over the strata, so that strata with one row of a group
    count too; one stratum gives Welch's own. None where a group has no two rows in a stratum or nothing varies.

    Args:
        values: shape (rows, columns), all measured. member, stratum: as `with_both`.

    Raises:
        ValueError: shapes differ, or a value is missing.
    """
    values = np.asarray(values, dtype=np.float64)
    strata = with_both(member, stratum)
    if values.ndim != 2 or len(values) != len(np.asarray(member)) or np.isnan(values).any():
        raise ValueError("values must be of shape (rows, columns), with no value missing")
    nothing = np.full(values.shape[1], np.nan)
    if not len(strata.rows):
        return Contrast(nothing, nothing, nothing, 0, 0, 0)
    parts = [
        _moments(values[strata.rows[here]], strata.stratum[here], strata.weights)
        for here in (strata.member, ~strata.member)
    ]
    estimate = strata.weights @ (parts[0][0] - parts[1][0])
    squares = [error for _, error, _ in parts]
    freedom = [np.maximum(free, 1) for _, _, free in parts]
    total = squares[0] + squares[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = total**2 / (squares[0] ** 2 / freedom[0] + squares[1] ** 2 / freedom[1])
        half = student.ppf(0.975, effective) * np.sqrt(total)
    counts = int(strata.members.sum()), int(strata.others.sum())
    unknown = total <= 1e-24 * np.square(values).max(0, initial=0)
    half = np.where(unknown | (min(free for _, _, free in parts) < 1), np.nan, half)
    return Contrast(estimate, estimate - half, estimate + half, *counts, len(strata.members))


def _moments(
    values: NDArray[np.float64], stratum: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Of one group: means [strata, columns], squared error of their weighted mean [columns], degrees of freedom."""
    counts = np.bincount(stratum, minlength=len(weights))
    if len(weights) > 1:
        values = values[np.argsort(stratum, kind="stable")]
    found = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0) / counts[:, None]
    values = values - (np.repeat(found, counts, axis=0) if len(weights) > 1 else found)
    freedom = int((counts - 1).sum())
    variance = np.einsum("ij,ij->j", values, values) / max(1, freedom)
    return found, variance * (weights**2 / counts).sum(), freedom
