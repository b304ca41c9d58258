"""Confidence intervals for shares."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z: Final = 1.959963984540054  # two-sided 95 % of the normal distribution


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
    share = hits / count
    lower, upper = wilson_interval(share, count)
    # for shares of 0 and 1 the formula gives these bounds only up to rounding
    return Share(share, 0.0 if hits == 0 else float(lower), 1.0 if hits == count else float(upper), count)


def wilson_interval(share: ArrayLike, count: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of shares at sample sizes that need not be whole numbers."""
    p, n = np.asarray(share, np.float64), np.asarray(count, np.float64)
    center = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half_width = Z * np.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return center - half_width, center + half_width


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
