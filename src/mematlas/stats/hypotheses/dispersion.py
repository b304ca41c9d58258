"""Whether events (memorized rows) lie in an ordered sequence (training order) as by chance, or in clusters.

Source: K1, Poisson Q-Q of memorized rows per 512 consecutive rows. Index of dispersion = variance / mean of the events
a window: 1 for a Poisson process. Where events are not rare, rows scattered by chance give a binomial number a window
and an index of 1 - share, so the test and its Q-Q points stand against the binomial law, of which Poisson's is the
limit for rare events (our choice; K1's memorized rows are about one in a hundred).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2, poisson

WINDOW: Final = 512  # K1
WINDOWS: Final = 20  # our choice: the least number of windows
SMALLEST_WINDOW: Final = 5  # our choice, in rows
SMALLEST_MEAN: Final = 1.0  # expected events a window that the chi-square test asks for (Cochran 1954)
POINTS: Final = 100  # our choice: Q-Q points at most


@dataclass(frozen=True, slots=True)
class Spread:
    """Events of `windows` windows of `size` rows; numbers are None where `reason` says why.

    dispersion: variance / mean (Poisson: 1); against_chance: variance / (mean * (1 - share)), 1 for rows scattered by
    chance whatever the share; p_clustered, p_even: chance of at least, at most, so much of it if scattered by chance
    (chi-square test of homogeneity with windows - 1 degrees of freedom).
    """

    windows: int
    size: int
    events: int
    mean: float | None = None
    dispersion: float | None = None
    against_chance: float | None = None
    p_clustered: float | None = None
    p_even: float | None = None
    reason: str | None = None

    @property
    def verdict(self) -> str | None:
        """How the events lie, at 5 % (two-sided)."""
        if self.p_clustered is None or self.p_even is None:
            return None
        return "clustered" if self.p_clustered < 0.025 else "evenly" if self.p_even < 0.025 else "as by chance"


def window_size(rows: int) -> int | None:
    """512 rows (K1) if that makes at least 20 windows, else a 20th of the rows; None below 5 rows a window."""
    size = min(WINDOW, rows // WINDOWS)
    return size if size >= SMALLEST_WINDOW else None


def window_counts(positions: NDArray[np.int64], rows: int, size: int) -> NDArray[np.int64]:
    """Events in each whole window of `size` consecutive rows; rows after the last whole window are left out.

    Args:
        positions: shape (events,), where events lie, 0 to rows - 1, each once.

    Returns:
        shape (rows // size,).
    """
    windows = rows // size
    return np.bincount(positions // size, minlength=windows)[:windows].astype(np.int64)


def spread(counts: NDArray[np.int64], size: int) -> Spread:
    """How far events per window scatter.

    Args:
        counts: shape (windows,), events in windows of `size` rows each.

    Raises:
        ValueError: a window holds more events than rows.
    """
    windows, events = len(counts), int(counts.sum())
    if windows and counts.max() > size:
        raise ValueError(f"a window of {size} rows cannot hold {counts.max()} events")
    if windows < 2 or events == 0 or events == windows * size:
        reason = "fewer than 2 windows" if windows < 2 else "no row is an event" if not events else "every row is one"
        return Spread(windows, size, events, reason=reason)
    mean, share = events / windows, events / (windows * size)
    dispersion = float(counts.var(ddof=1)) / mean
    against = dispersion / (1 - share)
    if min(mean, size - mean) < SMALLEST_MEAN:
        reason = f"fewer than {SMALLEST_MEAN:g} expected a window, too few for the chi-square test"
        return Spread(windows, size, events, mean, dispersion, against, reason=reason)
    statistic, freedom = against * (windows - 1), windows - 1
    tails = float(chi2.sf(statistic, freedom)), float(chi2.cdf(statistic, freedom))
    return Spread(windows, size, events, mean, dispersion, against, *tails)


def quantile_points(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Q-Q points of events per window at up to 100 probabilities (i - 1/2) / n.

    Returns:
        shape (points, 3), events per window: expected by chance (binomial), by Poisson's law, and observed.
    """
    points = min(len(counts), POINTS)
    at = (np.arange(points) + 0.5) / max(points, 1)
    if not points:
        return np.empty((0, 3), np.int64)
    mean = counts.mean()
    observed = np.quantile(counts, at, method="inverted_cdf")
    return np.column_stack([binom.ppf(at, size, mean / size), poisson.ppf(at, mean), observed]).astype(np.int64)
