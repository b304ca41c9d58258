"""(n, p)-discoverable extraction: how many samples a row needs until its continuation is drawn, in closed form.

Source: K3 (a). A row whose whole continuation is drawn with probability p_z is (n, p)-discoverable iff
1 - (1 - p_z)^n >= p, that is n >= log(1 - p) / log(1 - p_z). Everything is kept as log p_z, as p_z itself is 0 in
floating point long before it is 0.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_HALF: Final = -np.log(2.0)
_SMALLEST: Final = -700.0  # log of a number whose reciprocal still is one
_ROUNDING: Final = 1e-12  # relative; a row that needs exactly n samples shall not need n + 1 by rounding


def samples_needed(log_probability: ArrayLike, p: float) -> NDArray[np.float64]:
    """The smallest n for which a row is (n, p)-discoverable, a whole number, at least 1; of the shape given.

    Infinite where no number is enough (p_z = 0), and where it is beyond the largest float; NaN where log p_z is NaN.

    Args:
        log_probability: log p_z in nats: the sum of the log-probabilities of the continuation's tokens; -inf where
            p_z = 0. What is above 0, by rounding, counts as 0.
        p: the chance wanted of drawing the continuation at least once, between 0 and 1, both excluded.

    Raises:
        ValueError: p is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must be between 0 and 1, both excluded, not {p}")
    given = np.minimum(np.asarray(log_probability, dtype=np.float64), 0.0)
    wanted = -np.log1p(-p)
    with np.errstate(over="ignore", divide="ignore"):
        # where p_z is tiny, -log(1 - p_z) = p_z and 1 / p_z may be beyond any float
        exact = wanted / -_log_of_missing(np.maximum(given, _SMALLEST))
        needed = np.where(given < _SMALLEST, np.exp(np.log(wanted) - given), exact)
    return np.asarray(np.maximum(1.0, np.ceil(needed * (1 - _ROUNDING))))


def _log_of_missing(log_probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 - p_z): by log1p where p_z is small, by expm1 where 1 - p_z is."""
    with np.errstate(divide="ignore"):
        return np.where(log_probability < _HALF, np.log1p(-np.exp(log_probability)), np.log(-np.expm1(log_probability)))


def chance(log_probability: ArrayLike, n: float) -> NDArray[np.float64]:
    """Chance that n samples draw the continuation at least once, 1 - (1 - p_z)^n; of the shape given.

    Args:
        log_probability: as `samples_needed`.
        n: samples, 0 or more.
    """
    given = np.minimum(np.asarray(log_probability, dtype=np.float64), 0.0)
    # 0 samples of a sure continuation would be 0 * -inf
    return np.asarray(-np.expm1(n * _log_of_missing(given))) if n else np.zeros_like(given)


def discoverable_rows(log_probability: ArrayLike, n: ArrayLike, p: float) -> NDArray[np.int64]:
    """How many of the rows are (n, p)-discoverable, for each n; shape (numbers of samples,).

    Args:
        log_probability: shape (rows,), as `samples_needed`; all of them known.
        n: shape (numbers of samples,).
        p: as `samples_needed`.

    Raises:
        ValueError: p is not between 0 and 1, or a log-probability is NaN.
    """
    needed = np.sort(samples_needed(log_probability, p))
    if np.isnan(needed).any():
        raise ValueError("log_probability must be known for every row, but some are NaN")
    finite = needed[np.isfinite(needed)]
    return np.searchsorted(finite, np.asarray(n, dtype=np.float64), side="right").astype(np.int64)
