"""How far rows lie from each other: distances and cosines of all pairs, and their means within and between groups.

Source: P1, Fig. 5 (Euclidean distance and cosine similarity between rows). The intervals are our choice: pairs share
rows, so that a row is left out at a time (Tukey's jackknife; Arvesen 1969 for means over pairs), which takes row sums
of the matrix alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]
_ROUNDING: Final = 1e-12  # squared distances below this share of the squared lengths are rounding


@dataclass(frozen=True, slots=True, eq=False)
class PairMeans:
    """Means over pairs of rows, in the unit of the matrix; NaN where there is none. All of shape [pairs of groups].

    first, second: rows of the two groups; count: pairs of rows; interval: what the 95 % interval is.
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    count: NDArray[np.int64]
    interval: str = "jackknife over rows 95 %"


def standardized(states: ArrayLike) -> Floats:
    """Each dimension moved to mean 0 and scaled to standard deviation 1 over the rows, then all by 1 / sqrt(2 width).

    The mean squared distance of two rows is then 1 (n / (n - 1) over n rows), whatever the width. Our choice.

    Args:
        states: shape (rows, width); a row with a value that is not finite counts as missing and is NaN in the result.

    Returns:
        shape (rows, dimensions that are not constant), of no width where all are.
    """
    values, known = _known(states)
    if not known.any():
        return np.empty((len(values), 0))
    here = values[known]
    spread = here.std(0)
    # a constant column may differ from its mean by rounding
    varying = spread > 1e-9 * np.abs(here).max(0)
    result = np.full((len(values), int(varying.sum())), np.nan)
    result[known] = (here - here.mean(0))[:, varying] / spread[varying]
    return result / np.sqrt(2 * max(1, result.shape[1]))


def euclidean(states: ArrayLike) -> Floats:
    """Euclidean distances of all pairs, [rows, rows], in the unit of the states.

    A distance below a millionth of the rows' own size (about their mean) is rounding and 0.

    Args:
        states: shape (rows, width); a row that is not finite has NaN everywhere, as has each without any width.
    """
    values, known = _known(states)
    if known.any():
        values = values - values[known].mean(0)
    values[~known] = 0
    products = values @ values.T
    lengths = np.diag(products)[:, None] + np.diag(products)
    squares = lengths - 2 * products
    squares[squares < _ROUNDING * lengths] = 0
    return _only(np.sqrt(squares, out=squares), known & np.full(len(known), values.shape[1] > 0))


def cosine(states: ArrayLike) -> Floats:
    """Cosine similarities of all pairs, [rows, rows], -1 to 1; a row of length 0 has none (NaN). Args: `euclidean`."""
    values, known = _known(states)
    lengths = np.linalg.norm(values, axis=1)
    known = known & (lengths > 0)
    values = values / np.where(known, lengths, 1)[:, None]
    values[~known] = 0
    products = values @ values.T
    return _only(np.clip(products, -1, 1, out=products), known)


def pair_means(matrix: ArrayLike, members: ArrayLike, pairs: Sequence[tuple[int, int]]) -> PairMeans:
    """Mean of the matrix over pairs of different rows, one of each group, with the jackknife's 95 % interval.

    Rows are left out one at a time; Student's t with n - 1 degrees of freedom within a group, Welch's between two. No
    interval with fewer than three rows within (two in each between), or where leaving rows out changes nothing.

    Args:
        matrix: shape (rows, rows), symmetric; rows with NaN on the diagonal are missing.
        members: shape (rows, groups), Boolean.
        pairs: of groups, by number: a group with itself, or two that share no row.

    Raises:
        ValueError: shapes differ, or two different groups of a pair share a row.
    """
    matrix, members = np.asarray(matrix, dtype=np.float64), np.asarray(members, dtype=bool)
    if members.ndim != 2 or matrix.shape != (len(members), len(members)):
        raise ValueError(f"matrix must be [rows, rows] and members [rows, groups], not {matrix.shape}, {members.shape}")
    if any(first != second and (members[:, first] & members[:, second]).any() for first, second in pairs):
        raise ValueError("two different groups of a pair must share no row")
    known = ~np.isnan(np.diag(matrix))
    members = members & known[:, None]
    own = np.where(known, np.diag(matrix), 0)
    sums = (matrix if known.all() else np.where(known[:, None] & known, matrix, 0)) @ members.astype(np.float64)
    found = [
        _within((sums[:, one] - own)[members[:, one]])
        if one == other
        else _between(sums[members[:, one], other], sums[members[:, other], one])
        for one, other in pairs
    ]
    estimate, variance, freedom = np.array(found, dtype=np.float64).reshape(-1, 3).T
    error = np.where(variance > np.square(1e-9 * estimate), np.sqrt(variance), np.nan)
    half = student.ppf(0.975, np.maximum(freedom, 1)) * error
    rows = members.sum(0)
    first, second = (rows[[pair[side] for pair in pairs]] for side in (0, 1))
    same = np.array([one == other for one, other in pairs], dtype=bool)
    count = np.where(same, first * (first - 1) // 2, first * second)
    return PairMeans(estimate, estimate - half, estimate + half, first, second, count)


def _within(sums: Floats) -> tuple[float, float, float]:
    """Mean over the pairs of a group, its variance and degrees of freedom. sums: of each row, to the others of it."""
    n = len(sums)
    if n < 2:
        return np.nan, np.nan, np.nan
    mean = float(sums.sum() / (n * (n - 1)))
    if n < 3:
        return mean, np.nan, np.nan
    # without row i the mean is (total - 2 sums[i]) / ((n - 1)(n - 2))
    apart = 2 * (sums - sums.mean()) / ((n - 1) * (n - 2))
    return mean, (n - 1) / n * float(apart @ apart), n - 1


def _between(mine: Floats, others: Floats) -> tuple[float, float, float]:
    """As `_within`, over the pairs of two groups. mine: sums of each row of the first to the second; others: of each of
    the second to the first."""
    n, m = len(mine), len(others)
    if not n or not m:
        return np.nan, np.nan, np.nan
    mean = float(mine.sum() / (n * m))
    if min(n, m) < 2:
        return mean, np.nan, np.nan
    parts = float(np.var(mine / m, ddof=1) / n), float(np.var(others / n, ddof=1) / m)
    freedom = sum(parts) ** 2 / max(parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1), 1e-300)
    return mean, sum(parts), freedom


def _known(states: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """A copy in which missing rows are 0, and which rows are there."""
    values = np.array(states, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"states must be of shape (rows, width), not {values.shape}")
    known = np.asarray(np.isfinite(values).all(1), dtype=bool)
    values[~known] = 0
    return values, known


def _only(matrix: Floats, known: NDArray[np.bool_]) -> Floats:
    """The matrix with NaN in rows and columns that are missing."""
    if not known.all():
        matrix[~known], matrix[:, ~known] = np.nan, np.nan
    return matrix
