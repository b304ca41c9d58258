import numpy as np
import pytest
from scipy import stats

from mematlas.stats.estimates.contrasts import stratified_difference, with_both


def read_only(*values):
    found = [np.array(value) for value in values]
    for array in found:
        array.flags.writeable = False
    return found


def test_one_stratum_is_welchs_interval():
    mine, others = [5.0, 9.0, 4.0, 8.0], [1.0, 2.0, 6.0]
    values, member = read_only(np.array([*mine, *others])[:, None], [True] * 4 + [False] * 3)
    found = stratified_difference(values, member)
    welch = stats.ttest_ind(mine, others, equal_var=False).confidence_interval(0.95)
    assert found.estimate[0] == pytest.approx(6.5 - 3)
    assert (found.lower[0], found.upper[0]) == pytest.approx((welch.low, welch.high))
    assert (found.members, found.others, found.strata) == (4, 3, 1)


def test_strata_weigh_as_many_rows_as_they_have():
    #            stratum 7: 10 - 1 = 9 of 3 rows                 stratum 2: 2 - 4 = -2 of 5 rows
    values, member, stratum = read_only(
        [[9.0], [11.0], [1.0], [2.0], [3.0], [4.0], [5.0], [4.0]],
        [True, True, False, True, False, False, False, False],
        [7, 7, 7, 2, 2, 2, 2, 2],
    )
    found = stratified_difference(values, member, stratum)
    assert found.estimate[0] == pytest.approx(3 / 8 * 9 + 5 / 8 * -2)
    assert (found.members, found.others, found.strata) == (3, 5, 2)


def test_strata_of_one_group_alone_are_left_out():
    both = with_both([True, False, True, False, False], [1, 1, 2, 3, 3])
    assert both.rows.tolist() == [0, 1]
    nothing = stratified_difference([[1.0], [2.0]], [True, False], [1, 2])
    assert np.isnan(nothing.estimate).all()
    assert (nothing.members, nothing.others, nothing.strata) == (0, 0, 0)


def test_what_comes_of_the_strata_alone_is_taken_away():
    """A difference of 10 between strata, none within: plain means are apart, stratified ones are not."""
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


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator, held = np.random.default_rng(0), 0
    stratum = np.repeat(np.arange(20), 8)
    member = np.arange(160) % 8 < 1 + stratum % 3
    for _ in range(500):
        noise = generator.normal(size=160) * np.where(member, 3, 1)
        found = stratified_difference((2.0 * member + 5 * stratum + noise)[:, None], member, stratum)
        held += bool(found.lower[0] <= 2 <= found.upper[0])
    assert 0.92 <= held / 500 <= 0.98


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no value missing"):
        stratified_difference([[1.0], [np.nan]], [True, False])
    with pytest.raises(ValueError, match=r"one shape \(rows,\), not \(2,\) and \(3,\)"):
        with_both([True, False], [1, 2, 3])
