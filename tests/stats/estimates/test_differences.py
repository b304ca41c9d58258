import pytest

from mematlas.stats.estimates.differences import difference_of_shares


def test_known_answer():
    """56 of 70 against 48 of 80: the worked example of the method."""
    found = difference_of_shares((56, 70), (48, 80))
    assert found.estimate == pytest.approx(0.2)
    assert (found.lower, found.upper) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.counts == (70, 80)


def test_swapped_groups_swap_sign_and_ends():
    one, other = difference_of_shares((9, 10), (3, 30)), difference_of_shares((3, 30), (9, 10))
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower))
    assert one.lower > 0 > other.upper


def test_shares_of_nothing_and_all_have_an_interval_within_bounds():
    found = difference_of_shares((10, 10), (0, 20))
    assert found.estimate == found.upper == 1.0
    assert 0.6 < found.lower < 1
    equal = difference_of_shares((0, 10), (0, 40))
    assert equal.lower < equal.estimate == 0 < equal.upper


@pytest.mark.parametrize(("first", "second"), [((0, 0), (1, 2)), ((1, 2), (0, 0))])
def test_an_empty_group_has_no_difference(first, second):
    found = difference_of_shares(first, second)
    assert (found.estimate, found.lower, found.upper) == (None, None, None)


def test_more_hits_than_rows_are_refused():
    with pytest.raises(ValueError, match="hits must be between"):
        difference_of_shares((3, 2), (1, 2))
