"""ROC-AUC, PR-AUC and calibration against counting by hand; intervals against simulation."""

from itertools import product

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm, t
from sklearn.metrics import average_precision_score

from mematlas.stats.classification.discrimination import calibration_error, pr_auc, roc_auc


def test_the_area_is_the_share_of_pairs_in_order():
    result = roc_auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    assert result.estimate == 3.5 / 4
    assert result.lower < result.estimate < result.upper
    assert roc_auc([0.1, 0.9], [True, False]).estimate == 0.0
    scores, hits = np.random.default_rng(0).integers(0, 9, 80), np.arange(80) < 30
    pairs = [(a > b) + (a == b) / 2 for a in scores[hits] for b in scores[~hits]]
    assert roc_auc(scores, hits).estimate == pytest.approx(np.mean(pairs))


def test_delongs_interval_by_hand():
    result = roc_auc([3, 1, 0.5, 2, 0], [True, True, True, False, False])
    # shares above: of hits 1, 1/2, 1/2 (variance 1/12), of misses 1/3, 1 (variance 2/9); one miss is below some hit
    delong, largest = 1 / 12 / 3 + 2 / 9 / 2, 2 / 9 / 2
    half = norm.ppf(0.975) * np.sqrt((1 * delong + max(delong, largest)) / 2) / (2 / 9)
    assert result.estimate == pytest.approx(2 / 3)
    # Wilson's interval of the two pairs that are possible is shorter at both ends
    assert result.lower == pytest.approx(0.1593, abs=1e-3)
    assert result.lower > 1 / (1 + np.exp(half - np.log(2)))
    assert result.upper == pytest.approx(0.9548, abs=1e-3)
    assert result.upper < 1 / (1 + np.exp(-half - np.log(2)))


def test_delongs_interval_of_many_rows_is_on_the_log_odds():
    rng = np.random.default_rng(0)
    hits = np.arange(2000) < 1000
    scores = rng.normal(size=2000) + hits
    result = roc_auc(scores, hits)
    shares = np.array([np.mean(scores[~hits] < score) for score in scores[hits]])
    below = np.array([np.mean(scores[hits] > score) for score in scores[~hits]])
    error = np.sqrt(shares.var(ddof=1) / 1000 + below.var(ddof=1) / 1000)
    area, half = shares.mean(), norm.ppf(0.975) * error / (shares.mean() * (1 - shares.mean()))
    odds = np.log(area / (1 - area))
    assert result.lower == pytest.approx(1 / (1 + np.exp(half - odds)), abs=2e-4)
    assert result.upper == pytest.approx(1 / (1 + np.exp(-half - odds)), abs=2e-4)


@pytest.mark.parametrize("clusters", [None, np.arange(96) // 2])
def test_classes_that_are_nearly_apart_have_nearly_the_interval_of_classes_that_are(clusters):
    """One pair of 2,304 out of order: the interval must not reach down to 0."""
    hits = np.arange(96) < 48
    scores = np.where(hits, 10.0, 0.0) + np.arange(96) / 1000
    apart = roc_auc(scores, hits, clusters)
    scores[[0, 95]] = 5.0, 5.1
    nearly = roc_auc(scores, hits, clusters)
    assert nearly.estimate == 1 - 1 / 48**2
    assert apart.lower - 0.06 < nearly.lower < apart.lower + 0.01


def binormal(area, spread=1.0):
    distance = norm.ppf(area) * np.sqrt(1 + spread**2)
    return lambda rng, m, n: np.concatenate([rng.normal(distance, spread, m), rng.normal(0, 1, n)])


def recited_or_not(area):
    """A share of the hits is far above everything, the others are as the misses."""

    def draw(rng, m, n):
        far = rng.random(m) < 2 * (area - 0.5)
        return np.concatenate([np.where(far, 9.0, rng.normal(size=m)), rng.normal(size=n)])

    return draw


@pytest.mark.parametrize("sizes", [(10, 40), (48, 48), (48, 400), (400, 400)])
@pytest.mark.parametrize("area", [0.5, 0.75, 0.97, 0.99])
@pytest.mark.parametrize("kind", [binormal, recited_or_not])
def test_the_interval_covers_the_true_area(kind, area, sizes):
    """Near 1 it covers more than 95 %; DeLong's alone .88 to .98 of the same samples."""
    covered = []
    for seed in range(300):
        scores = kind(area)(np.random.default_rng(seed), *sizes)
        result = roc_auc(scores, np.arange(sum(sizes)) < sizes[0])
        covered.append(result.lower <= area <= result.upper)
    assert np.mean(covered) >= 0.92
    assert area > 0.9 or np.mean(covered) <= 0.985


@pytest.mark.parametrize("area", [0.97, 0.99, 0.995])
def test_the_interval_covers_where_few_hits_are_far_below(area):
    """Hits vary three times as much as misses: DeLong's own interval covers 69 to 87 %."""
    covered = []
    for seed in range(300):
        scores = binormal(area, spread=3.0)(np.random.default_rng(seed), 48, 400)
        result = roc_auc(scores, np.arange(448) < 48)
        covered.append(result.lower <= area <= result.upper)
    assert np.mean(covered) >= 0.92


@pytest.mark.parametrize(("members", "controls"), [(1, 5), (10, 40), (40, 10), (400, 400)])
def test_classes_that_are_apart_have_an_exact_end(members, controls):
    hits = np.arange(members + controls) < members
    apart, reversed_order = roc_auc(hits, hits), roc_auc(~hits, hits)
    end = 0.025 ** (1 / min(members, controls))
    assert (apart.estimate, apart.upper, reversed_order.estimate, reversed_order.lower) == (1, 1, 0, 0)
    assert apart.lower == pytest.approx(end)
    assert reversed_order.upper == pytest.approx(1 - end)


def test_the_exact_end_holds_for_the_worst_distribution():
    """Hits are below all misses with the probability 1 - area: the classes are apart with the largest probability."""
    area = 0.025 ** (1 / 10) - 0.001  # not covered by an interval from classes that are apart
    rng, apart = np.random.default_rng(0), 0
    for _ in range(4000):
        apart += (rng.random(10) < area).all()
    assert apart / 4000 <= 0.03


@pytest.mark.parametrize(("clusters", "rows"), [(40, 10), (20, 20)])
@pytest.mark.parametrize("correlation", [0.1, 0.3, 0.9])
def test_clustered_rows_have_a_clustered_interval(clusters, rows, correlation):
    """Documents of both sides; as independent rows the interval would cover 46 to 86 %."""
    covered, plain = [], []
    labels, hits = np.repeat(np.arange(2 * clusters), rows), np.arange(2 * clusters * rows) < clusters * rows
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=2 * clusters)[labels] * correlation**0.5
        scores = shared + rng.normal(size=len(labels)) * (1 - correlation) ** 0.5
        result, independent = roc_auc(scores, hits, labels), roc_auc(scores, hits)
        covered.append(result.lower <= 0.5 <= result.upper)
        plain.append(independent.lower <= 0.5 <= independent.upper)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.mean(plain) < 0.9


def test_random_scores_give_an_area_of_a_half():
    scores, hits = np.random.default_rng(1).uniform(size=2000), np.arange(2000) < 300
    area = roc_auc(scores, hits)
    assert area.lower < 0.5 < area.upper
    assert pr_auc(scores, hits, draws=50).estimate == pytest.approx(0.15, abs=0.03)


def test_average_precision_by_hand_and_with_ties():
    assert pr_auc([4, 3, 2, 1], [True, False, True, False], draws=9).estimate == pytest.approx((1 + 2 / 3) / 2)
    assert pr_auc([1, 1, 1, 1], [True, False, False, False], draws=9).estimate == 0.25


def test_calibration_by_hand():
    probabilities, hits = [0.1, 0.1, 0.9, 0.9, 1.0], [False, True, True, True, False]
    assert calibration_error(probabilities, hits, draws=9).estimate == pytest.approx((0.8 + 0.8) / 5)
    true_probabilities = np.random.default_rng(0).uniform(size=20_000)
    outcomes = np.random.default_rng(1).uniform(size=20_000) < true_probabilities
    assert calibration_error(true_probabilities, outcomes, draws=20).estimate < 0.01
    assert calibration_error(true_probabilities**3, outcomes, draws=20).estimate > 0.1


@pytest.mark.parametrize("rows", [50, 200, 1000])
def test_a_calibrated_model_is_above_its_band_in_five_percent_of_samples_and_another_more_often(rows):
    """The interval of a bootstrap contained the true error, 0, in none of them."""
    above, others_above, errors, expected = [], [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        probabilities = rng.uniform(size=rows)
        hits = rng.random(rows) < probabilities
        result = calibration_error(probabilities, hits, draws=100)
        other = calibration_error(probabilities**2, hits, draws=100)
        above.append(result.estimate > result.by_chance_upper)
        others_above.append(other.estimate > other.by_chance_upper)
        errors.append(result.estimate)
        expected.append(result.by_chance)
    assert np.mean(above) <= 0.09
    assert np.mean(others_above) > 0.7
    assert np.mean(expected) == pytest.approx(np.mean(errors), rel=0.1)


def test_intervals_contain_their_estimate():
    scores, hits = np.random.default_rng(2).uniform(size=60), np.arange(60) < 20
    for result in (roc_auc(scores, hits), pr_auc(scores, hits)):
        assert result.lower <= result.estimate <= result.upper
        assert result.count == 60


def test_undefined_values_are_none():
    assert roc_auc([1, 2], [True, True]).estimate is None
    assert pr_auc([1, 2], [False, False]).estimate is None
    assert calibration_error([], []).estimate is None
    assert calibration_error([], []).by_chance_upper is None
    assert roc_auc([3, 1, 2], [True, True, False]).lower is None
    assert (roc_auc([1, 1, 1, 1], [True, True, False, False]).lower) is None
    assert roc_auc([1, 1, 1, 1], [True, True, False, False]).estimate == 0.5
    with pytest.raises(ValueError, match=r"not \(2,\) and \(1,\)"):
        roc_auc([1, 2], [True])


# ------------------------------------------------------------------------------- clusters: precision and calibration


def clustered_scores(seed: int = 0, clusters: int = 40, copies: int = 1):
    """Scores, hits and clusters of rows that are `copies` of one row in each cluster."""
    random = np.random.default_rng(seed)
    hits = np.arange(clusters) % 3 == 0
    rows = np.arange(clusters).repeat(copies)
    return (random.normal(size=clusters) + hits)[rows], hits[rows], rows


@pytest.mark.parametrize("metric", [pr_auc, calibration_error])
def test_one_row_per_cluster_is_the_metric_of_independent_rows(metric):
    scores, hits, rows = clustered_scores()
    probabilities = norm.cdf(scores)
    assert metric(probabilities, hits, rows) == metric(probabilities, hits)


def test_average_precision_has_the_bias_and_variance_of_all_resamples():
    """Ten clusters of 4 copies; all resamples that differ, with their multinomial probabilities."""
    scores, hits = np.arange(10.0)[::-1], np.arange(10) % 2 == 0
    rows = np.arange(10).repeat(4)
    result = pr_auc(scores[rows], hits[rows], rows, draws=20_000)
    generator = np.random.default_rng(9)  # 92,378 multisets: a larger sample of them, by scikit-learn
    weights = generator.multinomial(10, np.full(10, 0.1), 20_000)
    log_odds = [
        logit(np.clip(average_precision_score(hits, scores, sample_weight=weight), 0.02, 0.98))
        for weight in weights[weights @ hits > 0][:4000]
    ]
    estimate = average_precision_score(hits, scores)
    variance = (5 * np.var(log_odds) + max(np.var(log_odds), 1 / (5 * estimate * (1 - estimate)))) / 6
    center, half_width = 2 * logit(estimate) - np.mean(log_odds), t.ppf(0.975, 4) * variance**0.5
    assert result.estimate == pytest.approx(estimate)
    assert logit(result.upper) == pytest.approx(center + half_width, abs=0.1)
    assert logit(result.lower) == pytest.approx(min(center - half_width, logit(estimate)), abs=0.1)
    by_rows = pr_auc(scores[rows], hits[rows])
    assert by_rows.upper - by_rows.lower < 0.6 * (result.upper - result.lower)


def test_average_precision_with_ties_and_weights_is_scikit_learns():
    random = np.random.default_rng(1)
    scores, hits = random.integers(0, 6, 50), random.random(50) < 0.4
    assert pr_auc(scores, hits).estimate == pytest.approx(average_precision_score(hits, scores))
    copies, rows = pr_auc(scores.repeat(3), hits.repeat(3), np.arange(50).repeat(3)), pr_auc(scores, hits)
    assert (copies.lower, copies.upper) == pytest.approx((rows.lower, rows.upper))


@pytest.mark.parametrize(("rows", "shift"), [(48, 1.0), (400, 1.0), (48, 2.5)])
def test_the_interval_of_average_precision_has_its_nominal_coverage(rows, shift):
    random, covered = np.random.default_rng(0), []
    many = np.arange(200_000) % 3 == 0
    truth = average_precision_score(many, random.normal(size=len(many)) + shift * many)
    for _ in range(300):
        hits = random.random(rows) < 1 / 3
        result = pr_auc(random.normal(size=rows) + shift * hits, hits, draws=200)
        if result.estimate < 1:
            covered.append(result.lower <= truth <= result.upper)
    assert 0.91 <= np.mean(covered) <= 0.99


def test_few_hits_or_misses_have_no_interval_of_average_precision():
    scores = np.random.default_rng(2).normal(size=30)
    assert pr_auc(scores, np.arange(30) < 4).lower is None
    assert pr_auc(scores, np.arange(30) >= 4).lower is None
    assert pr_auc(scores, np.arange(30) < 5).lower is not None
    assert pr_auc(scores, np.arange(30) < 15, np.arange(30) // 5).lower is None  # hits of three clusters


def test_the_calibration_error_by_chance_of_copies_is_that_of_the_signs_of_all_clusters():
    """Four clusters of 3 copies: probabilities .1 and .3 (two bins), with errors whose signs are flipped together."""
    probabilities, hits = np.array([0.1, 0.1, 0.3, 0.3]), np.array([True, False, False, True])
    rows = np.arange(4).repeat(3)
    errors = hits - probabilities
    by_chance = [
        (abs(signs[0] * errors[0] + signs[1] * errors[1]) + abs(signs[2] * errors[2] + signs[3] * errors[3])) / 4
        for signs in product((-1, 1), repeat=4)
    ]
    result = calibration_error(probabilities[rows], hits[rows], rows, draws=20_000)
    assert result.estimate == pytest.approx((abs(0.9 - 0.1) + abs(0.7 - 0.3)) / 4)
    assert result.by_chance == pytest.approx(np.mean(by_chance), abs=0.01)
    assert result.by_chance_upper == pytest.approx(max(by_chance))
