"""ROC-AUC, PR-AUC and calibration against counting by hand; intervals against simulation."""

import numpy as np
import pytest
from scipy.stats import norm

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
    # shares above: of hits 1, 1/2, 1/2 (variance 1/12), of misses 1/3, 1 (variance 2/9)
    half = norm.ppf(0.975) * np.sqrt(1 / 12 / 3 + 2 / 9 / 2) / (2 / 9)
    assert result.estimate == pytest.approx(2 / 3)
    assert result.lower == pytest.approx(1 / (1 + np.exp(half - np.log(2))))
    assert result.upper == pytest.approx(1 / (1 + np.exp(-half - np.log(2))))


def test_delongs_interval_covers_the_true_area():
    true_area, covered = float(norm.cdf(1 / np.sqrt(2))), []
    for seed in range(500):
        scores = np.random.default_rng(seed).normal(size=160)
        scores[:40] += 1
        result = roc_auc(scores, np.arange(160) < 40)
        covered.append(result.lower < true_area < result.upper)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)


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


def test_intervals_contain_their_estimate():
    scores, hits = np.random.default_rng(2).uniform(size=60), np.arange(60) < 20
    for result in (roc_auc(scores, hits), pr_auc(scores, hits), calibration_error(scores, hits)):
        assert result.lower <= result.estimate <= result.upper
        assert result.count == 60


def test_undefined_values_are_none():
    assert roc_auc([1, 2], [True, True]).estimate is None
    assert pr_auc([1, 2], [False, False]).estimate is None
    assert calibration_error([], []).estimate is None
    assert (roc_auc([2, 2, 1, 1], [True, True, False, False]).lower) is None
    assert (roc_auc([1, 1, 1, 1], [True, True, False, False]).lower) is None
    assert roc_auc([1, 1, 1, 1], [True, True, False, False]).estimate == 0.5
    with pytest.raises(ValueError, match=r"not \(2,\) and \(1,\)"):
        roc_auc([1, 2], [True])
