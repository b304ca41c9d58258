"""Means over pairs of rows for many labelings at once, compared with one at a time."""

import numpy as np
import pytest

from mematlas.stats.geometry.distances import cosine_similarities, euclidean_distances
from mematlas.stats.geometry.group_pairs import pair_means
from mematlas.stats.geometry.labeled_pairs import Labelings


@pytest.mark.parametrize("measure", [euclidean_distances, cosine_similarities])
def test_each_labeling_has_the_means_of_its_pairs(measure):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(20, 3))
    states[4] = np.nan
    matrix, labels = measure(states), rng.integers(-1, 3, (5, 20))
    result = Labelings(labels, 3).pair_means(matrix)
    assert result.shape == (5, 3, 3)
    for means, labeling in zip(result, labels, strict=True):
        members = labeling[:, None] == np.arange(3)
        pairs = [(first, second) for first in range(3) for second in range(3)]
        assert means.ravel() == pytest.approx(pair_means(matrix, members, pairs).estimate)


def test_labels_without_pairs_have_no_mean():
    matrix = euclidean_distances(np.array([[0.0], [1.0], [5.0]]))
    means = Labelings([[0, 0, 1]], 3).pair_means(matrix)[0]
    assert means[0].tolist() == pytest.approx([1, 4.5, np.nan], nan_ok=True)
    assert np.isnan(means[1, 1])
    assert np.isnan(Labelings([[0, 0, 1]], 2).pair_means(np.full((3, 3), np.nan))).all()


def test_the_error_is_far_below_what_shuffles_differ_by():
    rng = np.random.default_rng(1)
    matrix = 1000 + euclidean_distances(rng.normal(size=(300, 8)))
    labels = np.stack([rng.permutation(np.repeat([0, 1, 2], 100)) for _ in range(50)])
    result = Labelings(labels, 3).pair_means(matrix)
    exact = np.array([pair_means(matrix, row[:, None] == np.arange(3), [(0, 0), (0, 1)]).estimate for row in labels])
    assert np.abs(result[:, 0, :2] - exact).max() < 1e-5 * exact.std(0).min()


def test_equal_values_have_exactly_their_mean():
    assert Labelings([[0, 0, 1, 1]], 2).pair_means(np.full((4, 4), 0.3)).tolist() == [[[0.3, 0.3], [0.3, 0.3]]]
