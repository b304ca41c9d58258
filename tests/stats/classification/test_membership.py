"""Membership scores against hand counts, two Gaussian classes, and the null distribution of exposure."""

import numpy as np
import pytest
from scipy.stats import binom, norm, sem, t

from mematlas.stats.classification.discrimination import roc_auc
from mematlas.stats.classification.membership import (
    controls_needed,
    exposures,
    mean_exposure,
    mean_log_probability,
    min_k_mean,
    token_z_scores,
    true_positive_rate,
    zlib_ratio,
)
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson

NAN = float("nan")


def test_the_mean_ignores_missing_tokens():
    result = mean_log_probability([[NAN, -1, -2, -6], [NAN, -1, -np.inf, -5], [NAN] * 4])
    assert result[:2].tolist() == [-3, -3]
    assert np.isnan(result[2])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.1, -9), (0.2, -9), (0.25, -9), (0.5, -7.5), (0.74, -7.5), (1, -4.5)]
)
def test_the_lowest_share_is_a_whole_number_of_tokens_at_least_one(share, expected):
    assert min_k_mean([[-1, -6, -9, NAN, -2]], share).tolist() == [expected]


def test_a_share_of_one_is_the_mean():
    values = np.random.default_rng(0).normal(-3, 2, (50, 64))
    values[:, 0] = NAN
    assert min_k_mean(values, 1.0) == pytest.approx(mean_log_probability(values), abs=1e-12)


@pytest.mark.parametrize("share", np.arange(1, 11) / 10)
def test_whole_numbers_of_tokens_survive_binary_fractions(share):
    values = -np.arange(1.0, 11)[None]
    used = round(share * 10)
    assert min_k_mean(values, share).tolist() == [pytest.approx(-np.arange(11 - used, 11).mean())]
    hundred = -np.arange(1.0, 101)[None]  # 0.29 * 100 is 28.999999999999996
    assert min_k_mean(hundred, 0.29).tolist() == [pytest.approx(-np.arange(72, 101).mean())]


def test_z_is_from_the_vocabularys_own_mean_and_spread():
    p = np.array([0.7, 0.2, 0.1])
    mean = (p * np.log(p)).sum()
    variance = (p * (np.log(p) - mean) ** 2).sum()
    result = token_z_scores(np.log(p)[None], np.full((1, 3), mean), np.full((1, 3), variance))
    assert (p * result).sum() == pytest.approx(0)
    assert (p * result**2).sum() == pytest.approx(1)
    assert result[0, 0] > 0 > result[0, 2]


def test_a_uniform_model_has_no_z():
    flat = np.full((2, 5), -np.log(7))
    z = token_z_scores(flat, flat, np.zeros((2, 5)))
    assert np.isnan(z).all()
    assert np.isnan(min_k_mean(z, 0.2)).all()


def test_zlib_divides_by_bytes():
    result = zlib_ratio([-3, -4, -4, NAN], [60, 10, 0, 5])
    assert result[:2].tolist() == [-0.05, -0.4]
    assert np.isnan(result[2:]).all()


def test_two_gaussian_classes_give_the_analytic_area_and_rate():
    rng = np.random.default_rng(1)
    noise = rng.normal(-4, 1, (40_000, 16))
    noise[:20_000] += 0.25  # the mean of 16 tokens moves by one standard deviation
    result = mean_log_probability(noise)
    area = roc_auc(result, np.arange(40_000) < 20_000)
    assert area.estimate == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.006)
    rate = true_positive_rate(result[:20_000], result[20_000:], 0.01)
    assert rate.estimate == pytest.approx(norm.sf(norm.isf(0.01) - 1), abs=0.015)
    assert rate.lower < rate.estimate < rate.upper


def test_the_threshold_admits_the_allowed_number_of_controls():
    controls = np.arange(300.0)  # 1 % are three: 297, 298 and 299 may be above the threshold
    assert true_positive_rate([296, 296.5, 297, 400], controls, 0.01).estimate == 0.75
    assert true_positive_rate([299], np.arange(100.0), 0.01).estimate == 1.0
    assert true_positive_rate([98, 98.5], np.arange(100.0), 0.01).estimate == 0.5


@pytest.mark.parametrize(("members", "controls"), [(400, 400), (400, 100), (48, 400), (400, 2000)])
@pytest.mark.parametrize("distance", [1, 2, 3])
def test_the_interval_of_a_rate_covers_it_however_few_controls_set_the_threshold(members, controls, distance):
    """With the threshold taken as given it would cover .23 to .92, a bootstrap of both sides .69 to .96."""
    truth, rng, covered, fixed = norm.sf(norm.isf(0.01) - distance), np.random.default_rng(0), [], []
    for _ in range(300):
        member_scores = rng.normal(distance, 1, members)
        rate = true_positive_rate(member_scores, rng.normal(0, 1, controls), 0.01)
        covered.append(rate.lower <= truth <= rate.upper)
        given = wilson(round(rate.estimate * members), members)
        fixed.append(given.lower <= truth <= given.upper)
    assert np.mean(covered) >= 0.94
    assert np.mean(fixed) < 0.93


def test_the_interval_of_a_rate_by_hand():
    """1,000 controls 0, 1, ... 999: 4 to 17 exceed the true threshold, 10 the one used; members 980 to 999."""
    rate = true_positive_rate(np.arange(980.0, 1000), np.arange(1000.0), 0.01)
    share = wilson(10, 20)  # above 989; above 996 there are 3, above 982 there are 17
    assert rate.estimate == 0.5
    assert rate.lower == pytest.approx(0.5 - np.hypot(0.5 - share.lower, 0.5 - 3 / 20))
    assert rate.upper == pytest.approx(min(1, 0.5 + np.hypot(share.upper - 0.5, 17 / 20 - 0.5)))


def test_five_equal_rows_of_a_document_are_one_observation():
    rng = np.random.default_rng(2)
    members, controls = rng.normal(2, 1, 200), rng.normal(0, 1, 1000)
    once = true_positive_rate(members, controls, 0.01)
    five = [np.repeat(values, 5) for values in (members, controls, np.arange(200), np.arange(1000))]
    clustered, independent = true_positive_rate(*five[:2], 0.01, *five[2:]), true_positive_rate(*five[:2], 0.01)
    assert clustered.estimate == independent.estimate == once.estimate
    assert (clustered.lower, clustered.upper) == pytest.approx((once.lower, once.upper), abs=0.02)
    assert independent.upper - independent.lower < 0.6 * (once.upper - once.lower)


def test_members_of_one_document_have_no_interval():
    rate = true_positive_rate([3.0, 4.0, -1.0], np.zeros(100), 0.01, [1, 1, 1])
    assert (rate.estimate, rate.lower, rate.upper) == (2 / 3, None, None)


def test_too_few_controls_have_no_rate():
    assert (controls_needed(0.01), controls_needed(0.001)) == (100, 1000)
    assert true_positive_rate([1.0], np.zeros(99), 0.01) is None
    assert true_positive_rate([1.0], np.zeros(100), 0.01).count == 1
    assert true_positive_rate([], np.zeros(100), 0.01) is None


@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_best_of_two_to_the_k_candidates_is_exposed_by_k_bits(k):
    references = np.random.default_rng(k).normal(size=2**k - 1)
    result = exposures([references.max() + 1, references.min() - 1], references)
    assert result.bits == pytest.approx([k, 0])
    assert result.maximum == pytest.approx(k)
    assert not result.tied.any()


def test_a_random_candidate_is_exposed_by_one_over_ln_two_on_average():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000)
    result = exposures(scores, rng.normal(size=20_000))
    assert result.bits.mean() == pytest.approx(1 / np.log(2), abs=0.05)
    assert result.chance == pytest.approx(1 / np.log(2), abs=0.001)
    assert exposures([0.0], [1.0]).chance == 0.5  # first or second of two: 1 bit or none


def test_ties_rank_in_the_middle_so_that_constant_scores_expose_nothing():
    result = exposures([1.0, 2.0], np.ones(7))
    assert result.tied.tolist() == [True, False]
    assert result.bits == pytest.approx([np.log2(8 / 4.5), 3])


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_log_probability([1.0]),
        lambda: min_k_mean([[1.0]], 0),
        lambda: min_k_mean([[1.0]], 1.1),
        lambda: token_z_scores([[1.0]], [[1.0, 2]], [[1.0]]),
        lambda: zlib_ratio([1.0], [1.0, 2]),
    ],
)
def test_wrong_shapes_and_shares_are_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()


def test_inputs_are_not_changed():
    values = np.array([[-3.0, -1, -2]])
    values.flags.writeable = False
    min_k_mean(values, 0.5)
    exposures(values[0], values[0])
    true_positive_rate(values[0], values[0], 0.5)
    assert values.tolist() == [[-3, -1, -2]]


# ------------------------------------------------------------------------------------------------------------ clusters


def rate_numbers(rate):
    return rate.estimate, rate.lower, rate.upper


def test_one_row_per_cluster_is_the_rate_of_independent_rows():
    random = np.random.default_rng(0)
    members, controls = random.normal(size=150) + 1, random.normal(size=400)
    expected = true_positive_rate(members, controls, 0.01)
    result = true_positive_rate(members, controls, 0.01, np.arange(150), np.arange(400))
    assert rate_numbers(result) == rate_numbers(expected)


def test_the_rate_of_copies_by_hand():
    """250 controls 0 .. 249 and 30 members 230.5 .. 259.5, four copies of each: 40 copies are above control 239.

    The eleven controls from the threshold on are whole clusters, whose share has the design effect of four copies.
    """
    rows = np.arange(250).repeat(4)
    members, member_rows = np.arange(230.5, 260)[np.arange(30).repeat(4)], np.arange(30).repeat(4)
    result = true_positive_rate(members, rows.astype(float), 0.04, member_rows, rows)
    share = clustered_shares(cluster_sums(np.where(np.arange(30) < 9, 0, 4), np.full(30, 4)))
    assert result.estimate == pytest.approx(share.estimate[0]) == pytest.approx(21 / 30)
    exceeding = clustered_shares(cluster_sums(4 * (np.arange(250) >= 239), np.full(250, 4)))
    worth = round(1000 / exceeding.design_effect[0])
    fewest, most = (round(binom.ppf(end, worth, 0.04) * 1000 / worth) for end in (0.025, 0.975))
    lowest, highest = (np.mean(members > 249 - place // 4) for place in (fewest - 1, most))
    assert result.lower == pytest.approx(0.7 - np.hypot(0.7 - share.lower[0], 0.7 - lowest))
    assert result.upper == pytest.approx(min(1, 0.7 + np.hypot(share.upper[0] - 0.7, highest - 0.7)))
    assert worth == pytest.approx(250, rel=0.03)


def test_members_of_one_cluster_have_no_interval_of_the_rate():
    result = true_positive_rate([1.0, 200], np.arange(100.0), 0.01, [3, 3])
    assert (result.estimate, result.lower, result.upper) == (0.5, None, None)


def test_mean_exposure_has_the_error_of_the_rows_where_references_are_many():
    random = np.random.default_rng(0)
    scores, references = random.normal(size=60), random.normal(size=200_000)
    bits = exposures(scores, references).bits
    result = mean_exposure(scores, references)
    lower, upper = t.interval(0.95, 59, bits.mean(), sem(bits))
    assert result.estimate[0] == pytest.approx(bits.mean())
    assert (result.lower[0], result.upper[0]) == pytest.approx((lower, upper), abs=2e-3)


def test_mean_exposure_has_the_error_of_the_references_where_rows_are_many():
    """By the bootstrap of 400 references, beside 20,000 rows of the same distribution."""
    random = np.random.default_rng(1)
    scores, references = random.normal(size=20_000), random.normal(size=400)
    result = mean_exposure(scores, references)
    sampled = [exposures(scores, random.choice(references, 400)).bits.mean() for _ in range(400)]
    assert result.upper[0] - result.estimate[0] == pytest.approx(1.97 * np.std(sampled), rel=0.1)


def test_mean_exposure_of_copies_has_the_interval_of_the_clusters():
    random = np.random.default_rng(2)
    scores, references = random.normal(size=80) + 1, random.normal(size=3000)
    rows, controls = np.arange(80).repeat(5), np.arange(3000).repeat(5)
    expected = mean_exposure(scores, references)
    result = mean_exposure(scores[rows], references[controls], rows, controls)
    assert result.clusters[0] == 80
    assert result.estimate[0] == pytest.approx(expected.estimate[0], abs=0.05)
    assert result.upper[0] - result.lower[0] == pytest.approx(expected.upper[0] - expected.lower[0], rel=0.05)


def test_mean_exposure_is_within_what_the_references_allow():
    random = np.random.default_rng(3)
    high = mean_exposure(np.append(np.full(30, 9.0), 0), random.normal(size=127))
    assert high.estimate[0] < high.upper[0] == 7
    assert np.isnan(mean_exposure([1.0], random.normal(size=100)).lower[0])
    assert np.isnan(mean_exposure([1.0, 2.0], [1.5]).lower[0])


def test_the_interval_of_mean_exposure_has_its_nominal_coverage():
    """The truth is the mean over many references; rows alone would cover a third less."""
    random = np.random.default_rng(4)
    truth = mean_exposure(
        random.normal(size=200_000) + 1, np.quantile(random.normal(size=10**6), np.arange(0.5, 400) / 400)
    )
    covered = np.zeros(2)
    for _ in range(400):
        scores, references = random.normal(size=400) + 1, random.normal(size=400)
        result, rows = mean_exposure(scores, references), means(exposures(scores, references).bits[:, None])
        covered += [each.lower[0] <= truth.estimate[0] <= each.upper[0] for each in (result, rows)]
    assert 0.92 <= covered[0] / 400 <= 0.97
    assert covered[1] / 400 < 0.85
