"""Bins of weighted rows: those of scikit-learn, to the bit, and the same trees."""

import numpy as np
import pytest

from mematlas.predictors.bins import weighted_bins


def test_bins_of_equal_weight_hold_equally_many_values():
    values = np.arange(100.0)[:, None]
    bins = weighted_bins(values, np.ones(100), 4)
    assert bins.thresholds[0].tolist() == [24.5, 49.5, 74.5]
    assert np.bincount(bins(values)[:, 0].astype(int)).tolist() == [25] * 4


def test_a_heavy_value_has_a_bin_of_its_own_and_few_values_are_kept_apart():
    heavy = weighted_bins(np.arange(10.0)[:, None], np.array([1, 1, 1, 1, 100, 1, 1, 1, 1, 1.0]), 4)
    assert [threshold.tolist() for threshold in heavy.thresholds] == [[4.0]]  # all quartiles are within it
    few = weighted_bins(np.array([[3.0], [1.0], [3.0], [7.0]]), np.ones(4), 4)
    assert few.thresholds[0].tolist() == [2.0, 5.0]
    assert few(np.array([[2.0], [2.1], [9.0]]))[:, 0].tolist() == [0, 1, 2]
    assert weighted_bins(np.ones((5, 1)), np.ones(5), 4).thresholds[0].size == 0


@pytest.mark.parametrize("seed", range(8))
def test_trees_of_bins_are_the_trees_of_the_values(seed):
    """Ties, gaps, a constant, and new values that lie in bins which are empty where the trees are grown."""
    pytest.importorskip("sklearn", minversion="1.8")
    from sklearn.ensemble import HistGradientBoostingClassifier

    random = np.random.default_rng(seed)
    values = random.normal(size=(600, 6)).astype(np.float32)
    values[:, 1], values[:, 2] = np.round(values[:, 1]), np.round(3 * values[:, 2])
    values[:, 3], values[:, 4] = 1, np.where(values[:, 4] > 0, values[:, 4] + 20, values[:, 4])
    hits = (values[:, 0] + values[:, 4] / 10 + random.normal(size=600) > 1.3).astype(np.int8)
    weights = len(hits) / (2 * np.bincount(hits))[hits]
    bins = weighted_bins(values, weights, 15)

    def trees(features):
        model = HistGradientBoostingClassifier(max_iter=30, max_bins=15, class_weight="balanced", early_stopping=False)
        return model.fit(features, hits)

    new = np.concatenate([values, random.normal(scale=12, size=(2000, 6)).astype(np.float32)])
    found, expected = trees(bins(values)).decision_function(bins(new)), trees(values).decision_function(new)
    assert np.array_equal(found, expected)
