import pytest

from mematlas.stats.estimates.differences import difference_of_shares


def test_known_answer():
    """56 of 70 against 48 of 80: the worked example of the method."""
    result = difference_of_shares((56, 70), (48, 80))
    assert result.estimate == pytest.approx(0.2)
    assert (result.lower, result.upper) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert result.counts == (70, 80)


def test_swapped_groups_swap_sign_and_bounds():
    forward, backward = difference_of_shares((9, 10), (3, 30)), difference_of_shares((3, 30), (9, 10))
    assert (forward.lower, forward.upper) == pytest.approx((-backward.upper, -backward.lower))
    assert forward.lower > 0 > backward.upper


def test_shares_of_nothing_and_all_have_an_interval_within_bounds():
    result = difference_of_shares((10, 10), (0, 20))
    assert result.estimate == result.upper == 1.0
    assert 0.6 < result.lower < 1
    equal = difference_of_shares((0, 10), (0, 40))
    assert equal.lower < equal.estimate == 0 < equal.upper


@pytest.mark.parametrize(("first", "second"), [((0, 0), (1, 2)), ((1, 2), (0, 0))])
def test_an_empty_group_has_no_difference(first, second):
    result = difference_of_shares(first, second)
    assert (result.estimate, result.lower, result.upper) == (None, None, None)


def test_more_hits_than_rows_are_refused():
    with pytest.raises(ValueError, match="hits must be between"):
        difference_of_shares((3, 2), (1, 2))
