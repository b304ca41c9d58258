"""Means and medians of many columns at once, each with its 95 % interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom
from scipy.stats import t as student


@dataclass(frozen=True, slots=True, eq=False)
class Centers:
    """One number a column, in the unit of the values; NaN where there is none. All of shape (columns,).

    count: values that were there; interval: what the 95 % interval is.
    """

    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    count: NDArray[np.int64]
    interval: str


def means(values: ArrayLike) -> Centers:
    """The mean of each column with Student's interval at n - 1 degrees of freedom.

    No interval for one value, or for values that are all the same: nothing then tells how far the mean could be off.
    Where values are heavy-tailed and few the interval errs to the narrow side.

    Args:
        values: shape (rows, columns); NaN: not measured, left out.

    Raises:
        ValueError: values has another number of dimensions.
    """
    values = _checked(values)
    count = len(values) - np.isnan(values).sum(0)
    whole = count == len(values)
    center, error = np.full((2, values.shape[1]), np.nan)
    if len(values):
        center[whole], error[whole] = _moments(values[:, whole] if not whole.all() else values)
    for column in np.flatnonzero(~whole & (count > 0)):
        center[[column]], error[[column]] = _moments(values[~np.isnan(values[:, column]), column, None])
    half = student.ppf(0.975, np.maximum(count - 1, 1)) * np.where(error > 0, error, np.nan)
    return Centers(center, center - half, center + half, count, "Student's t 95 %")


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error of each column; the error is 0 for one value, or values that are all the same."""
    # counted from the first value, so that equal values leave no rounding behind
    apart = values - values[0]
    middle = apart.mean(0)
    apart -= middle
    freedom = max(1, len(values) - 1)
    return values[0] + middle, np.sqrt(np.einsum("ij,ij->j", apart, apart) / freedom / len(values))


def medians(values: ArrayLike) -> Centers:
    """The median of each column with the interval between two order statistics.

    Source: David and Nagaraja (2003), Order Statistics, section 7.1: the values of rank k and n + 1 - k, where k is the
    2.5 % quantile of the binomial number of values below the median; it holds for every distribution and covers at
    least 95 %. No interval for fewer than six values.

    Args, Raises: as `means`.
    """
    values = _checked(values)
    count = (~np.isnan(values)).sum(0)
    ranks = binom.ppf(0.025, count, 0.5)
    found = np.full((3, values.shape[1]), np.nan)
    for n in np.unique(count[count > 0]):
        here = count == n
        rank = int(ranks[here][0])
        places = {(n - 1) // 2, n // 2} | ({rank - 1, n - rank} if rank else set())
        # NaN sorts last, so that the first n are the values that are there
        ordered = np.partition(values[:, here], sorted(places), axis=0)
        found[0, here] = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
        if rank:
            found[1, here], found[2, here] = ordered[rank - 1], ordered[n - rank]
    return Centers(found[0], found[1], found[2], count, "order statistics 95 %")


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"values must be of shape (rows, columns), not {values.shape}")
    return values
