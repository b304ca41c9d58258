import numpy as np
import pytest

from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.estimates.stratified import mean_of_shares


def test_each_group_weighs_the_same():
    found = mean_of_shares([1, 90], [10, 100])
    assert found.estimate == pytest.approx((0.1 + 0.9) / 2)
    assert found.count == 110


def test_one_group_has_its_wilson_interval():
    found, alone = mean_of_shares([7], [20]), wilson(7, 20)
    assert (found.lower, found.upper) == pytest.approx((alone.lower, alone.upper))


def test_empty_groups_are_left_out_and_nothing_gives_none():
    assert mean_of_shares([1, 0], [10, 0]).estimate == pytest.approx(0.1)
    assert mean_of_shares([0], [0]).estimate is None
    assert mean_of_shares([], []).lower is None


def test_a_share_of_nothing_keeps_an_interval():
    found = mean_of_shares([0, 0], [20, 20])
    assert found.lower == 0
    assert 0.05 < found.upper < wilson(0, 20).upper


def test_the_interval_holds_the_true_mean_95_times_in_100():
    shares, counts = np.array([0.05, 0.4, 0.9]), np.array([40, 80, 20])
    rng = np.random.default_rng(0)
    found = [mean_of_shares(rng.binomial(counts, shares), counts) for _ in range(2000)]
    assert 0.93 <= np.mean([share.lower <= shares.mean() <= share.upper for share in found]) <= 0.97
