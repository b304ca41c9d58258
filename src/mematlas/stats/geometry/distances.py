"""Distances and cosine similarities of all pairs of rows, and their means within and between groups.

Source: P1, Fig. 5 (Euclidean distance and cosine similarity between rows). The intervals are our choice: because
pairs share rows, they are jackknife intervals over rows (Tukey; Arvesen 1969 for means over pairs), which can be
computed from the row sums of the matrix. Where rows come in clusters (documents, or copies of one text), which are not
independent, a cluster is left out at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.stats import t as student_t

from mematlas.stats.estimates.clustered import dense_labels
from mematlas.stats.geometry.cluster_jackknife import Moments, between_groups_of_clusters, within_group_of_clusters

Floats = NDArray[np.float64]
_TOLERANCE: Final = 1e-12  # smaller squared distances, relative to the squared lengths, are rounding errors


@dataclass(frozen=True, slots=True, eq=False)
class PairMeans:
    """Means over pairs of rows, in the unit of the matrix; NaN where there is none. All of shape [pairs of groups].

    first_rows, second_rows: rows in the two groups; count: pairs of rows; clusters: those of the rows of both, as many
    as rows where these are independent; interval: the kind of 95 % interval.
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    first_rows: NDArray[np.int64]
    second_rows: NDArray[np.int64]
    count: NDArray[np.int64]
    clusters: NDArray[np.int64]
    interval: str = "jackknife over rows 95 %"


def standardize(states: ArrayLike) -> Floats:
    """Standardize each dimension over the rows, then multiply all by 1 / sqrt(2 width).

    The mean squared distance of two rows is then 1 (n / (n - 1) over n rows), whatever the width. Our choice.

    Args:
        states: shape (rows, width); a row with a value that is not finite counts as missing and becomes NaN.

    Returns:
        shape (rows, dimensions that are not constant); the width is 0 if all are constant.
    """
    values, measured = _without_missing(states)
    if not measured.any():
        return np.empty((len(values), 0))
    present = values[measured]
    deviations = present.std(0)
    # the mean of a constant column may differ from its values by rounding
    varying = deviations > 1e-9 * np.abs(present).max(0)
    result = np.full((len(values), int(varying.sum())), np.nan)
    result[measured] = (present - present.mean(0))[:, varying] / deviations[varying]
    return result / np.sqrt(2 * max(1, result.shape[1]))


def euclidean_distances(states: ArrayLike) -> Floats:
    """Euclidean distances of all pairs, [rows, rows], in the unit of the states.

    Distances below a millionth of the rows' lengths (after centering) are rounding errors and set to 0.

    Args:
        states: shape (rows, width); rows that are not finite have NaN distances; so have all rows if the width is 0.
    """
    values, measured = _without_missing(states)
    if measured.any():
        values = values - values[measured].mean(0)
    values[~measured] = 0
    products = values @ values.T
    lengths = np.diag(products)[:, None] + np.diag(products)
    squares = np.subtract(lengths, np.multiply(products, 2, out=products), out=products)
    lengths *= _TOLERANCE
    squares[squares < lengths] = 0
    return _mask_missing(np.sqrt(squares, out=squares), measured & np.full(len(measured), values.shape[1] > 0))


def cosine_similarities(states: ArrayLike) -> Floats:
    """Cosine similarities of all pairs, [rows, rows], -1 to 1; NaN for rows of length 0. See `euclidean_distances`."""
    values, measured = _without_missing(states)
    lengths = np.linalg.norm(values, axis=1)
    measured = measured & (lengths > 0)
    values = values / np.where(measured, lengths, 1)[:, None]
    values[~measured] = 0
    products = values @ values.T
    return _mask_missing(np.clip(products, -1, 1, out=products), measured)


def pair_means(
    matrix: ArrayLike, members: ArrayLike, pairs: Sequence[tuple[int, int]], clusters: ArrayLike | None = None
) -> PairMeans:
    """Mean of the matrix over pairs of different rows, one from each group, with the jackknife 95 % interval.

    Rows, or clusters, are left out one at a time; Student's t with n - 1 degrees of freedom for n of them within a
    group, Welch's between groups. A cluster with rows of both groups is left out of both at once. No interval with
    fewer than three rows or clusters within a group (two in each of two), or if leaving them out changes nothing.

    Args:
        matrix: shape (rows, rows), symmetric; rows with NaN on the diagonal are missing.
        members: shape (rows, groups), Boolean.
        pairs: of group numbers: a group with itself, or two groups without common rows.
        clusters: shape (rows,), any numbers; rows of one number are not independent. None: all rows are.

    Raises:
        ValueError: shapes differ, or two different groups of a pair have a row in common.
    """
    matrix, members = np.asarray(matrix, dtype=np.float64), np.asarray(members, dtype=bool)
    if members.ndim != 2 or matrix.shape != (len(members), len(members)):
        raise ValueError(f"matrix must be [rows, rows] and members [rows, groups], not {matrix.shape}, {members.shape}")
    if any(i != j and (members[:, i] & members[:, j]).any() for i, j in pairs):
        raise ValueError("two different groups of a pair must have no row in common")
    measured = ~np.isnan(np.diag(matrix))
    members = members & measured[:, None]
    matrix = matrix if measured.all() else np.where(measured[:, None] & measured, matrix, 0)
    labels = dense_labels(clusters, len(matrix))
    moments = _moments(matrix, members, pairs) if labels is None else _cluster_moments(matrix, members, pairs, labels)
    estimate, variance, degrees_of_freedom = np.array(moments, dtype=np.float64).reshape(-1, 3).T
    standard_error = np.where(variance > np.square(1e-9 * estimate), np.sqrt(variance), np.nan)
    half_width = student_t.ppf(0.975, np.maximum(degrees_of_freedom, 1)) * standard_error
    rows = members.sum(0)
    first_rows, second_rows = (rows[[pair[side] for pair in pairs]] for side in (0, 1))
    within = np.array([i == j for i, j in pairs], dtype=bool)
    count = np.where(within, first_rows * (first_rows - 1) // 2, first_rows * second_rows)
    units = [_units(members[:, i] | members[:, j], labels) for i, j in pairs]
    ends, sizes = (estimate - half_width, estimate + half_width), (first_rows, second_rows, count)
    interval = "jackknife over rows 95 %" if labels is None else "jackknife over clusters 95 %"
    return PairMeans(estimate, *ends, *sizes, np.array(units, dtype=np.int64), interval)


def _units(member: NDArray[np.bool_], labels: NDArray[np.int64] | None) -> int:
    """The number of rows that are `member`, or of their clusters."""
    return int(member.sum()) if labels is None else len(np.unique(labels[member]))


def _moments(matrix: Floats, members: NDArray[np.bool_], pairs: Sequence[tuple[int, int]]) -> list[Moments]:
    """Mean, variance and degrees of freedom of each pair of groups, from the row sums of the matrix."""
    sums, diagonal = matrix @ members.astype(np.float64), np.diag(matrix)
    return [
        _within_group((sums[:, i] - diagonal)[members[:, i]])
        if i == j
        else _between_groups(sums[members[:, i], j], sums[members[:, j], i])
        for i, j in pairs
    ]


def _cluster_moments(
    matrix: Floats, members: NDArray[np.bool_], pairs: Sequence[tuple[int, int]], labels: NDArray[np.int64]
) -> list[Moments]:
    """As `_moments`, where rows come in clusters; labels: [rows], those of each row."""
    sums, diagonal = matrix @ members.astype(np.float64), np.diag(matrix)
    own_sums = _own_clusters(matrix, labels) @ members.astype(np.float64)
    moments = []
    for i, j in pairs:
        first, second = members[:, i], members[:, j]
        if i == j:
            of_others, of_own = (sums[:, i] - diagonal)[first], (own_sums[:, i] - diagonal)[first]
            moments.append(within_group_of_clusters(of_others, of_own, labels[first]))
        else:
            row_sums = sums[first, j], sums[second, i], own_sums[first, j]
            moments.append(between_groups_of_clusters(*row_sums, labels[first], labels[second]))
    return moments


def _own_clusters(matrix: Floats, labels: NDArray[np.int64]) -> csr_array:
    """The matrix with only the pairs of rows of one cluster; clusters are small, so that most are none."""
    sizes = np.bincount(labels)
    starts, own = (np.cumsum(sizes) - sizes)[labels], sizes[labels]
    ends = np.concatenate([[0], np.cumsum(own)])
    places = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], own)
    columns = np.argsort(labels, kind="stable")[places]
    values = matrix[np.repeat(np.arange(len(labels)), own), columns]
    return csr_array((values, columns, ends), shape=matrix.shape)


def _within_group(sums: Floats) -> tuple[float, float, float]:
    """Mean over the pairs of one group, its variance and degrees of freedom. sums: of each row over the other rows."""
    n = len(sums)
    if n < 2:
        return np.nan, np.nan, np.nan
    mean = float(sums.sum() / (n * (n - 1)))
    if n < 3:
        return mean, np.nan, np.nan
    # without row i the mean is (total - 2 sums[i]) / ((n - 1)(n - 2))
    influence = 2 * (sums - sums.mean()) / ((n - 1) * (n - 2))
    return mean, (n - 1) / n * float(influence @ influence), n - 1


def _between_groups(first_sums: Floats, second_sums: Floats) -> tuple[float, float, float]:
    """As `_within_group`, over the pairs of two groups. first_sums: of each row of the first group over the second;
    second_sums: of each row of the second group over the first."""
    n, m = len(first_sums), len(second_sums)
    if not n or not m:
        return np.nan, np.nan, np.nan
    mean = float(first_sums.sum() / (n * m))
    if min(n, m) < 2:
        return mean, np.nan, np.nan
    variances = float(np.var(first_sums / m, ddof=1) / n), float(np.var(second_sums / n, ddof=1) / m)
    degrees_of_freedom = sum(variances) ** 2 / max(variances[0] ** 2 / (n - 1) + variances[1] ** 2 / (m - 1), 1e-300)
    return mean, sum(variances), degrees_of_freedom


def _without_missing(states: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """A copy in which missing rows are 0, and a mask of the rows that are not missing."""
    values = np.array(states, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"states must be of shape (rows, width), not {values.shape}")
    measured = np.asarray(np.isfinite(values).all(1), dtype=bool)
    values[~measured] = 0
    return values, measured


def _mask_missing(matrix: Floats, measured: NDArray[np.bool_]) -> Floats:
    """Set the rows and columns of missing rows to NaN, in place."""
    if not measured.all():
        matrix[~measured], matrix[:, ~measured] = np.nan, np.nan
    return matrix
