import numpy as np
import pytest

from mematlas.stats.estimates.resampling import bootstrap_mean, bootstrap_mean_difference


def frozen(*values):
    array = np.array(values)
    array.flags.writeable = False
    return array


def bootstrap_rows(rows, draws, seed):
    """The plain bootstrap: rows drawn with replacement, one sample at a time."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(rows, len(rows)).mean() for _ in range(draws)]
    return np.quantile(means, (0.025, 0.975))


def test_the_mean_weighs_values_by_their_counts():
    result = bootstrap_mean(frozen(0, 8, 32), frozen(60, 30, 10))
    assert (result.estimate, result.count, result.interval) == (5.6, 100, "bootstrap 95 %")
    assert result.lower < 5.6 < result.upper


def test_the_interval_is_that_of_resampled_rows():
    values, counts = frozen(0, 8, 32), frozen(60, 30, 10)
    result = bootstrap_mean(values, counts, draws=20_000)
    assert (result.lower, result.upper) == pytest.approx(bootstrap_rows(np.repeat(values, counts), 20_000, 1), abs=0.15)
    assert result.upper - 5.6 > 5.6 - result.lower, "the few rows of 32 make it asymmetric"


def test_a_difference_is_the_first_minus_the_other():
    first, other = (frozen(0, 32), frozen(50, 150)), (frozen(0, 1), frozen(30, 10))
    result = bootstrap_mean_difference(*first, other_values=other[0], other_counts=other[1], draws=20_000)
    assert result.estimate == 24 - 0.25
    assert (result.count, result.other_count) == (200, 40)
    # normal theory: standard errors 32 sqrt(.75 .25 / 200) and sqrt(.25 .75 / 40)
    half = 1.96 * np.hypot(32 * np.sqrt(0.75 * 0.25 / 200), np.sqrt(0.25 * 0.75 / 40))
    assert result.upper - result.lower == pytest.approx(2 * half, rel=0.05)


def test_both_groups_of_a_difference_are_resampled():
    same = frozen(5), frozen(400)
    noisy = frozen(0, 10), frozen(20, 20)
    forward = bootstrap_mean_difference(*same, other_values=noisy[0], other_counts=noisy[1])
    backward = bootstrap_mean_difference(*noisy, other_values=same[0], other_counts=same[1])
    for result in (forward, backward):
        assert result.estimate == 0
        assert result.upper - result.lower == pytest.approx(2 * 1.96 * 5 / np.sqrt(40), rel=0.1)


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
def test_there_is_no_interval_where_resampling_shows_no_variation(values, counts, estimate, count):
    result = bootstrap_mean(frozen(*values), frozen(*counts))
    assert (result.estimate, result.lower, result.upper, result.count) == (estimate, None, None, count)


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
    result = bootstrap_mean_difference(values, frozen(*counts), other_values=values, other_counts=frozen(*other))
    assert (result.estimate, result.lower, result.upper) == (estimate, None, None)


def test_neither_order_nor_splitting_a_count_changes_a_number():
    plain = bootstrap_mean((0, 8, 32), (60, 30, 10))
    assert bootstrap_mean((32, 0, 8, 5, 0), (10, 40, 30, 0, 20)) == plain


def test_the_seed_decides_the_interval():
    assert bootstrap_mean((0, 1), (50, 50), seed=1) == bootstrap_mean((0, 1), (50, 50), seed=1)
    assert bootstrap_mean((0, 1, 5), (50, 50, 9), seed=1) != bootstrap_mean((0, 1, 5), (50, 50, 9), seed=2)


def test_intervals_of_skewed_scores_have_their_nominal_coverage():
    """Like memorization scores: most rows have a few chance hits, some are recited completely."""
    values, shares = np.array([0, 1, 2, 16, 32]), np.array([0.5, 0.2, 0.1, 0.1, 0.1])
    rng, truth, covered = np.random.default_rng(0), values @ shares, 0
    for seed in range(1000):
        result = bootstrap_mean(values, rng.multinomial(300, shares), draws=500, seed=seed)
        covered += result.lower <= truth <= result.upper
    assert 0.93 <= covered / 1000 <= 0.97


def test_an_interval_of_no_difference_covers_zero():
    values, shares = np.array([0, 1, 2, 32]), np.array([0.6, 0.2, 0.1, 0.1])
    rng, covered = np.random.default_rng(0), 0
    for seed in range(500):
        first, other = rng.multinomial(300, shares), rng.multinomial(150, shares)
        result = bootstrap_mean_difference(values, first, other_values=values, other_counts=other, draws=500, seed=seed)
        covered += result.lower <= 0 <= result.upper
    assert 0.92 <= covered / 500 <= 0.98


@pytest.mark.parametrize(
    ("values", "counts", "message"),
    [
        ((1, 2), (3,), r"the same shape \(k,\), not \(2,\) and \(1,\)"),
        (((1, 2),), ((3, 4),), r"the same shape \(k,\)"),
        ((1, 2), (3, -1), "whole numbers, 0 or above"),
        ((1, 2), (3, 1.5), "whole numbers, 0 or above"),
    ],
)
def test_wrong_counts_are_refused(values, counts, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_mean(values, counts)
