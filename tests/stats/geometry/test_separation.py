"""Silhouette and purity of planted groups, beside scikit-learn and beside chance."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from mematlas.stats.geometry.distances import euclidean
from mematlas.stats.geometry.separation import separation

GROUPS = np.repeat([3, 7, 9], [10, 25, 15])


def planted(apart, seed=0):
    rng = np.random.default_rng(seed)
    return euclidean(rng.normal(size=(50, 3)) + apart * GROUPS[:, None])


def test_the_silhouette_is_that_of_scikit_learn():
    matrix = planted(0.4)
    found = separation(matrix, GROUPS, permutations=1)["silhouette"].estimate
    assert found == pytest.approx(silhouette_score(matrix, GROUPS, metric="precomputed"))
    lonely = np.append(np.zeros(49, int), 1)
    found = separation(matrix, lonely, permutations=1)["silhouette"].estimate
    assert found == pytest.approx(silhouette_score(matrix, lonely, metric="precomputed"))


def test_purity_is_the_share_of_rows_whose_nearest_is_of_their_group():
    matrix = planted(0.2)
    others = matrix + np.diag(np.full(50, np.inf))
    nearest = GROUPS[others.argmin(1)]
    assert separation(matrix, GROUPS, permutations=1)["purity"].estimate == pytest.approx((nearest == GROUPS).mean())


def test_equally_near_rows_count_their_part():
    matrix = euclidean(np.zeros((4, 1)))
    found = separation(matrix, [0, 0, 0, 1], permutations=50)
    assert found["purity"].estimate == pytest.approx((3 * 2 / 3 + 0) / 4)
    assert found["purity"].p == 1
    assert found["silhouette"].estimate == 0


def test_groups_far_apart_are_told_and_shuffled_ones_are_not():
    found = separation(planted(5.0), GROUPS, permutations=199)
    assert found["silhouette"].estimate > 0.5
    assert found["purity"].estimate == 1
    assert {one.p for one in found.values()} == {1 / 200}
    matrix = planted(0.0)
    p = []
    for seed in range(60):
        labels = np.random.default_rng(seed).permutation(GROUPS)
        null = separation(matrix, labels, permutations=99, seed=seed)
        assert null["silhouette"].null == pytest.approx(0, abs=0.06)
        p.append(null["silhouette"].p)
    assert 0 <= np.mean(np.array(p) <= 0.05) <= 0.13
    assert 0.4 < np.mean(p) < 0.6


def test_the_null_of_purity_is_the_sum_of_squared_shares():
    sizes = np.array([10, 25, 15])
    found = separation(planted(1.0), GROUPS, permutations=499)["purity"]
    assert found.null == pytest.approx((sizes * (sizes - 1)).sum() / (50 * 49), abs=0.01)
    assert found.lower < found.null < found.upper < found.estimate


def test_the_same_seed_gives_the_same_numbers():
    assert separation(planted(1.0), GROUPS, seed=4) == separation(planted(1.0), GROUPS, seed=4)
    assert separation(planted(1.0), GROUPS, seed=4) != separation(planted(1.0), GROUPS, seed=5)


@pytest.mark.parametrize(
    ("matrix", "groups", "permutations", "match"),
    [
        (np.zeros((3, 3)), [0, 0, 0], 9, "two groups"),
        (np.zeros((3, 3)), [0, 1, 1], 0, "one permutation"),
        (np.full((3, 3), np.nan), [0, 1, 1], 9, "none missing"),
        (np.zeros((3, 2)), [0, 1, 1], 9, "distances must be"),
    ],
)
def test_what_cannot_be_told_is_refused(matrix, groups, permutations, match):
    with pytest.raises(ValueError, match=match):
        separation(matrix, groups, permutations=permutations)
