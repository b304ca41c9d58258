"""Spearman's correlation over clusters: against scipy, with known answers, and under the null hypothesis."""

import numpy as np
import pytest
from scipy import stats

from mematlas.stats.hypotheses import clustered_correlation
from mematlas.stats.hypotheses.clustered_correlation import TieRanks, clustered_spearman, tau_distance


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch):
    monkeypatch.setattr(clustered_correlation, "RESAMPLES", 199)
    monkeypatch.setattr(clustered_correlation, "SHUFFLES", 199)


def test_a_monotone_column_gives_1_a_reversed_one_minus_1_and_a_permuted_one_nothing():
    random = np.random.default_rng(0)
    x, clusters = np.log(random.random(120)), np.repeat(np.arange(40), 3)
    same = clustered_spearman(x, 3 * x - 5, clusters)
    assert (same.estimate, same.lower, same.upper, same.tau_distance) == pytest.approx((1, 1, 1, 0))
    reverse = clustered_spearman(x, -np.exp(x), clusters)
    assert (reverse.estimate, reverse.tau_distance) == pytest.approx((-1, 1))
    assert same.p == reverse.p == 1 / 200
    permuted = clustered_spearman(x, random.permutation(x), clusters)
    assert permuted.null_lower < permuted.estimate < permuted.null_upper
    assert permuted.lower < 0 < permuted.upper
    assert permuted.p > 0.05
    assert (permuted.pairs, permuted.clusters) == (120, 40)


def test_ties_are_handled_as_in_scipy():
    random = np.random.default_rng(1)
    x, y, z = random.integers(0, 5, (3, 60)) + 0.0
    found = clustered_spearman(x, y, np.arange(60), z)
    assert found.estimate == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.tau_distance == pytest.approx((1 - stats.kendalltau(x, y).statistic) / 2)
    assert found.lower < found.estimate < found.upper
    ranks = [stats.rankdata(values) for values in (x, y, z)]
    rest = [values - np.polyval(np.polyfit(ranks[2], values, 1), ranks[2]) for values in ranks[:2]]
    assert found.partial == pytest.approx(np.corrcoef(*rest)[0, 1])


def test_what_the_third_column_explains_is_partialled_out():
    random = np.random.default_rng(2)
    z = random.random(400)
    x, y = z + 0.1 * random.random(400), z + 0.1 * random.random(400)
    found = clustered_spearman(x, y, np.arange(400), z)
    assert found.estimate > 0.9
    assert abs(found.partial) < 0.15


def test_ranks_of_values_taken_several_times_are_those_of_the_longer_list():
    values, times = np.array([3.0, 1.0, 3.0, 2.0]), np.array([2, 0, 1, 3])
    longer = stats.rankdata(np.repeat(values, times))
    ranks = TieRanks(values).ranks(times.astype(float))
    assert np.repeat(ranks, times).tolist() == longer.tolist()


def test_pairs_of_one_cluster_are_not_independent():
    """Ten clusters that each repeat one pair twenty times say as much as ten pairs, and not as two hundred."""
    rejected = {"clusters": 0, "pairs": 0}
    for seed in range(60):
        random = np.random.default_rng(seed)
        x, y = np.repeat(random.random((2, 10)), 20, axis=1)
        rejected["clusters"] += clustered_spearman(x, y, np.repeat(np.arange(10), 20), seed=seed).p <= 0.05
        rejected["pairs"] += clustered_spearman(x, y, np.arange(200), seed=seed).p <= 0.05
    assert rejected["clusters"] <= 9
    assert rejected["pairs"] > 30, "the control: pairs taken as independent reject true hypotheses"


def test_what_is_not_defined_says_why():
    assert clustered_spearman([1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 1, 2]).reason == "fewer than 4 examples"
    assert clustered_spearman([1, 1, 1, 1], [1, 2, 3, 4], [0, 1, 2, 3]).reason == "one side does not vary"
    assert clustered_spearman([], [], []).estimate is None
    assert tau_distance([1, 1], [1, 2]) is None
    with pytest.raises(ValueError, match="no value missing"):
        clustered_spearman([1, np.nan], [1, 2], [0, 1])
