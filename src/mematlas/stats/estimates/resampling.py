"""Means of integer scores with bootstrap intervals, from counts alone.

Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 and 13: percentile intervals, from
rows drawn with replacement. How many rows of each value such a sample holds is multinomial, so drawing those numbers is
exactly the bootstrap over rows, at a cost that does not grow with the rows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS: Final = 2000
_ENDS: Final = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95 % bootstrap interval and sample size; None where there was nothing to count.

    The interval is None too where resampling cannot show what is uncertain: one row, or rows that are all the same.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    interval: str = "bootstrap 95 %"


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean minus that of other, independent rows, with its 95 % bootstrap interval and both sample sizes.

    The estimate is None where either has nothing to count; the interval is None too where either has one row, or where
    all rows of both are the same within their group.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    other_count: int
    interval: str = "bootstrap 95 %"


def mean_of_counts(values: ArrayLike, counts: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> Mean:
    """The mean of a score of which `counts[i]` rows have the value `values[i]`.

    Args:
        values, counts: shape (k,), in any order, values may come twice; counts are not negative.
        draws: bootstrap samples.
        seed: of the generator; the same input gives the same interval.

    Raises:
        ValueError: the shapes differ, or a count is negative or no whole number.
    """
    values, counts = _checked(values, counts)
    count = int(counts.sum())
    if count == 0:
        return Mean(None, None, None, 0)
    estimate = float(values @ counts / count)
    if len(values) == 1:
        return Mean(estimate, None, None, count)
    lower, upper = np.quantile(_means(values, counts, draws, np.random.default_rng(seed)), _ENDS)
    return Mean(estimate, float(lower), float(upper), count)


def difference_of_counts(
    values: ArrayLike,
    counts: ArrayLike,
    *,
    other_values: ArrayLike,
    other_counts: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """The mean of the first rows minus that of the other rows, as training rows minus control rows.

    Args, Raises: as `mean_of_counts`, for two groups of rows that are resampled independently.
    """
    values, counts = _checked(values, counts)
    other_values, other_counts = _checked(other_values, other_counts)
    count, other = int(counts.sum()), int(other_counts.sum())
    if not count or not other:
        return Difference(None, None, None, count, other)
    estimate = float(values @ counts / count - other_values @ other_counts / other)
    if min(count, other) == 1 or len(values) == len(other_values) == 1:
        return Difference(estimate, None, None, count, other)
    generator = np.random.default_rng(seed)
    drawn = _means(values, counts, draws, generator) - _means(other_values, other_counts, draws, generator)
    lower, upper = np.quantile(drawn, _ENDS)
    return Difference(estimate, float(lower), float(upper), count, other)


def _checked(values: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each value that has rows, once, the most frequent first, by which NumPy draws fastest; and their numbers."""
    scores, rows = np.asarray(values, dtype=np.float64), np.asarray(counts)
    if scores.shape != rows.shape or scores.ndim != 1:
        raise ValueError(f"values and counts must be of one shape (k,), not {scores.shape} and {rows.shape}")
    if (rows < 0).any() or (rows != np.floor(rows)).any():
        raise ValueError("counts must be whole numbers of rows, not negative")
    known = rows > 0
    scores, place = np.unique(scores[known], return_inverse=True)
    rows = np.bincount(place, weights=rows[known], minlength=len(scores)).astype(np.int64)
    order = np.argsort(-rows, kind="stable")
    return scores[order], rows[order]


def _means(
    values: NDArray[np.float64], counts: NDArray[np.int64], draws: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Means of `draws` bootstrap samples, shape (draws,)."""
    count = int(counts.sum())
    return generator.multinomial(count, counts / count, size=draws) @ values / count
