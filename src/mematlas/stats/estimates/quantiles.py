"""A quantile of independent values with an interval between two order statistics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom


@dataclass(frozen=True, slots=True)
class Quantile:
    """One quantile in the unit of the values, and the ends of its 95 % interval, None where too few values lie beyond;
    count: values."""

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    interval: str = "order statistics 95 %"


def quantile(values: ArrayLike, probability: float) -> Quantile:
    """The quantile by linear interpolation; there is none where fewer than one value is expected beyond it.

    Source: David and Nagaraja (2003), Order Statistics, section 7.1: the interval is between the values whose ranks the
    number of values below the quantile, which is binomial, has with 95 %. It covers at least as often.

    Raises:
        ValueError: the probability is not between 0 and 1, or a value is not finite.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    count = len(ordered)
    if not 0 < probability < 1 or not np.isfinite(ordered).all():
        raise ValueError(f"finite values and a probability between 0 and 1 are needed, not {probability}")
    if count * min(probability, 1 - probability) < 1 - 1e-9:
        return Quantile(None, None, None, count)
    low = int(binom.ppf(0.025, count, probability))  # ranks from 1; 0: below all values
    high = int(binom.ppf(0.975, count, probability)) + 1
    lower = float(ordered[low - 1]) if low >= 1 else None
    upper = float(ordered[high - 1]) if high <= count else None
    return Quantile(float(np.quantile(ordered, probability)), lower, upper, count)
