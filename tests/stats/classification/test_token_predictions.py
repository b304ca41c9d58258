"""Weighted scores of probabilities: by hand, against scikit-learn, and against copies of rows."""

import numpy as np
import pytest
from sklearn import metrics

from mematlas.stats.classification.token_predictions import (
    auroc_influences,
    calibration,
    token_scores,
    weighted_auroc,
)

P = [0.9, 0.6, 0.7, 0.2, 0.5]
Y = [True, True, False, True, False]
W = [1.0, 2.0, 1.0, 3.0, 1.0]


def random_tokens(count=500, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=count).round(2)
    return p, rng.uniform(size=count) < p**2, rng.uniform(0.5, 4, count)


def test_by_hand():
    """Predicted recited: 0.9, 0.6, 0.7, 0.5. Hits have weight 6 of 8; 3 of the weight 5 predicted are hits."""
    result = token_scores(P, Y, W)
    assert result.count == 5
    assert result.base_rate == result.guess == 6 / 8
    assert result.accuracy == pytest.approx((1 + 2) / 8)
    assert result.f1 == pytest.approx(2 * 3 / (5 + 6))
    # pairs (hit above miss): 0.9 above both: 2; 0.6 above 0.5 alone: 2 x 1; 0.2 above neither; of 6 x 2
    assert result.auroc == pytest.approx(4 / 12)
    # precision at each hit, weighted by the recall gained: 0.9: 1/1; 0.6: 3/4; 0.2: 6/8
    assert result.auprc == pytest.approx((1 * 1 + 2 * 3 / 4 + 3 * 6 / 8) / 6)
    # bins: [0.2, 0.4): 3 x |1 - 0.2|; [0.4, 0.6): 1 x |0 - 0.5|; [0.6, 0.8): |2 - 1.9|; [0.8, 1]: |1 - 0.9|
    assert result.ece == pytest.approx((2.4 + 0.5 + 0.1 + 0.1) / 8)


def test_against_scikit_learn():
    p, y, w = random_tokens()
    result, predicted = token_scores(p, y, w), p >= 0.5
    assert result.accuracy == pytest.approx(metrics.accuracy_score(y, predicted, sample_weight=w))
    assert result.f1 == pytest.approx(metrics.f1_score(y, predicted, sample_weight=w))
    assert result.auroc == pytest.approx(metrics.roc_auc_score(y, p, sample_weight=w))
    assert result.auprc == pytest.approx(metrics.average_precision_score(y, p, sample_weight=w))
    assert result.auroc != pytest.approx(metrics.roc_auc_score(y, p))


def test_a_weight_of_three_is_three_copies():
    p, y, _ = random_tokens(60)
    three = np.where(np.arange(60) % 2 == 0, 3, 1)
    copies = [np.repeat(values, three) for values in (p, y)]
    weighted, copied = token_scores(p, y, three), token_scores(*copies, np.ones(three.sum()))
    for name in ("base_rate", "guess", "accuracy", "auroc", "auprc", "f1", "ece"):
        assert getattr(weighted, name) == pytest.approx(getattr(copied, name)), name
    assert (weighted.count, copied.count) == (60, 120)


def test_the_truth_is_a_perfect_score_and_a_constant_is_uninformative():
    _, y, w = random_tokens()
    perfect, constant = token_scores(y.astype(float), y, w), token_scores(np.full(len(y), 0.3), y, w)
    assert (perfect.accuracy, perfect.auroc, perfect.auprc, perfect.f1) == pytest.approx((1, 1, 1, 1))
    assert perfect.ece == pytest.approx(0)
    assert constant.auroc == pytest.approx(0.5)
    assert constant.auprc == pytest.approx(constant.base_rate)
    assert constant.accuracy == pytest.approx(1 - constant.base_rate)
    assert constant.f1 == 0
    assert constant.ece == pytest.approx(abs(constant.base_rate - 0.3))


def test_undefined_metrics_are_none():
    assert token_scores([], [], []).accuracy is None
    misses, hits = token_scores(P, [False] * 5, W), token_scores(P, [True] * 5, W)
    assert (misses.auroc, misses.auprc, misses.f1, misses.guess) == (None, None, None, 1)
    assert (hits.auroc, hits.auprc, hits.base_rate) == (None, None, 1)
    assert hits.f1 == pytest.approx(2 * 5 / (5 + 8))
    assert weighted_auroc([0.1, 0.2], [False, False], [1, 1]) is None
    with pytest.raises(ValueError, match="must have the same shape"):
        token_scores([0.1, 0.2], [True], [1.0])


def test_bins_of_calibration():
    result = calibration(P, Y, W)
    assert result.count.tolist() == [0, 1, 1, 2, 1]
    assert result.weight.tolist() == pytest.approx([0, 3 / 8, 1 / 8, 3 / 8, 1 / 8])
    assert result.probability[3] == pytest.approx(1.9 / 3)
    assert result.share[1:].tolist() == pytest.approx([1, 0, 2 / 3, 1])
    assert np.isnan(result.share[0])
    assert calibration([1.0], [True], [1.0]).count.tolist() == [0, 0, 0, 0, 1]


def test_the_contributions_to_the_area_are_its_derivatives():
    """What a token contributes is how the area changes with its weight."""
    p, y, w = random_tokens(80)
    area, influences = auroc_influences(p, y, w)
    assert area == pytest.approx(weighted_auroc(p, y, w))
    assert influences[y].sum() == pytest.approx(0, abs=1e-12)
    assert influences[~y].sum() == pytest.approx(0, abs=1e-12)
    for token in range(0, 80, 7):
        heavier = w.copy()
        heavier[token] *= 1 + 1e-6
        assert (weighted_auroc(p, y, heavier) - area) / 1e-6 == pytest.approx(influences[token], abs=1e-6)


def test_one_class_has_no_contributions():
    assert auroc_influences([0.1, 0.9], [True, True], [1, 1]) is None
