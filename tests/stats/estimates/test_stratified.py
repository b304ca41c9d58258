import numpy as np
import pytest

from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.estimates.stratified import mean_of_shares


def test_groups_have_equal_weight():
    result = mean_of_shares([1, 90], [10, 100])
    assert result.estimate == pytest.approx((0.1 + 0.9) / 2)
    assert result.count == 110


def test_one_group_has_its_wilson_interval():
    result, single = mean_of_shares([7], [20]), wilson(7, 20)
    assert (result.lower, result.upper) == pytest.approx((single.lower, single.upper))


def test_empty_groups_are_left_out_and_nothing_gives_none():
    assert mean_of_shares([1, 0], [10, 0]).estimate == pytest.approx(0.1)
    assert mean_of_shares([0], [0]).estimate is None
    assert mean_of_shares([], []).lower is None


def test_a_share_of_zero_has_an_interval():
    result = mean_of_shares([0, 0], [20, 20])
    assert result.lower == 0
    assert 0.05 < result.upper < wilson(0, 20).upper


def test_the_interval_has_its_nominal_coverage():
    shares, counts = np.array([0.05, 0.4, 0.9]), np.array([40, 80, 20])
    rng = np.random.default_rng(0)
    results = [mean_of_shares(rng.binomial(counts, shares), counts) for _ in range(2000)]
    assert 0.93 <= np.mean([share.lower <= shares.mean() <= share.upper for share in results]) <= 0.97
