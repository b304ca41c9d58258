import numpy as np
import pytest

from mematlas.stats.estimates.differences import clustered_difference_of_shares, difference_of_shares


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


# ------------------------------------------------------------------------------------------------------------ clusters


def test_one_row_per_cluster_is_newcombes_interval():
    hits, rows = np.array([1] * 9 + [0] * 6 + [0] * 25), np.array([1] * 15 + [0] * 25)
    other_hits, other_rows = np.array([0] * 15 + [1] * 4 + [0] * 21), 1 - rows
    result, expected = (
        clustered_difference_of_shares(hits, rows, other_hits, other_rows),
        difference_of_shares((9, 15), (4, 25)),
    )
    numbers = (result.estimate, result.lower, result.upper)
    assert numbers == pytest.approx((expected.estimate, expected.lower, expected.upper))
    assert (result.counts, result.clusters) == ((15, 25), 40)


@pytest.mark.parametrize("copies", [3, 10])
def test_rows_that_are_all_copies_in_a_cluster_have_about_the_interval_of_the_clusters(copies):
    """Not exactly: the design effect is estimated, so that the quantile is Student's, 3 % larger for 40 clusters."""
    hits, rows = np.array([1] * 24 + [0] * 56), np.array([1] * 40 + [0] * 40)
    other_hits = np.array([0] * 40 + [1] * 12 + [0] * 28)
    counts = np.array([hits, rows, other_hits, 1 - rows]) * copies
    result, expected = clustered_difference_of_shares(*counts), difference_of_shares((24, 40), (12, 40))
    assert result.estimate == pytest.approx(0.3)
    assert (result.lower, result.upper) == pytest.approx((expected.lower, expected.upper), abs=0.02)
    assert result.upper - result.lower > expected.upper - expected.lower


def test_luck_of_whole_documents_falls_out_of_a_difference_within_them():
    """Each of 50 documents has ten rows of either group; it recites all rows but one, or none but one."""
    lucky = np.arange(50) % 2
    hits, other_hits = lucky * 8 + 1 + (np.arange(50) % 10 == 0), lucky * 8 + 1
    rows = np.full(50, 10)
    within = clustered_difference_of_shares(hits, rows, other_hits, rows)
    zero = np.zeros(50, int)
    apart = clustered_difference_of_shares(
        np.append(hits, zero), np.append(rows, zero), np.append(zero, other_hits), np.append(zero, rows)
    )
    assert within.estimate == pytest.approx(apart.estimate) == pytest.approx(5 / 500)
    assert within.upper - within.lower < 0.2 * (apart.upper - apart.lower)
    assert (within.clusters, apart.clusters) == (50, 100)


def test_a_group_of_one_document_has_no_interval():
    result = clustered_difference_of_shares([3, 0, 0], [9, 0, 0], [0, 2, 4], [0, 5, 5])
    assert result.estimate == pytest.approx(1 / 3 - 0.6)
    assert (result.lower, result.upper) == (None, None)
    assert clustered_difference_of_shares([0, 0], [0, 0], [1, 2], [3, 3]).estimate is None
