"""Means of scores between 0 and 1: values by hand, and measured coverage.

Share of 4,000 simulated samples whose 95 % interval covers the true mean; in the last lines those of the percentile
bootstrap, which these intervals replace. Scores are whole 32nds, the floor has mean 0.02. For 10 rows there is no
interval; it would cover .929 to .999.

    rows                                20     50     200    400
    2 % recited, rest at the floor      .945   .959   .955   .948
    30 % recited, rest at the floor     .950   .954   .947   .955
    98 % recited, rest at the floor     .967   .975   .935   .957
    floor alone                         .996   .994   .988   .984
    heavy-tailed (log-normal)           .987   .988   .979   .968
    2 % at 29/32, rest at the floor     1.00   1.00   .991   .972
    2 % recited minus floor, n and n    1.00   1.00   .986   .974
    bootstrap, 2 % recited              .37    .62    .91    .92
    bootstrap, floor alone              .87 at 10 rows
"""

import numpy as np
import pytest
from scipy.special import ndtr

from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.estimates.mean_scores import MIN_ROWS, clustered_mean_score, mean_score, mean_score_difference

GRID = np.arange(33) / 32


def frozen(*values):
    array = np.array(values)
    array.flags.writeable = False
    return array


def test_the_mean_weighs_scores_by_their_counts():
    result = mean_score(frozen(0, 0.25, 1), frozen(60, 30, 10))
    assert (result.estimate, result.count, result.interval) == (
        pytest.approx(0.175),
        100,
        "Wilson and Student 95 %, joined (MOVER)",
    )
    assert result.upper - result.estimate > result.estimate - result.lower, "the few rows of 1 make it asymmetric"


def test_the_interval_of_recited_and_other_rows_is_that_of_their_share():
    for ones in (0, 3, 40, 100):
        result, share = mean_score(frozen(0, 1), frozen(100 - ones, ones)), wilson(ones, 100)
        # with q = 1 there is no score between, and nothing else varies
        assert result.estimate == share.estimate
        if ones in (0, 100):
            assert (result.lower, result.upper)[ones == 0] == pytest.approx(
                (share.lower, share.upper)[ones == 0], abs=0.04
            )
        else:
            assert (result.lower, result.upper) == pytest.approx((share.lower, share.upper), abs=0.02)


def test_the_parts_are_added_in_squares():
    """10 of 100 rows recited, none at 0, the others .1 and .3 by halves: worked by hand."""
    result = mean_score(frozen(0.1, 0.3, 1), frozen(45, 45, 10))
    half = 1.98698 * np.sqrt(0.01 * 90 / 89 / 90)  # Student, 89 degrees of freedom
    p_lower, p_upper, q_upper = 0.055229, 0.174366, 3.841459 / 93.841459
    below = np.sqrt((0.2 * q_upper) ** 2 + half**2)
    assert result.estimate == pytest.approx(0.28)
    assert result.lower == pytest.approx(0.28 - np.hypot(0.8 * (0.1 - p_lower), 0.9 * below), abs=1e-5)
    assert result.upper == pytest.approx(0.28 + np.hypot(0.8 * (p_upper - 0.1), 0.9 * half), abs=1e-5)


def test_a_difference_is_the_first_minus_the_other():
    first, other = (frozen(0, 1), frozen(50, 150)), (frozen(0, 1 / 32), frozen(30, 10))
    result = mean_score_difference(mean_score(*first), mean_score(*other))
    assert result.estimate == 0.75 - 1 / 128
    assert (result.count, result.other_count) == (200, 40)
    a, b = mean_score(*first), mean_score(*other)
    assert result.lower == pytest.approx(result.estimate - np.hypot(a.estimate - a.lower, b.upper - b.estimate))
    assert result.upper == pytest.approx(result.estimate + np.hypot(a.upper - a.estimate, b.estimate - b.lower))


@pytest.mark.parametrize(
    ("scores", "counts", "estimate"), [((), (), None), ((0.3, 0.4), (0, 0), None), ((0.5, 1), (5, 6), 17 / 22)]
)
def test_few_rows_have_no_interval_and_the_reason_is_given(scores, counts, estimate):
    result = mean_score(frozen(*scores), frozen(*counts))
    assert (result.estimate, result.lower, result.upper) == (
        estimate if estimate is None else pytest.approx(estimate),
        None,
        None,
    )
    assert result.reason == (None if estimate is None else "an interval needs 12 rows, there are 11")


@pytest.mark.parametrize(
    ("counts", "other", "estimate", "reason"),
    [
        ((0, 0), (30, 3), None, None),
        ((30, 3), (0, 0), None, None),
        ((8, 3), (30, 3), 3 / 11 - 1 / 11, "an interval needs 12 rows, there are 11"),
        ((30, 3), (9, 1), 1 / 11 - 1 / 10, "the control: an interval needs 12 rows, there are 10"),
    ],
)
def test_a_difference_needs_rows_on_both_sides(counts, other, estimate, reason):
    scores = frozen(0, 1)
    result = mean_score_difference(mean_score(scores, frozen(*counts)), mean_score(scores, frozen(*other)))
    assert (result.lower, result.upper, result.reason) == (None, None, reason)
    assert result.estimate == (None if estimate is None else pytest.approx(estimate))


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_rows_that_are_all_the_same_may_still_hide_rare_others(score):
    """Below and above by at most what Wilson's interval allows for rows of the other kind, none of 50 seen."""
    result, unseen = mean_score([score], [50]), 3.841459 / 53.841459
    assert result.estimate == score
    assert result.upper == pytest.approx(min(1.0, score + unseen * (1 - score)), abs=0.04)
    assert result.lower == pytest.approx(max(0.0, score - unseen * score), abs=0.04)


def test_neither_order_nor_splitting_a_count_changes_a_number():
    plain = mean_score((0, 0.25, 1), (60, 30, 10))
    assert mean_score((1, 0, 0.25, 0.1, 0), (10, 40, 30, 0, 20)) == plain


# ------------------------------------------------------------------------------------------------------------ coverage


def mixture(recited=0.0, at=32):
    """Shares of rows with 0, 1, ... 32 matches: the floor, a beta-binomial of mean 2 %, and some rows recited."""
    from scipy.stats import betabinom

    shares = (1 - recited) * betabinom(32, 0.5, 24).pmf(np.arange(33))
    shares[at] += recited
    return shares / shares.sum()


def heavy_tailed():
    from scipy.stats import lognorm

    edges = np.append(np.arange(33) / 32, np.inf)
    return np.diff(lognorm(1.5, scale=np.exp(-4)).cdf(edges))


POPULATIONS = {
    "2 % recited": (mixture(0.02), 0.93, 0.97),
    "30 % recited": (mixture(0.3), 0.93, 0.97),
    "98 % recited": (mixture(0.98), 0.93, 0.985),
    "floor alone": (mixture(), 0.97, 1.0),  # room for leaks that were not seen
    "heavy-tailed": (heavy_tailed(), 0.95, 0.995),
    "2 % at 29/32": (mixture(0.02, at=29), 0.96, 1.0),
}


def coverage(shares, n, samples=1000, interval=mean_score):
    rng, truth = np.random.default_rng(n), GRID @ shares
    results = [interval(GRID, counts) for counts in rng.multinomial(n, shares, size=samples)]
    return np.mean([result.lower <= truth <= result.upper for result in results])


@pytest.mark.parametrize("n", [20, 50, 200, 400])
@pytest.mark.parametrize("name", POPULATIONS)
def test_intervals_of_skewed_scores_have_their_nominal_coverage(name, n):
    shares, lowest, highest = POPULATIONS[name]
    assert lowest <= coverage(shares, n) <= highest


def test_the_percentile_bootstrap_fails_the_same_check():
    class Bootstrap:
        def __init__(self, scores, counts):
            n = int(counts.sum())
            draws = np.random.default_rng(0).multinomial(n, counts / n, size=500) @ scores / n
            self.lower, self.upper = np.quantile(draws, (0.025, 0.975))

    assert coverage(mixture(0.02), 50, samples=300, interval=Bootstrap) < 0.75


@pytest.mark.parametrize(("n", "control"), [(20, 20), (50, 50), (200, 100), (400, 400)])
def test_an_interval_of_a_difference_covers_it(n, control):
    first, other = mixture(0.02), mixture()
    rng, truth, covered = np.random.default_rng(n), GRID @ (first - other), 0
    for _ in range(600):
        counts = rng.multinomial(n, first), rng.multinomial(control, other)
        result = mean_score_difference(mean_score(GRID, counts[0]), mean_score(GRID, counts[1]))
        covered += result.lower <= truth <= result.upper
    assert covered / 600 >= 0.93


def test_at_least_as_many_rows_as_needed_have_an_interval():
    assert mean_score([0.5, 1], [MIN_ROWS - 1, 1]).lower is not None


@pytest.mark.parametrize(
    ("scores", "counts", "message"),
    [
        ((0.1, 0.2), (3,), r"the same shape \(k,\), not \(2,\) and \(1,\)"),
        (((0.1, 0.2),), ((3, 4),), r"the same shape \(k,\)"),
        ((0.1, 0.2), (3, -1), "whole numbers, 0 or above"),
        ((0.1, 0.2), (3, 1.5), "whole numbers, 0 or above"),
        ((0.1, 1.2), (3, 1), "scores must be between 0 and 1"),
        ((0.1, float("nan")), (3, 1), "scores must be between 0 and 1"),
    ],
)
def test_wrong_counts_are_refused(scores, counts, message):
    with pytest.raises(ValueError, match=message):
        mean_score(scores, counts)


# ------------------------------------------------------------------------------------------------------------- clusters


def in_clusters(scores, counts):
    """The mean where each of `scores` is that of a cluster of so many rows."""
    scores, counts = np.asarray(scores, float), np.asarray(counts, float)
    return clustered_mean_score(counts, counts * (scores == 1), counts * (scores == 0), counts * scores)


def test_copies_in_a_cluster_do_not_narrow_the_interval():
    scores = np.random.default_rng(0).choice([0, 0.25, 0.5, 1], 60)
    plain = mean_score(scores, np.ones(60, int))
    copied = in_clusters(scores, np.full(60, 8))
    assert copied.estimate == pytest.approx(plain.estimate)
    assert copied.upper - copied.lower > 0.9 * (plain.upper - plain.lower)
    assert (copied.count, copied.clusters) == (480, 60)
    naive = mean_score(np.repeat(scores, 8), np.ones(480, int))
    assert copied.upper - copied.lower > 2 * (naive.upper - naive.lower)


def test_few_documents_have_no_interval():
    result = in_clusters([0, 1, 0.5], [40, 40, 40])
    assert (result.lower, result.upper) == (None, None)
    assert result.reason == "an interval needs 12 documents, there are 3"


@pytest.mark.parametrize(("documents", "rows", "icc"), [(40, 10, 0.1), (40, 10, 0.3), (20, 20, 0.3)])
def test_means_of_clustered_rows_are_covered(documents, rows, icc):
    random, share, covered = np.random.default_rng(0), 0.3, []
    truth = share + (1 - share) * 0.45
    for _ in range(400):
        luck = np.sqrt(icc) * random.normal(size=(documents, 1))
        quantile = ndtr(luck + np.sqrt(1 - icc) * random.normal(size=(documents, rows)))
        scores = np.where(quantile > 1 - share, 10, np.floor(quantile / (1 - share) * 10)) / 10
        ones, zeros = (scores == 1).sum(1), (scores == 0).sum(1)
        result = clustered_mean_score(np.full(documents, rows), ones, zeros, scores.sum(1))
        covered.append(result.lower <= truth <= result.upper)
    assert 0.91 <= np.mean(covered) <= 0.985
