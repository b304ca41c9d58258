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


def test_with_one_row_a_cluster_nothing_changes():
    hits, groups = [1] * 3 + [0] * 7 + [1] * 9 + [0] * 11, [0] * 10 + [1] * 20
    clustered = mean_of_shares(hits, [1] * 30, groups, range(30))
    expected = mean_of_shares([3, 9], [10, 20])
    assert (clustered.estimate, clustered.count) == (expected.estimate, 30)
    assert (clustered.lower, clustered.upper) == pytest.approx((expected.lower, expected.upper))


def test_groups_of_the_same_clusters_with_the_same_hits_know_no_more_than_one_of_them():
    hits, rows, clusters = [4, 0, 2, 3, 1, 0], [5, 4, 4, 6, 3, 2], list(range(6))
    both = mean_of_shares(hits * 2, rows * 2, [0] * 6 + [1] * 6, clusters * 2)
    single = clustered_shares(cluster_sums(hits, rows))
    assert both.estimate == pytest.approx(10 / 24)
    assert (both.lower, both.upper) == pytest.approx((single.lower[0], single.upper[0]))
    apart = mean_of_shares(hits * 2, rows * 2, [0] * 6 + [1] * 6, range(12))
    assert both.estimate - both.lower == pytest.approx(2**0.5 * (apart.estimate - apart.lower))


def test_a_group_of_one_cluster_leaves_the_mean_without_an_interval():
    result = mean_of_shares([2, 1, 1], [4, 2, 3], [0, 1, 1], [0, 1, 2])
    assert result.estimate == pytest.approx((0.5 + 0.4) / 2)
    assert (result.lower, result.upper) == (None, None)


@pytest.mark.parametrize("clusters", [None, [0, 0]])
def test_more_hits_than_rows_are_refused(clusters):
    with pytest.raises(ValueError, match="between 0 and count"):
        mean_of_shares([1, 3], [2, 2], [0, 1], clusters)
