"""Silhouette and purity of planted groups, compared with scikit-learn and with chance."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from mematlas.stats.geometry.distances import euclidean_distances
from mematlas.stats.geometry.separation import separation

GROUPS = np.repeat([3, 7, 9], [10, 25, 15])


def planted(shift, seed=0):
    rng = np.random.default_rng(seed)
    return euclidean_distances(rng.normal(size=(50, 3)) + shift * GROUPS[:, None])


def test_the_silhouette_is_that_of_scikit_learn():
    matrix = planted(0.4)
    result = separation(matrix, GROUPS, permutations=1)["silhouette"].estimate
    assert result == pytest.approx(silhouette_score(matrix, GROUPS, metric="precomputed"))
    singleton = np.append(np.zeros(49, int), 1)
    result = separation(matrix, singleton, permutations=1)["silhouette"].estimate
    assert result == pytest.approx(silhouette_score(matrix, singleton, metric="precomputed"))


def test_purity_is_the_share_of_rows_whose_nearest_row_has_their_group():
    matrix = planted(0.2)
    others = matrix + np.diag(np.full(50, np.inf))
    nearest = GROUPS[others.argmin(1)]
    assert separation(matrix, GROUPS, permutations=1)["purity"].estimate == pytest.approx((nearest == GROUPS).mean())


def test_tied_nearest_rows_count_equally():
    matrix = euclidean_distances(np.zeros((4, 1)))
    result = separation(matrix, [0, 0, 0, 1], permutations=50)
    assert result["purity"].estimate == pytest.approx((3 * 2 / 3 + 0) / 4)
    assert result["purity"].p == 1
    assert result["silhouette"].estimate == 0


def test_separated_groups_are_detected_and_shuffled_groups_are_not():
    result = separation(planted(5.0), GROUPS, permutations=199)
    assert result["silhouette"].estimate > 0.5
    assert result["purity"].estimate == 1
    assert {measure.p for measure in result.values()} == {1 / 200}
    matrix = planted(0.0)
    p_values = []
    for seed in range(60):
        labels = np.random.default_rng(seed).permutation(GROUPS)
        null = separation(matrix, labels, permutations=99, seed=seed)
        assert null["silhouette"].null_mean == pytest.approx(0, abs=0.06)
        p_values.append(null["silhouette"].p)
    assert 0 <= np.mean(np.array(p_values) <= 0.05) <= 0.13
    assert 0.4 < np.mean(p_values) < 0.6


def test_documents_that_lie_apart_are_no_separation_of_levels():
    """Rows of a document lie near each other and have one level: without clusters, p is far too small."""
    p_values = {"rows": [], "clusters": []}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(24), rng.integers(1, 6, 24))
        matrix = euclidean_distances(rng.normal(size=(24, 3))[clusters] + 0.3 * rng.normal(size=(len(clusters), 3)))
        levels = (np.arange(24) % 2)[clusters]
        for name, which in (("rows", None), ("clusters", clusters)):
            result = separation(matrix, levels, clusters=which, permutations=59, seed=seed)
            p_values[name].append([result[measure].p for measure in ("silhouette", "purity")])
    rejected = {name: (np.array(values) <= 0.05).mean(0) for name, values in p_values.items()}
    assert (rejected["clusters"] <= 0.13).all()
    assert (rejected["rows"] >= 0.4).all()


def test_one_cluster_a_row_changes_nothing():
    matrix = planted(0.2)
    assert separation(matrix, GROUPS, clusters=range(50)) == separation(matrix, GROUPS)


def test_a_shuffle_that_empties_a_group_still_gives_numbers():
    """Levels of eleven rows of one document and of one row each: shuffles may leave a single level."""
    clusters = [0] * 11 + [1, 2, 3]
    matrix = euclidean_distances(np.random.default_rng(0).normal(size=(14, 2)))
    result = separation(matrix, [0] * 11 + [1, 1, 1], clusters=clusters, permutations=50)["silhouette"]
    assert np.isfinite([result.null_mean, result.null_lower, result.null_upper]).all()


def test_the_null_of_purity_is_the_sum_of_squared_shares():
    sizes = np.array([10, 25, 15])
    result = separation(planted(1.0), GROUPS, permutations=499)["purity"]
    assert result.null_mean == pytest.approx((sizes * (sizes - 1)).sum() / (50 * 49), abs=0.01)
    assert result.null_lower < result.null_mean < result.null_upper < result.estimate


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
def test_invalid_input_is_refused(matrix, groups, permutations, match):
    with pytest.raises(ValueError, match=match):
        separation(matrix, groups, permutations=permutations)
