"""Confidence intervals for shares."""

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
    """The share `hits / count` with its Wilson score interval (Wilson 1927), which is valid near 0 and 1 too.

    Raises:
        ValueError: hits is not between 0 and count.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"hits must be between 0 and count, not {hits} of {count}")
    if count == 0:
        return Share(None, None, None, 0)
    share, z_squared = hits / count, _Z * _Z
    center = (share + z_squared / (2 * count)) / (1 + z_squared / count)
    half_width = _Z * sqrt(share * (1 - share) / count + z_squared / (4 * count * count)) / (1 + z_squared / count)
    # for shares of 0 and 1 the formula gives these bounds only up to rounding
    return Share(share, 0.0 if hits == 0 else center - half_width, 1.0 if hits == count else center + half_width, count)


def wilson_bounds(hits: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """`wilson` for many shares at once: estimates, lower and upper bounds; NaN where there was nothing to count.

    Raises:
        ValueError: some hits are not between 0 and count.
    """
    shares = [wilson(int(hit), int(count)) for hit, count in zip(np.ravel(hits), np.ravel(counts), strict=True)]
    columns = [[getattr(share, name) for share in shares] for name in ("estimate", "lower", "upper")]
    return tuple(np.array([np.nan if value is None else value for value in column]) for column in columns)


def standard_error(lower: float, upper: float) -> float:
    """The standard error that corresponds to a 95 % interval of a normal distribution: its width / 3.92."""
    return (upper - lower) / 3.92
