"""Tests of symmetry of a square table of counts: the same rows graded under two models or checkpoints.

Sources: Bowker (1948), "A test for symmetry in contingency tables"; Stuart (1955) and Maxwell (1970) for margins. The
statistics are those of statsmodels' `SquareTable`, without its shift of empty cells (compared in the tests). Two
choices are ours, so that empty cells have no influence: Bowker's degrees of freedom are the pairs of cells that have a
row, as the statistic has no term for the others; Stuart-Maxwell is summed over the groups of categories between which
rows move, as its covariance is singular where no row moves between groups. Without empty cells both are the textbook
tests.

Where few rows move, p tends to be too large: the statistic keeps its mean, the degrees of freedom, but varies less.

Rows that come in clusters (documents) do not move independently. Both tests then compare the same differences with
their variance between clusters instead: W = d' V^+ d with d the sum, and V the sum of outer products, of the clusters'
contributions to the differences. With one row per cluster W is Bowker's statistic. For q differences and m clusters
F = W (m - q) / (q (m - W)) has an F distribution with q and m - q degrees of freedom (Hotelling 1931, for a mean of 0),
which is reported; with no more clusters than differences there is no test. Contributions of few clusters are far from
normal, and p is then too small: up to MAX_FLIPPED clusters it is that of a sign test instead, the share of random signs
of whole clusters with at least this W, which does not depend on their distribution as long as a cluster is as likely to
move one way as the other (Fisher's randomization test; Chung and Romano 2013 for several dimensions).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2
from scipy.stats import f as fisher_f

MAX_FLIPPED: Final = 200  # clusters; with more the F distribution is close enough (our choice)
_FLIPS: Final = 9999  # random signs of all clusters
_MIN_MOVING: Final = 10  # rows moving between two categories; below, under five are expected in a cell (Cochran)


@dataclass(frozen=True, slots=True)
class SymmetryTest:
    """The result of a test; everything but the `reason` is None where nothing could be tested.

    freedom: degrees of freedom of chi squared; sparse: over a fifth of the compared cells have too few rows for the
    chi-squared approximation, so that p is rough.
    """

    name: str
    statistic: float | None
    freedom: int | None
    p: float | None
    sparse: bool | None
    reason: str | None = None


def bowker(counts: ArrayLike) -> SymmetryTest:
    """Bowker's test of whether as many rows go from a to b as from b to a, for all pairs of categories.

    counts: shape (categories, categories), rows by category in the first and in the second model. The diagonal is
    ignored.

    Raises:
        ValueError: counts is not square, or contains a negative number.
    """
    name, table = "Bowker", _validated_table(counts)
    pairs = np.triu_indices(len(table), 1)
    moving, differences = (table + table.T)[pairs], (table - table.T)[pairs]
    moving, differences = moving[moving > 0], differences[moving > 0]
    if not moving.size:
        return _not_testable(name, table)
    return _result(name, float((differences**2 / moving).sum()), moving.size, moving)


def stuart_maxwell(counts: ArrayLike) -> SymmetryTest:
    """The Stuart-Maxwell test of whether both models have the same share of rows in every category.

    counts: as for `bowker`.

    Raises:
        ValueError: counts is not square, or contains a negative number.
    """
    name, table = "Stuart-Maxwell", _validated_table(counts)
    np.fill_diagonal(table, 0)
    moving = table.sum(0) + table.sum(1)
    if not moving.any():
        return _not_testable(name, np.asarray(counts))
    n_groups, group_of = connected_components(table, directed=False)
    blocks = [table[np.ix_(group_of == group, group_of == group)] for group in range(n_groups)]
    statistic = sum(_margins_statistic(block) for block in blocks if len(block) > 1)
    return _result(name, float(statistic), len(table) - n_groups, moving[moving > 0])


def _margins_statistic(table: NDArray[np.float64]) -> float:
    """Stuart-Maxwell's statistic of one group of categories, table with an empty diagonal.

    The difference of the last margin follows from the others, and is left out.
    """
    differences = (table.sum(0) - table.sum(1))[:-1]
    covariance = (np.diag(table.sum(0) + table.sum(1)) - table - table.T)[:-1, :-1]
    return float(differences @ np.linalg.solve(covariance, differences))


def _result(name: str, statistic: float, freedom: int, moving: NDArray[np.float64]) -> SymmetryTest:
    sparse = bool(np.mean(moving < _MIN_MOVING) > 0.2)
    return SymmetryTest(name, statistic, freedom, float(chi2.sf(statistic, freedom)), sparse)


def _not_testable(name: str, table: NDArray[np.float64]) -> SymmetryTest:
    reason = "no row changes its category" if table.any() else "there are no rows"
    return SymmetryTest(name, None, None, None, None, reason)


def _validated_table(counts: ArrayLike) -> NDArray[np.float64]:
    table = np.array(counts, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"counts must be square, not of shape {table.shape}")
    if not (table >= 0).all():
        raise ValueError("counts must not be negative or missing")
    return table


def clustered_bowker(counts: ArrayLike) -> SymmetryTest:
    """`bowker` for rows in clusters. counts: shape (clusters, categories, categories)."""
    tables = _validated_tables(counts)
    pairs = np.triu_indices(tables.shape[1], 1)
    moving = (tables + tables.transpose(0, 2, 1))[:, *pairs]
    differences = (tables - tables.transpose(0, 2, 1))[:, *pairs]
    return _clustered_test("Bowker, clustered", differences, moving, tables)


def clustered_stuart_maxwell(counts: ArrayLike) -> SymmetryTest:
    """`stuart_maxwell` for rows in clusters. counts: shape (clusters, categories, categories)."""
    tables = _validated_tables(counts)
    off_diagonal = tables * (1 - np.eye(tables.shape[1]))
    differences = off_diagonal.sum(2) - off_diagonal.sum(1)
    moving = off_diagonal.sum(2) + off_diagonal.sum(1)
    return _clustered_test("Stuart-Maxwell, clustered", differences, moving, tables)


def _clustered_test(
    name: str, differences: NDArray[np.float64], moving: NDArray[np.float64], tables: NDArray[np.float64]
) -> SymmetryTest:
    """The test of whether the sums of `differences` over clusters are 0; see the module's docstring.

    moving: rows that change between the categories of each difference, of the same shape.
    """
    is_moving = moving.sum(0) > 0
    if not is_moving.any():
        return _not_testable(name, tables.sum(0))
    contributions = differences[:, is_moving]
    contributions = contributions[moving[:, is_moving].any(1)]
    clusters, total = len(contributions), contributions.sum(0)
    variance = contributions.T @ contributions
    freedom = int(np.linalg.matrix_rank(variance, hermitian=True))
    if not freedom:
        return SymmetryTest(name, None, None, None, None, "as many rows rise as fall in every cluster")
    if clusters <= freedom:
        return SymmetryTest(name, None, None, None, None, f"rows move in {clusters} clusters only, too few for a test")
    statistic = min(float(total @ np.linalg.pinv(variance) @ total), float(clusters))
    f_value = statistic * (clusters - freedom) / (freedom * max(clusters - statistic, 1e-12))
    p = float(fisher_f.sf(f_value, freedom, clusters - freedom))
    if clusters <= MAX_FLIPPED:
        p = _p_of_flipped_signs(contributions, freedom)
    sparse = bool(np.mean(moving.sum(0)[is_moving] < _MIN_MOVING) > 0.2)
    return SymmetryTest(name, f_value, freedom, p, sparse)


def _p_of_flipped_signs(contributions: NDArray[np.float64], rank: int) -> float:
    """The share of random signs of the clusters, the observed ones among them, with at least the observed W.

    contributions: shape (clusters, differences). Their outer products do not depend on signs: with left singular
    vectors U of the contributions, W = |U' signs|^2.
    """
    # neither the order of clusters nor that of the two models may change p
    first = np.take_along_axis(contributions, (contributions != 0).argmax(1)[:, None], axis=1)
    observed_signs = np.where(first < 0, -1.0, 1.0)
    order = np.lexsort((contributions * observed_signs).T)
    scaled = np.linalg.svd((contributions * observed_signs)[order], full_matrices=False)[0][:, :rank]
    signs = np.random.default_rng(0).integers(0, 2, (_FLIPS, len(scaled))) * 2.0 - 1
    flipped = np.square(signs @ scaled).sum(1)
    observed = np.square(observed_signs[order, 0] @ scaled).sum()
    return (1 + int((flipped >= observed - 1e-9).sum())) / (1 + _FLIPS)


def _validated_tables(counts: ArrayLike) -> NDArray[np.float64]:
    tables = np.array(counts, dtype=np.float64)
    if tables.ndim != 3 or tables.shape[1] != tables.shape[2]:
        raise ValueError(f"counts must be of shape (clusters, categories, categories), not {tables.shape}")
    if not (tables >= 0).all():
        raise ValueError("counts must not be negative or missing")
    return tables
