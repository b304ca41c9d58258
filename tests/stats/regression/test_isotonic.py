"""Where a rising quantity reaches a level: by hand, beside the interval's coverage, and where it never does."""

import numpy as np
import pytest

from mematlas.stats.regression.isotonic import crossing


def test_the_crossing_is_on_a_straight_line_between_the_points_of_the_fit():
    found = crossing([1, 2, 4, 8], [0, 6, 10, 30], ["a"] * 4, level=16)
    assert found.estimate == pytest.approx(4 + 4 * (16 - 10) / (30 - 10))
    assert (found.low, found.high, found.units) == (None, None, 1)


def test_what_falls_is_pooled():
    # the means 12 (twice) and 4 of the points 2 and 4 become (12 + 12 + 4) / 3
    found = crossing([1, 2, 2, 4, 8], [0, 12, 12, 4, 32], list("abcde"), level=16)
    assert found.estimate == pytest.approx(4 + 4 * (16 - 28 / 3) / (32 - 28 / 3))


def test_a_level_reached_at_once_is_reached_at_the_first_point():
    assert crossing([3, 5], [20, 30], ["a", "b"], level=16).estimate == 3


def test_a_level_that_is_not_reached_is_no_number():
    found = crossing([1, 2, 4], [0, 1, 2], ["a", "b", "c"], level=16)
    assert (found.estimate, found.low, found.high) == (None, None, None)


def test_an_end_beyond_all_points_is_no_number_where_some_units_reach_the_level():
    x, y, units = [], [], []
    for unit in range(8):
        x, y, units = [*x, 1, 10], [*y, 0, 20 if unit < 5 else 10], [*units, unit, unit]
    found = crossing(x, y, units, level=16)
    assert found.estimate == pytest.approx(1 + 9 * 16 / 16.25)
    assert 1 < found.low < found.estimate
    assert found.high is None


def test_the_interval_holds_the_truth():
    rng, hits = np.random.default_rng(0), 0
    x = np.tile([1, 2, 4, 8, 16, 32], 12)
    units = np.repeat(np.arange(12), 6)
    for _ in range(40):
        y = x + rng.normal(0, 4, 12)[units]  # every unit has a level of its own; the mean is x
        found = crossing(x, y, units, level=12)
        hits += (found.low or 0) <= 12 <= (found.high or np.inf)
    assert hits >= 34


def test_measurements_without_units_are_refused():
    with pytest.raises(ValueError, match="not 2, 2, 1"):
        crossing([1, 2], [1, 2], ["a"], level=1)
