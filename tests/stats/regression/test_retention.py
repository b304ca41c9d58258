"""What a showing brings and what is left of it: exact without noise, nothing where nothing was shown."""

import numpy as np
import pytest

from mematlas.stats.regression.retention import effectivities, faithful_retention, forgetting_line, retention

TIMES = np.array([0, 1, 2, 3, 5, 9, 11, 101, 1001])
NEVER = np.full((3, len(TIMES)), 5.0)


def fading(slope: float, facts: int = 4, lost: float = 0.0) -> np.ndarray:
    """The loss falls by 1 at t = 1, and comes back linearly in the logarithm of the time since; lost: at once."""
    back = np.concatenate([[1.0, 0.0], lost + slope * np.log10(TIMES[2:] - 1)])
    return np.tile(4 + back, (facts, 1))


def test_a_loss_that_comes_back_in_log_time_gives_its_slope_and_the_time_at_which_it_is_back():
    found = retention(TIMES, fading(0.25), NEVER, last=0, window=10)
    assert found.acquired == pytest.approx(1)
    assert found.times.tolist() == [1, 2, 4, 8, 10, 100, 1000]
    assert found.left.tolist() == pytest.approx((1 - 0.25 * np.log10(found.times)).tolist())
    assert (found.slope, found.period) == (pytest.approx(-0.25), pytest.approx(10**4))
    assert (found.reason, found.low, found.acquired_bounds) == (None, None, None), "equal facts have no interval"
    clock, left, facts = faithful_retention(TIMES, fading(0.25), last=0, window=10)
    assert (clock.tolist(), facts) == ([1, 2, 4, 8, 10, 100, 1000], 4)
    assert left.tolist() == pytest.approx(found.left.tolist())


def test_the_gain_of_facts_never_shown_is_subtracted():
    drift = 0.1 * TIMES / TIMES[-1]
    plain = retention(TIMES, fading(0.25), NEVER, last=0, window=10)
    drifting = retention(TIMES, fading(0.25) - drift, NEVER - drift, last=0, window=10)
    assert drifting.left.tolist() == pytest.approx(plain.left.tolist())
    assert drifting.period == pytest.approx(plain.period)
    _, left, _ = faithful_retention(TIMES, fading(0.25) - drift, last=0, window=10)
    assert left[-1] > plain.left[-1] + 0.09, "the published one takes the drift for memory"


def test_effectivity_is_the_fall_to_the_smallest_loss_in_the_window():
    losses = np.array([[5.0, 4.0, 3.0, 4.5, 4.0, 3.9, 3.0, 1.0, 0.0]])
    assert effectivities(TIMES, losses, [0, 3], 4).tolist() == [[2.0, pytest.approx(0.5)]]
    with pytest.raises(ValueError, match="nothing was measured at 4 and up to 4 steps later"):
        effectivities(TIMES, losses, [4], 4)


def test_noise_alone_has_effectivity_and_none_after_the_correction():
    rng, differences, raw = np.random.default_rng(3), [], []
    for _ in range(40):
        shown, never = (5 + rng.normal(size=(12, len(TIMES))) for _ in range(2))
        of_facts, of_never = (effectivities(TIMES, values, [0], 10).mean() for values in (shown, never))
        differences.append(of_facts - of_never)
        raw.append(of_facts)
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    assert abs(np.mean(differences)) < 2 * error
    assert np.mean(raw) > 10 * np.std(raw, ddof=1) / np.sqrt(len(raw)), "a minimum of noise is below its mean"


def test_nothing_acquired_is_a_reason_and_no_division():
    found = retention(TIMES, NEVER, NEVER, last=0, window=10)
    assert (found.acquired, found.slope, found.period) == (0, None, None)
    assert np.isnan(found.left).all()
    assert found.reason == "nothing was clearly acquired, so that there is no share of it"
    assert faithful_retention(TIMES, NEVER, last=0, window=10)[2] == 0
    noise = 5 + np.random.default_rng(0).normal(size=(2, 8, len(TIMES)))
    assert retention(TIMES, noise[0], noise[1], last=0, window=10).slope is None


def test_the_interval_holds_the_truth_and_shrinks_with_the_facts():
    rng = np.random.default_rng(1)
    widths = []
    for facts in (16, 400):
        losses = fading(0.25, facts, lost=0.2) + 0.1 * rng.normal(size=(facts, len(TIMES)))
        never = 5 + 0.1 * rng.normal(size=(facts, len(TIMES)))
        found = retention(TIMES, losses, never, last=0, window=10)
        assert found.slope_bounds[0] < found.slope < found.slope_bounds[1]
        assert found.slope_bounds[0] < -0.25 < found.slope_bounds[1]
        assert found.low < 10**3.2 < found.high
        widths.append(found.slope_bounds[1] - found.slope_bounds[0])
    assert widths[1] < widths[0] / 3


def test_values_far_outside_the_quartiles_are_dropped_from_the_published_one():
    losses = fading(0.25, facts=9)
    losses[0, 3] = 100.0
    _, left, _ = faithful_retention(TIMES, losses, last=0, window=10)
    assert left[1] == pytest.approx(1 - 0.25 * np.log10(2))


def test_what_does_not_fall_has_no_period():
    assert forgetting_line([1, 10, 100], [1, 1.1, 1.2])[1:] == (None, "what is left does not fall")
    assert forgetting_line([1], [1]) == (None, None, "a line needs two times after the last showing")
    assert "more than a million times" in forgetting_line([1, 10], [1, 0.99])[2]
