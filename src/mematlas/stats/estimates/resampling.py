"""Means of integer scores with bootstrap intervals, computed from counts.

Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 and 13: percentile intervals from
rows drawn with replacement. The numbers of rows with each value in such a sample are multinomial, so drawing these
numbers is exactly the bootstrap over rows, at a cost that does not depend on the number of rows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS: Final = 2000
_QUANTILES: Final = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean with its 95 % bootstrap interval and sample size; None where there was nothing to count.

    The interval is also None where resampling shows no variation: one row, or rows with equal values.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    interval: str = "bootstrap 95 %"


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A mean minus the mean of other, independent rows, with its 95 % bootstrap interval and both sample sizes.

    The estimate is None if either group is empty. The interval is also None if either has one row, or if all rows have
    equal values within each group.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    other_count: int
    interval: str = "bootstrap 95 %"


def bootstrap_mean(values: ArrayLike, counts: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> MeanEstimate:
    """The mean of a score, where `counts[i]` rows have the value `values[i]`.

    Args:
        values, counts: shape (k,), in any order; values may repeat; counts are not negative.
        draws: number of bootstrap samples.
        seed: of the random generator; the same input gives the same interval.

    Raises:
        ValueError: the shapes differ, or a count is negative or not a whole number.
    """
    values, counts = _distinct_values(values, counts)
    count = int(counts.sum())
    if count == 0:
        return MeanEstimate(None, None, None, 0)
    estimate = float(values @ counts / count)
    if len(values) == 1:
        return MeanEstimate(estimate, None, None, count)
    lower, upper = np.quantile(_bootstrap_means(values, counts, draws, np.random.default_rng(seed)), _QUANTILES)
    return MeanEstimate(estimate, float(lower), float(upper), count)


def bootstrap_mean_difference(
    values: ArrayLike,
    counts: ArrayLike,
    *,
    other_values: ArrayLike,
    other_counts: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
) -> MeanDifference:
    """The mean of some rows minus the mean of other rows, e.g. training rows minus control rows.

    Args, Raises: as `bootstrap_mean`, for two groups of rows that are resampled independently.
    """
    values, counts = _distinct_values(values, counts)
    other_values, other_counts = _distinct_values(other_values, other_counts)
    count, other_count = int(counts.sum()), int(other_counts.sum())
    if not count or not other_count:
        return MeanDifference(None, None, None, count, other_count)
    estimate = float(values @ counts / count - other_values @ other_counts / other_count)
    if min(count, other_count) == 1 or len(values) == len(other_values) == 1:
        return MeanDifference(estimate, None, None, count, other_count)
    generator = np.random.default_rng(seed)
    sampled = _bootstrap_means(values, counts, draws, generator) - _bootstrap_means(
        other_values, other_counts, draws, generator
    )
    lower, upper = np.quantile(sampled, _QUANTILES)
    return MeanDifference(estimate, float(lower), float(upper), count, other_count)


def _distinct_values(values: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distinct values that have rows, and their counts; most frequent first, which is fastest to draw from."""
    distinct, totals = np.asarray(values, dtype=np.float64), np.asarray(counts)
    if distinct.shape != totals.shape or distinct.ndim != 1:
        raise ValueError(f"values and counts must have the same shape (k,), not {distinct.shape} and {totals.shape}")
    if (totals < 0).any() or (totals != np.floor(totals)).any():
        raise ValueError("counts must be whole numbers, 0 or above")
    has_rows = totals > 0
    distinct, index = np.unique(distinct[has_rows], return_inverse=True)
    totals = np.bincount(index, weights=totals[has_rows], minlength=len(distinct)).astype(np.int64)
    order = np.argsort(-totals, kind="stable")
    return distinct[order], totals[order]


def _bootstrap_means(
    values: NDArray[np.float64], counts: NDArray[np.int64], draws: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Means of `draws` bootstrap samples, shape (draws,)."""
    count = int(counts.sum())
    return generator.multinomial(count, counts / count, size=draws) @ values / count
