"""Decays of known law: the floor inside its interval, the right law preferred, and nothing claimed of noise."""

from collections import Counter

import numpy as np
import pytest

from mematlas.stats.regression.decay import POINTS_FOR_DECAY, Decay, exponential, fit_decay

T = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128.0])
FLOOR = 0.1


def curve(law: str) -> np.ndarray:
    return {
        "exponential": exponential(T, 0.5, 0.05, FLOOR),
        "log-time": 0.6 - 0.1 * np.log1p(T),
        "log-time to 0": np.maximum(0, 0.6 - 0.2 * np.log1p(T)),
        "noise": np.zeros(len(T)),
        "level": np.full(len(T), 0.3),
    }[law]


def simulated(law: str, times: int = 60, series: int = 16, noise: float = 0.02) -> list[Decay]:
    """Fits to series about the curve: each has a level of its own and independent noise at every point."""
    rng, y = np.random.default_rng(0), curve(law)
    return [
        fit_decay(T, y + rng.normal(0, noise, (series, 1)) + rng.normal(0, noise, (series, len(T))))
        for _ in range(times)
    ]


def test_the_floor_of_an_exponential_is_in_its_interval_and_log_time_is_not_preferred():
    fits = simulated("exponential")
    assert {fit.law for fit in fits} == {"exponential"}
    covered = sum(fit.lower <= FLOOR <= fit.upper for fit in fits)
    assert covered >= 52, "a 95 % interval misses 9 or more of 60 once in 1,000 times"
    assert np.mean([fit.upper - fit.lower for fit in fits]) < 0.05
    assert np.mean([fit.c for fit in fits]) == pytest.approx(FLOOR, abs=0.005)
    assert np.mean([fit.b for fit in fits]) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("law", ["log-time", "log-time to 0"])
def test_a_fall_with_the_logarithm_of_time_is_told_and_has_no_floor(law):
    fits = simulated(law)
    laws = Counter(fit.law for fit in fits)
    assert laws["log-time"] >= 55
    assert laws["exponential"] == 0
    assert all(fit.c is None and "has no floor" in fit.reason for fit in fits if fit.law == "log-time")


@pytest.mark.parametrize("law", ["noise", "level"])
def test_of_noise_alone_no_law_and_no_floor_is_claimed(law):
    fits = simulated(law)
    laws = Counter(fit.law for fit in fits)
    assert laws["exponential"] + laws["log-time"] <= 3
    assert sum(fit.c is not None for fit in fits) <= 3
    assert any("nothing falls by more than chance" in fit.reason for fit in fits)


def test_points_on_the_curve_give_it_back():
    fit = fit_decay(T, np.tile(curve("exponential"), (4, 1)))
    assert fit.c == pytest.approx(FLOOR, abs=2e-3)
    assert exponential(T, fit.a, fit.b, fit.c) == pytest.approx(curve("exponential"), abs=3e-3)
    assert fit.law == "exponential"


def test_the_start_of_the_clock_changes_a_only():
    early, late = (fit_decay(T + start, np.tile(curve("exponential"), (4, 1))) for start in (0, 2))
    assert (late.b, late.c) == (pytest.approx(early.b), pytest.approx(early.c))
    assert late.a == pytest.approx(early.a * np.exp(2 * early.b))


def test_what_still_falls_at_the_end_has_no_floor():
    line = fit_decay(T, np.tile(1 - T / 200, (4, 1)) + np.arange(4)[:, None] / 100)
    assert (line.c, line.lower) == (None, None)
    assert "still falling at the end" in line.reason


def test_too_few_points_and_a_single_series_are_null_with_a_reason():
    few = fit_decay(T[: POINTS_FOR_DECAY - 1], np.ones((3, POINTS_FOR_DECAY - 1)))
    assert (few.c, few.law, few.errors) == (None, None, {})
    assert few.reason == "4 points from the peak on; comparing laws needs 5"
    single = fit_decay(T, curve("exponential")[None])
    assert (single.lower, single.law) == (None, None)
    assert single.c == pytest.approx(FLOOR, abs=2e-3)
    assert "one series" in single.reason


def test_series_weigh_as_much_as_the_rows_behind_them():
    y = np.stack([curve("exponential"), curve("exponential") + 0.3])
    assert fit_decay(T, y, [3, 1]).c == pytest.approx(fit_decay(T, y[[0, 0, 0, 1]]).c)


@pytest.mark.parametrize(
    ("t", "y", "message"),
    [
        ([0, 1], np.ones((2, 3)), "must have shapes"),
        ([0, 1, 1], np.ones((2, 3)), "must ascend"),
        ([-1, 1, 2], np.ones((2, 3)), "must ascend from 0"),
        ([0, 1, 2], np.full((2, 3), np.nan), "must be finite"),
    ],
)
def test_wrong_arguments_are_refused(t, y, message):
    with pytest.raises(ValueError, match=message):
        fit_decay(t, y)
