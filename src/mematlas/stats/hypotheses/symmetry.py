"""Tests of symmetry of a square table of counts: the same rows graded twice, by two models or checkpoints.

Sources: Bowker (1948), "A test for symmetry in contingency tables"; Stuart (1955) and Maxwell (1970) for margins. The
statistics are those of statsmodels' `SquareTable`, without its shift of empty cells. Two choices are ours, so that
cells without rows count for nothing: Bowker's degrees of freedom are the pairs of cells that hold a row, as the
statistic has no term for the others; Stuart-Maxwell is summed over the groups of categories that rows move between, as
its covariance is singular where no row moves from group to group. Without empty cells both are the textbook's.

Where few rows move, p errs to the large side: the statistic keeps its mean, the degrees of freedom, and varies less.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2
from statsmodels.stats.contingency_tables import SquareTable

_FEW = 10  # rows that move between two categories: below, a cell expects fewer than five of them (Cochran's rule)


@dataclass(frozen=True, slots=True)
class SymmetryTest:
    """A test's result; all are None but the `reason` where nothing could be tested.

    freedom: degrees of freedom of chi squared; sparse: over a fifth of the parts compared hold too few rows for a good
    approximation, so that p is rough.
    """

    name: str
    statistic: float | None
    freedom: int | None
    p: float | None
    sparse: bool | None
    reason: str | None = None


def bowker(counts: ArrayLike) -> SymmetryTest:
    """Bowker's test of whether as many rows go from a to b as from b to a, for all pairs of categories.

    counts: shape (categories, categories), rows by category in the first and in the second model. The diagonal has no
    influence.

    Raises:
        ValueError: counts is not square, or holds a negative number.
    """
    name, table = "Bowker", _square(counts)
    moving = (table + table.T)[np.triu_indices(len(table), 1)]
    moving = moving[moving > 0]
    if not moving.size:
        return _untested(name, table)
    statistic = float(SquareTable(table, shift_zeros=False).symmetry().statistic)
    return _tested(name, statistic, moving.size, moving)


def stuart_maxwell(counts: ArrayLike) -> SymmetryTest:
    """The Stuart-Maxwell test of whether both models have the same share of rows in every category.

    counts: as in `bowker`.

    Raises:
        ValueError: counts is not square, or holds a negative number.
    """
    name, table = "Stuart-Maxwell", _square(counts)
    np.fill_diagonal(table, 0)
    moving = table.sum(0) + table.sum(1)
    if not moving.any():
        return _untested(name, np.asarray(counts))
    groups, member = connected_components(table, directed=False)
    parts = [table[np.ix_(member == group, member == group)] for group in range(groups)]
    tests = [SquareTable(part, shift_zeros=False).homogeneity() for part in parts if len(part) > 1]
    return _tested(name, float(sum(test.statistic for test in tests)), len(table) - groups, moving[moving > 0])


def _tested(name: str, statistic: float, freedom: int, moving: NDArray[np.float64]) -> SymmetryTest:
    sparse = bool(np.mean(moving < _FEW) > 0.2)
    return SymmetryTest(name, statistic, freedom, float(chi2.sf(statistic, freedom)), sparse)


def _untested(name: str, table: NDArray[np.float64]) -> SymmetryTest:
    reason = "no row changes its category" if table.any() else "there are no rows"
    return SymmetryTest(name, None, None, None, None, reason)


def _square(counts: ArrayLike) -> NDArray[np.float64]:
    table = np.array(counts, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"counts must be square, not of shape {table.shape}")
    if not (table >= 0).all():
        raise ValueError("counts must not be negative or missing")
    return table
