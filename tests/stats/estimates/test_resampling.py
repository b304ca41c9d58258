import numpy as np
import pytest

from mematlas.stats.estimates.resampling import difference_of_counts, mean_of_counts


def frozen(*values):
    array = np.array(values)
    array.flags.writeable = False
    return array


def of_rows(rows, draws, seed):
    """The stupid way: rows drawn with replacement, one sample at a time."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(rows, len(rows)).mean() for _ in range(draws)]
    return np.quantile(means, (0.025, 0.975))


def test_the_mean_weighs_values_by_their_counts():
    found = mean_of_counts(frozen(0, 8, 32), frozen(60, 30, 10))
    assert (found.estimate, found.count, found.interval) == (5.6, 100, "bootstrap 95 %")
    assert found.lower < 5.6 < found.upper


def test_the_interval_is_that_of_resampled_rows():
    values, counts = frozen(0, 8, 32), frozen(60, 30, 10)
    found = mean_of_counts(values, counts, draws=20_000)
    assert (found.lower, found.upper) == pytest.approx(of_rows(np.repeat(values, counts), 20_000, 1), abs=0.15)
    assert found.upper - 5.6 > 5.6 - found.lower, "the few rows of 32 make it lopsided"


def test_a_difference_is_the_first_minus_the_other():
    first, other = (frozen(0, 32), frozen(50, 150)), (frozen(0, 1), frozen(30, 10))
    found = difference_of_counts(*first, other_values=other[0], other_counts=other[1], draws=20_000)
    assert found.estimate == 24 - 0.25
    assert (found.count, found.other_count) == (200, 40)
    # normal theory: standard errors 32 sqrt(.75 .25 / 200) and sqrt(.25 .75 / 40)
    half = 1.96 * np.hypot(32 * np.sqrt(0.75 * 0.25 / 200), np.sqrt(0.25 * 0.75 / 40))
    assert found.upper - found.lower == pytest.approx(2 * half, rel=0.05)


def test_both_groups_of_a_difference_are_resampled():
    same = frozen(5), frozen(400)
    noisy = frozen(0, 10), frozen(20, 20)
    beside = difference_of_counts(*same, other_values=noisy[0], other_counts=noisy[1])
    turned = difference_of_counts(*noisy, other_values=same[0], other_counts=same[1])
    for found in (beside, turned):
        assert found.estimate == 0
        assert found.upper - found.lower == pytest.approx(2 * 1.96 * 5 / np.sqrt(40), rel=0.1)


@pytest.mark.parametrize(
    ("values", "counts", "estimate", "count"),
    [
        ((), (), None, 0),
        ((3, 4), (0, 0), None, 0),
        ((3, 4), (1, 0), 3, 1),
        ((3, 4), (2, 0), 3, 2),
        ((7,), (90,), 7, 90),
    ],
)
def test_there_is_no_interval_where_resampling_shows_nothing(values, counts, estimate, count):
    found = mean_of_counts(frozen(*values), frozen(*counts))
    assert (found.estimate, found.lower, found.upper, found.count) == (estimate, None, None, count)


@pytest.mark.parametrize(
    ("counts", "other", "estimate"),
    [
        ((0, 0), (3, 3), None),
        ((3, 3), (0, 0), None),
        ((1, 0), (3, 3), -4.0),
        ((3, 3), (0, 1), -4.0),
        ((5, 0), (0, 5), -8.0),
    ],
)
def test_a_difference_needs_rows_that_differ_on_both_sides(counts, other, estimate):
    values = frozen(0, 8)
    found = difference_of_counts(values, frozen(*counts), other_values=values, other_counts=frozen(*other))
    assert (found.estimate, found.lower, found.upper) == (estimate, None, None)


def test_neither_order_nor_splitting_a_count_changes_a_number():
    plain = mean_of_counts((0, 8, 32), (60, 30, 10))
    assert mean_of_counts((32, 0, 8, 5, 0), (10, 40, 30, 0, 20)) == plain


def test_the_seed_decides_the_interval():
    assert mean_of_counts((0, 1), (50, 50), seed=1) == mean_of_counts((0, 1), (50, 50), seed=1)
    assert mean_of_counts((0, 1, 5), (50, 50, 9), seed=1) != mean_of_counts((0, 1, 5), (50, 50, 9), seed=2)


def test_intervals_of_skewed_scores_hold_the_mean_as_often_as_they_say():
    """As scores are: most rows lucky, some recited whole."""
    values, shares = np.array([0, 1, 2, 16, 32]), np.array([0.5, 0.2, 0.1, 0.1, 0.1])
    rng, truth, held = np.random.default_rng(0), values @ shares, 0
    for seed in range(1000):
        found = mean_of_counts(values, rng.multinomial(300, shares), draws=500, seed=seed)
        held += found.lower <= truth <= found.upper
    assert 0.93 <= held / 1000 <= 0.97


def test_an_interval_of_no_difference_holds_zero():
    values, shares = np.array([0, 1, 2, 32]), np.array([0.6, 0.2, 0.1, 0.1])
    rng, held = np.random.default_rng(0), 0
    for seed in range(500):
        first, other = rng.multinomial(300, shares), rng.multinomial(150, shares)
        found = difference_of_counts(values, first, other_values=values, other_counts=other, draws=500, seed=seed)
        held += found.lower <= 0 <= found.upper
    assert 0.92 <= held / 500 <= 0.98


@pytest.mark.parametrize(
    ("values", "counts", "told"),
    [
        ((1, 2), (3,), r"of one shape \(k,\), not \(2,\) and \(1,\)"),
        (((1, 2),), ((3, 4),), r"of one shape \(k,\)"),
        ((1, 2), (3, -1), "whole numbers of rows, not negative"),
        ((1, 2), (3, 1.5), "whole numbers of rows, not negative"),
    ],
)
def test_wrong_counts_are_refused(values, counts, told):
    with pytest.raises(ValueError, match=told):
        mean_of_counts(values, counts)
