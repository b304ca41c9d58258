import numpy as np
import pytest

from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
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


# ------------------------------------------------------------------------------------------------------------ clusters


def test_one_row_per_cluster_is_the_interval_of_independent_rows():
    groups = np.repeat([0, 1, 2], [20, 30, 50])
    hits = np.random.default_rng(1).random(100) < 0.2 + 0.2 * groups
    expected = mean_of_shares(np.bincount(groups, hits), np.bincount(groups))
    result = mean_of_shares(hits, np.ones(100), groups, np.arange(100))
    assert (result.estimate, result.lower, result.upper) == pytest.approx(
        (expected.estimate, expected.lower, expected.upper)
    )


def test_one_group_of_clustered_rows_has_the_interval_of_its_clusters():
    hits, rows = np.array([3, 0, 5, 1, 0, 4, 2, 2]), np.full(8, 5)
    share = clustered_shares(cluster_sums(hits, rows))
    result = mean_of_shares(hits, rows, np.zeros(8), np.arange(8))
    assert (result.lower, result.upper) == pytest.approx((share.lower[0], share.upper[0]))


def test_groups_that_share_their_documents_lucky_together_are_worth_one():
    """Two groups of equal hits in the same documents: the mean of both is as uncertain as either."""
    hits = np.random.default_rng(2).integers(0, 6, 30)
    one = clustered_shares(cluster_sums(hits, np.full(30, 5)))
    twice, rows = np.concatenate([hits, hits]), np.full(60, 5)
    same = mean_of_shares(twice, rows, np.repeat([0, 1], 30), np.tile(np.arange(30), 2))
    assert (same.lower, same.upper) == pytest.approx((one.lower[0], one.upper[0]))
    apart = mean_of_shares(twice, rows, np.repeat([0, 1], 30), np.arange(60))
    assert apart.upper - apart.lower == pytest.approx((same.upper - same.lower) / 2**0.5)
