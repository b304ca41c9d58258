"""Labels that are shuffled in whole clusters."""

import numpy as np
import pytest

from mematlas.stats.hypotheses.label_shuffles import label_shuffles, mean_and_middle


def shuffled(labels, clusters, count=1, seed=0):
    generator = np.random.default_rng(seed)
    return [np.asarray(labels)[sources] for sources in label_shuffles(len(labels), clusters, count, generator)]


@pytest.mark.parametrize("clusters", [None, range(9), [9, 3, 4, 1, 0, 8, 7, 6, 2]])
def test_independent_rows_are_permuted(clusters):
    labels = np.arange(9)
    for number, result in enumerate(shuffled(labels, clusters, 3)):
        generator = np.random.default_rng(0)
        assert result.tolist() == [generator.permutation(labels) for _ in range(number + 1)][-1].tolist()


def test_clusters_of_equal_size_exchange_their_labels_whole():
    clusters = [5, 2, 5, 9, 9, 2]
    labels = ["a1", "b1", "a2", "c1", "c2", "b2"]
    results = shuffled(labels, clusters, 60)
    for result in results:
        assert sorted(result) == sorted(labels)
        pairs = [tuple(result[[place for place in range(6) if clusters[place] == name]]) for name in (5, 2, 9)]
        assert set(pairs) == {("a1", "a2"), ("b1", "b2"), ("c1", "c2")}
    assert len({tuple(result) for result in results}) == 6, "all orders of three clusters appear"


def test_labels_are_cut_or_begun_again_where_sizes_differ():
    results = {tuple(result) for result in shuffled(["a", "b", "c", "x", "y"], [0, 0, 0, 1, 1], 30)}
    assert results == {("a", "b", "c", "x", "y"), ("x", "y", "x", "a", "b")}


def test_one_cluster_keeps_its_labels():
    assert shuffled([1, 2, 3], [7, 7, 7])[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["equal", "geometric", "a few large"])
def test_the_difference_of_shuffled_groups_varies_as_that_of_random_ones(kind):
    """Values and labels that are each alike within a cluster, without a relation; the test holds its level."""
    generator = np.random.default_rng(1)
    rejected, spreads, differences = [], [], []
    for _ in range(200):
        sizes = {
            "equal": np.full(60, 4),
            "geometric": generator.geometric(0.2, 60),
            "a few large": np.r_[np.ones(100, int), np.full(8, 12)],
        }[kind]
        clusters = np.repeat(np.arange(len(sizes)), sizes)
        labels = (generator.random(len(sizes)) < 0.4)[clusters]
        values = generator.normal(size=len(sizes))[clusters] + 0.5 * generator.normal(size=len(clusters))

        def difference(member, values=values):
            return values[member].mean() - values[~member].mean()

        null = [difference(labels[sources]) for sources in label_shuffles(len(labels), clusters, 59, generator)]
        differences.append(difference(labels))
        spreads.append(np.std(null))
        rejected.append((1 + (np.abs(null) >= abs(differences[-1])).sum()) / 60 <= 0.05)
    assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(np.std(differences), rel=0.15)
    assert np.mean(rejected) <= 0.085


def test_clusters_of_another_number_of_rows_are_refused():
    with pytest.raises(ValueError, match="clusters must be of shape"):
        next(label_shuffles(3, [1, 1], 1, np.random.default_rng(0)))


def test_the_mean_and_the_middle_of_shuffles():
    values = np.column_stack([np.arange(201.0), np.full(201, 7.0), np.full(201, np.nan), np.arange(201.0)])
    values[100:, 3] = np.nan
    mean, lower, upper = mean_and_middle(values)
    assert mean.tolist() == pytest.approx([100, 7, np.nan, 49.5], nan_ok=True)
    assert lower.tolist() == pytest.approx([5, np.nan, np.nan, 99 * 0.025], nan_ok=True)
    assert upper.tolist() == pytest.approx([195, np.nan, np.nan, 99 * 0.975], nan_ok=True)
    assert mean_and_middle(values, 0.5)[2][0] == 147.5
