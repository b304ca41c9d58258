import numpy as np
import pytest
from scipy import stats

from mematlas.stats.estimates.contrasts import strata_with_both_groups, stratified_difference


def read_only(*values):
    arrays = [np.array(value) for value in values]
    for array in arrays:
        array.flags.writeable = False
    return arrays


def test_one_stratum_is_welchs_interval():
    group, others = [5.0, 9.0, 4.0, 8.0], [1.0, 2.0, 6.0]
    values, member = read_only(np.array([*group, *others])[:, None], [True] * 4 + [False] * 3)
    result = stratified_difference(values, member)
    welch = stats.ttest_ind(group, others, equal_var=False).confidence_interval(0.95)
    assert result.estimate[0] == pytest.approx(6.5 - 3)
    assert (result.lower[0], result.upper[0]) == pytest.approx((welch.low, welch.high))
    assert (result.members, result.others, result.strata) == (4, 3, 1)


def test_strata_are_weighted_by_their_rows():
    #            stratum 7: 10 - 1 = 9 of 3 rows                 stratum 2: 2 - 4 = -2 of 5 rows
    values, member, stratum = read_only(
        [[9.0], [11.0], [1.0], [2.0], [3.0], [4.0], [5.0], [4.0]],
        [True, True, False, True, False, False, False, False],
        [7, 7, 7, 2, 2, 2, 2, 2],
    )
    result = stratified_difference(values, member, stratum)
    assert result.estimate[0] == pytest.approx(3 / 8 * 9 + 5 / 8 * -2)
    assert (result.members, result.others, result.strata) == (3, 5, 2)


def test_strata_of_only_one_group_are_left_out():
    both = strata_with_both_groups([True, False, True, False, False], [1, 1, 2, 3, 3])
    assert both.rows.tolist() == [0, 1]
    empty = stratified_difference([[1.0], [2.0]], [True, False], [1, 2])
    assert np.isnan(empty.estimate).all()
    assert (empty.members, empty.others, empty.strata) == (0, 0, 0)


def test_differences_between_strata_are_removed():
    """A difference of 10 between strata, none within: plain means differ, stratified means do not."""
    stratum = np.repeat([0, 1], 100)
    member = np.arange(200) % 10 < np.where(stratum, 8, 2)
    values = (10 * stratum + np.random.default_rng(0).normal(size=200))[:, None]
    plain, within = stratified_difference(values, member), stratified_difference(values, member, stratum)
    assert plain.lower[0] > 4
    assert within.lower[0] < 0 < within.upper[0]
    assert abs(within.estimate[0]) < 0.5


def test_no_interval_where_nothing_varies_or_a_group_has_no_two_rows_in_a_stratum():
    equal = stratified_difference([[0.3], [0.3], [0.3], [0.1], [0.1], [0.1]], [True, True, True, False, False, False])
    single = stratified_difference([[1.0], [2.0], [4.0]], [True, False, False])
    assert equal.estimate[0] == pytest.approx(0.2)
    assert np.isnan([equal.lower[0], single.lower[0], single.upper[0]]).all()


def test_the_interval_has_its_nominal_coverage():
    generator, covered = np.random.default_rng(0), 0
    stratum = np.repeat(np.arange(20), 8)
    member = np.arange(160) % 8 < 1 + stratum % 3
    for _ in range(500):
        noise = generator.normal(size=160) * np.where(member, 3, 1)
        result = stratified_difference((2.0 * member + 5 * stratum + noise)[:, None], member, stratum)
        covered += bool(result.lower[0] <= 2 <= result.upper[0])
    assert 0.92 <= covered / 500 <= 0.98


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no value missing"):
        stratified_difference([[1.0], [np.nan]], [True, False])
    with pytest.raises(ValueError, match=r"the same shape \(rows,\), not \(2,\) and \(3,\)"):
        strata_with_both_groups([True, False], [1, 2, 3])


# ------------------------------------------------------------------------------------------------------------ clusters


def contrast_numbers(result):
    return [*result.estimate, *result.lower, *result.upper]


def test_one_row_per_cluster_is_the_interval_of_independent_rows():
    random = np.random.default_rng(1)
    values, member, stratum = random.normal(size=(60, 2)), random.random(60) < 0.4, random.integers(0, 5, 60)
    expected = stratified_difference(values, member, stratum)
    result = stratified_difference(values, member, stratum, random.permutation(60))
    assert contrast_numbers(result) == contrast_numbers(expected)
    assert result.clusters == expected.clusters == 60


def test_rows_that_are_all_copies_in_a_cluster_have_the_interval_of_the_clusters():
    values, member = np.array([5.0, 9, 4, 8, 1, 2, 6]), np.arange(7) < 4
    welch = stats.ttest_ind(values[:4], values[4:], equal_var=False).confidence_interval(0.95)
    rows = np.arange(7).repeat(5)
    result = stratified_difference(values[rows, None], member[rows], clusters=rows)
    assert (result.lower[0], result.upper[0]) == pytest.approx((welch.low, welch.high))
    assert result.clusters == 7


def test_copies_within_strata_have_the_interval_of_the_clusters():
    random = np.random.default_rng(2)
    values, member, stratum = random.normal(size=(80, 1)), np.arange(80) % 2 < 1, np.arange(80) // 20
    rows = np.arange(80).repeat(4)
    expected = stratified_difference(values, member, stratum)
    result = stratified_difference(values[rows], member[rows], stratum[rows], rows)
    assert contrast_numbers(result) == pytest.approx(contrast_numbers(expected))


def test_differences_within_clusters_of_one_row_of_each_group_are_those_of_pairs():
    """The clusters' own luck is in both groups and falls out: Student's interval of the paired differences."""
    random = np.random.default_rng(3)
    luck, noise = 10 * random.normal(size=25), random.normal(size=(2, 25))
    values = np.concatenate([1 + luck + noise[0], luck + noise[1]])[:, None]
    result = stratified_difference(values, np.arange(50) < 25, clusters=np.arange(50) % 25)
    paired = stats.ttest_rel(values[:25, 0], values[25:, 0]).confidence_interval(0.95)
    assert (result.lower[0], result.upper[0]) == pytest.approx((paired.low, paired.high))
    assert (
        result.upper[0] - result.lower[0]
        < 2
        < np.ptp(contrast_numbers(stratified_difference(values, np.arange(50) < 25))[1:])
    )


def test_a_group_of_rows_of_one_cluster_has_no_interval():
    values = np.arange(8.0)[:, None]
    result = stratified_difference(values, np.arange(8) < 4, clusters=[0, 0, 0, 0, 1, 2, 3, 4])
    assert result.estimate[0] == -4
    assert np.isnan(result.lower[0])


@pytest.mark.parametrize("by_document", [False, True])
def test_the_interval_over_few_clusters_in_strata_has_its_nominal_coverage(by_document):
    """20 documents of 20 rows in four strata, so that a group has one or two of them in a stratum, or rows in each."""
    generator = np.random.default_rng(0)
    document, rows = np.arange(400) // 20, np.arange(400)
    member = (document if by_document else rows) % 3 == 0
    stratum = (document // 3 if by_document else rows) % 4
    luck = generator.normal(size=(20, 1000))[document] * 0.3**0.5 + generator.normal(size=(400, 1000)) * 0.7**0.5
    values = luck + member[:, None] + stratum[:, None]
    result = stratified_difference(values, member, stratum, document)
    assert 0.92 <= ((result.lower <= 1) & (result.upper >= 1)).mean() <= 0.975
    by_rows = stratified_difference(values, member, stratum)
    if by_document:
        assert ((by_rows.lower <= 1) & (by_rows.upper >= 1)).mean() < 0.8
