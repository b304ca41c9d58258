"""Whether events (memorized rows) are scattered by chance over a sequence (training order), or clustered.

Source: K1, Poisson Q-Q of memorized rows per 512 consecutive rows. Index of dispersion = variance / mean of the events
per window: 1 for a Poisson process. Where events are not rare, rows scattered by chance give a binomial number per
window and an index of 1 - share. The test and its Q-Q points therefore use the binomial distribution, whose limit for
rare events is the Poisson distribution (our choice; about one row in a hundred is memorized in K1).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2, poisson

WINDOW: Final = 512  # K1, in rows
MIN_WINDOWS: Final = 20  # our choice
MIN_WINDOW_ROWS: Final = 5  # our choice, in rows
MIN_EXPECTED_EVENTS: Final = 1.0  # per window, for the chi-square test (Cochran 1954)
MAX_POINTS: Final = 100  # our choice: Q-Q points


@dataclass(frozen=True, slots=True)
class DispersionTest:
    """Dispersion of events over `windows` windows of `size` rows; numbers are None for the `reason` given.

    dispersion: variance / mean (Poisson: 1); against_chance: variance / (mean * (1 - share)), 1 for rows scattered by
    chance, whatever the share; p_clustered, p_even: one-sided p-values of larger and of smaller dispersion than by
    chance (chi-square test of homogeneity with windows - 1 degrees of freedom).
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
        """How the events are distributed, at the 5 % level (two-sided)."""
        if self.p_clustered is None or self.p_even is None:
            return None
        return "clustered" if self.p_clustered < 0.025 else "evenly" if self.p_even < 0.025 else "as by chance"


def window_size(rows: int) -> int | None:
    """512 rows (K1) if that gives at least 20 windows, else a 20th of the rows; None below 5 rows per window."""
    size = min(WINDOW, rows // MIN_WINDOWS)
    return size if size >= MIN_WINDOW_ROWS else None


def window_counts(positions: NDArray[np.int64], rows: int, size: int) -> NDArray[np.int64]:
    """Events in each complete window of `size` consecutive rows; rows after the last complete window are left out.

    Args:
        positions: shape (events,), distinct row positions of the events, 0 to rows - 1.

    Returns:
        shape (rows // size,).
    """
    windows = rows // size
    return np.bincount(positions // size, minlength=windows)[:windows].astype(np.int64)


def dispersion_test(counts: NDArray[np.int64], size: int) -> DispersionTest:
    """Test whether the events per window are scattered by chance.

    Args:
        counts: shape (windows,), events in windows of `size` rows each.

    Raises:
        ValueError: a window contains more events than rows.
    """
    windows, events = len(counts), int(counts.sum())
    if windows and counts.max() > size:
        raise ValueError(f"a window of {size} rows cannot contain {counts.max()} events")
    if windows < 2 or events == 0 or events == windows * size:
        reason = "fewer than 2 windows" if windows < 2 else "no row is an event" if not events else "every row is one"
        return DispersionTest(windows, size, events, reason=reason)
    mean, share = events / windows, events / (windows * size)
    dispersion = float(counts.var(ddof=1)) / mean
    against_chance = dispersion / (1 - share)
    if min(mean, size - mean) < MIN_EXPECTED_EVENTS:
        reason = f"fewer than {MIN_EXPECTED_EVENTS:g} expected a window, too few for the chi-square test"
        return DispersionTest(windows, size, events, mean, dispersion, against_chance, reason=reason)
    statistic, degrees_of_freedom = against_chance * (windows - 1), windows - 1
    p_values = float(chi2.sf(statistic, degrees_of_freedom)), float(chi2.cdf(statistic, degrees_of_freedom))
    return DispersionTest(windows, size, events, mean, dispersion, against_chance, *p_values)


def quantile_points(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Q-Q points of events per window at up to 100 probabilities (i - 1/2) / n.

    Returns:
        shape (points, 3), events per window: expected by chance (binomial), by the Poisson distribution, and observed.
    """
    points = min(len(counts), MAX_POINTS)
    probabilities = (np.arange(points) + 0.5) / max(points, 1)
    if not points:
        return np.empty((0, 3), np.int64)
    mean = counts.mean()
    observed = np.quantile(counts, probabilities, method="inverted_cdf")
    columns = binom.ppf(probabilities, size, mean / size), poisson.ppf(probabilities, mean), observed
    return np.column_stack(columns).astype(np.int64)
