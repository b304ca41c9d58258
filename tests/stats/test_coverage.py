"""Nominal coverage: how often the 95 % interval contains the true share, in simulations."""

import numpy as np
import pytest

from mematlas.stats.estimates.intervals import wilson_bounds

SIMULATIONS = 2000


def coverage(share: float, count: int, bounds=wilson_bounds) -> float:
    """Share of simulated samples whose interval contains the true share."""
    hits = np.random.default_rng(0).binomial(count, share, SIMULATIONS)
    _, lower, upper = bounds(hits, np.full(SIMULATIONS, count))
    return float(((lower <= share) & (share <= upper)).mean())


@pytest.mark.parametrize("count", [200, 1000])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.8, 0.95])
def test_intervals_of_shares_have_their_nominal_coverage(share, count):
    assert 0.93 <= coverage(share, count) <= 0.97


def test_an_interval_that_is_too_narrow_is_detected():
    def narrow(hits, counts):
        share, lower, upper = wilson_bounds(hits, counts)
        return share, share - 0.8 * (share - lower), share + 0.8 * (upper - share)

    assert coverage(0.3, 200, narrow) < 0.93
