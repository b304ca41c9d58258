"""Shares and means of rows in clusters: against the textbook where rows are independent, by hand, and at the ends."""

import numpy as np
import pytest

from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.clustered import (
    Z,
    cluster_sums,
    clustered_shares,
    effective_rows,
    independent_sums,
)
from mematlas.stats.estimates.intervals import wilson, wilson_interval


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (1, 10), (3, 10), (10, 10), (30, 100), (399, 400)])
def test_independent_rows_have_wilsons_interval(hits, count):
    expected = wilson(hits, count)
    for sums in (independent_sums(hits, count), cluster_sums([1] * hits + [0] * (count - hits), [1] * count)):
        share = clustered_shares(sums)
        assert (share.estimate[0], share.design_effect[0]) == (expected.estimate, 1.0)
        assert (share.lower[0], share.upper[0]) == pytest.approx((expected.lower, expected.upper), abs=1e-12)


def test_the_design_effect_is_that_of_the_ratio_of_cluster_totals():
    hits, rows = np.array([4.0, 0, 2, 3, 1]), np.array([5.0, 4, 4, 6, 3])
    share = hits.sum() / rows.sum()
    variance = 5 / 4 * ((hits - share * rows) ** 2).sum() / rows.sum() ** 2
    estimated = variance * (rows.sum() - 1) / (share * (1 - share))
    averaged = (4 * estimated + 0.5 * rows.sum() / 5) / 4.5  # four clusters have a hit, five a miss
    result = clustered_shares(cluster_sums(hits, rows))
    assert result.design_effect[0] == pytest.approx(averaged)
    count = rows.sum() / averaged * (Z / 2.7764451) ** 2  # t at four degrees of freedom
    center = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    assert (result.lower[0] + result.upper[0]) / 2 == pytest.approx(center)


def test_copies_count_as_one():
    """Eight mails of 16 equal rows each, all recited, are known as well as eight rows (Wilson of 8 of 8: 67.6 %)."""
    share = clustered_shares(cluster_sums([16] * 8, [16] * 8))
    assert (share.lower[0], share.upper[0]) == (pytest.approx(0.6756, abs=1e-4), 1.0)
    assert share.design_effect[0] == 16
    mixed = clustered_shares(cluster_sums([16] * 8 + [0] * 142, [16] * 8 + [1] * 142))
    plain = wilson(128, 270)
    assert mixed.upper[0] - mixed.lower[0] > 2.5 * (plain.upper - plain.lower)


def test_duplicating_every_row_changes_neither_the_share_nor_its_interval_much():
    hits, rows = np.random.default_rng(0).binomial(1, 0.3, 200), np.ones(200)
    once, thrice = clustered_shares(cluster_sums(hits, rows)), clustered_shares(cluster_sums(3 * hits, 3 * rows))
    assert thrice.estimate[0] == pytest.approx(once.estimate[0])
    assert (thrice.lower[0], thrice.upper[0]) == pytest.approx((once.lower[0], once.upper[0]), abs=0.003)


def test_one_cluster_of_several_rows_has_no_interval():
    share = clustered_shares(cluster_sums([3], [7]))
    assert share.estimate[0] == 3 / 7
    assert np.isnan([share.lower[0], share.upper[0], share.design_effect[0]]).all()


def test_nothing_to_count_is_not_a_number():
    share = clustered_shares(cluster_sums([0, 0], [0, 0]))
    assert np.isnan([share.estimate[0], share.lower[0], share.upper[0]]).all()


@pytest.mark.parametrize(("hits", "rows", "message"), [([1, 2], [1], "same shape"), ([3], [2], "between 0 and rows")])
def test_wrong_input_is_refused(hits, rows, message):
    with pytest.raises(ValueError, match=message):
        cluster_sums(hits, rows)


def test_means_of_independent_rows_have_students_interval():
    values = np.random.default_rng(1).normal(size=(40, 3))
    values[3, 1] = np.nan
    expected, result = means(values), means(values, clusters=np.arange(40))
    for name in ("estimate", "lower", "upper"):
        assert getattr(result, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    assert result.design_effect == pytest.approx(1)
    assert result.clusters.tolist() == result.count.tolist() == [40, 39, 40]


def test_the_mean_of_equal_clusters_has_the_interval_of_their_means():
    values = np.random.default_rng(2).normal(size=(12, 1)).repeat(5, axis=0)
    expected, result = means(values[::5]), means(values, clusters=np.arange(60) // 5)
    assert (result.lower[0], result.upper[0]) == pytest.approx((expected.lower[0], expected.upper[0]))
    assert result.design_effect[0] > 4.5


def test_means_without_variation_or_of_one_cluster_have_no_interval():
    result = means(np.array([[1.0, 2], [1, 3], [1, 4], [1, 5]]), clusters=[0, 1, 2, 2])
    assert np.isnan(result.lower).tolist() == [True, False]
    assert np.isnan(means(np.array([[1.0], [2]]), clusters=[7, 7]).lower).all()
    with pytest.raises(ValueError, match=r"of shape \(rows,\), here \(3,\), not \(2,\)"):
        means(np.zeros((3, 1)), clusters=[1, 2])


def test_effective_rows_are_those_that_give_the_interval():
    # 2.2281389: Student's t at ten degrees of freedom; shares of 0 and independent rows have no estimated design effect
    expected = [50 * (Z / 2.2281389) ** 2, 50, 100]
    assert effective_rows([30, 0, 30], [100] * 3, [11, 11, 100], [2, 2, 1]) == pytest.approx(expected)
    hits, rows = [4, 0, 2, 3, 1], [5, 4, 4, 6, 3]
    share = clustered_shares(cluster_sums(hits, rows))
    count = effective_rows(10, 22, 5, share.design_effect)
    assert wilson_interval(10 / 22, count)[0] == pytest.approx(share.lower)
