"""Intervals for shares."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Z = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % Wilson interval and sample size; None where there was nothing to count."""

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    interval: str = "Wilson 95 %"


def wilson(hits: int, count: int) -> Share:
    """The share `hits / count` with its Wilson score interval (Wilson 1927), which holds for shares near 0 and 1.

    Raises:
        ValueError: hits is not between 0 and count.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"hits must be between 0 and count, not {hits} of {count}")
    if count == 0:
        return Share(None, None, None, 0)
    share, squared = hits / count, _Z * _Z
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = _Z * sqrt(share * (1 - share) / count + squared / (4 * count * count)) / (1 + squared / count)
    # at the ends the formula gives 0 and 1 only up to rounding
    return Share(share, 0.0 if hits == 0 else centre - half, 1.0 if hits == count else centre + half, count)


def wilson_bounds(hits: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """`wilson` for many shares at once: estimates, lower and upper ends; NaN where there was nothing to count.

    Raises:
        ValueError: somewhere hits is not between 0 and count.
    """
    found = [wilson(int(hit), int(count)) for hit, count in zip(np.ravel(hits), np.ravel(counts), strict=True)]
    columns = [[getattr(share, name) for share in found] for name in ("estimate", "lower", "upper")]
    return tuple(np.array([np.nan if value is None else value for value in column]) for column in columns)


def standard_error(lower: float, upper: float) -> float:
    """The standard error that a 95 % interval of normal width stands for: a quarter of it, nearly."""
    return (upper - lower) / 3.92
