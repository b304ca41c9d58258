"""Distances of planted rows, and the jackknife over rows."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import t

from mematlas.stats.geometry.distances import cosine_similarities, euclidean_distances, standardize
from mematlas.stats.geometry.group_pairs import GroupPairs, pair_means

WITHIN, BETWEEN = [(0, 0)], [(0, 1)]
ENDS = ("estimate", "lower", "upper")


def clusters(first, second):
    """Two rows at one point and three at another, and their group membership."""
    states = np.array([first] * 2 + [second] * 3, float)
    return states, np.array([[True, False]] * 2 + [[False, True]] * 3)


def test_two_clusters_without_spread_are_as_far_apart_as_planted():
    states, members = clusters([1, 2, 2], [1, 5, 6])
    result = pair_means(euclidean_distances(states), members, [(0, 0), (0, 1), (1, 1)])
    assert result.estimate.tolist() == pytest.approx([0, 5, 0], abs=1e-12)
    assert result.count.tolist() == [1, 6, 3]
    assert (result.first_rows.tolist(), result.second_rows.tolist()) == ([2, 2, 3], [2, 3, 3])
    assert np.isnan(result.lower).all()


def test_cosines_of_orthogonal_and_opposite_clusters():
    states, members = clusters([0, 3], [2, 0])
    assert pair_means(cosine_similarities(states), members, [(0, 0), (0, 1)]).estimate.tolist() == pytest.approx([1, 0])
    states, members = clusters([0, 3], [0, -1])
    assert pair_means(cosine_similarities(states), members, BETWEEN).estimate[0] == pytest.approx(-1)


def test_distances_are_those_of_scipy():
    states = np.random.default_rng(0).normal(size=(30, 7)) + 50
    assert euclidean_distances(states) == pytest.approx(cdist(states, states), abs=1e-6)
    assert cosine_similarities(states) == pytest.approx(1 - cdist(states, states, "cosine"))


def test_the_jackknife_leaves_rows_out_one_by_one():
    rng = np.random.default_rng(1)
    matrix = euclidean_distances(rng.normal(size=(9, 2)))
    members = np.column_stack([np.arange(9) < 4, np.arange(9) >= 4])
    result = pair_means(matrix, members, [(1, 1), (0, 1)])

    def jackknife_variance(values):
        return (len(values) - 1) / len(values) * np.square(values - np.mean(values)).sum()

    def within(rows):
        return matrix[np.ix_(rows, rows)].sum() / (len(rows) * (len(rows) - 1))

    few, many = np.arange(4), np.arange(4, 9)
    variance_within = jackknife_variance([within(np.delete(many, i)) for i in range(5)])
    variance_between = jackknife_variance([matrix[np.ix_(np.delete(few, i), many)].mean() for i in range(4)])
    variance_between += jackknife_variance([matrix[np.ix_(few, np.delete(many, i))].mean() for i in range(5)])
    assert result.estimate == pytest.approx([within(many), matrix[:4, 4:].mean()])
    assert result.upper[0] - result.estimate[0] == pytest.approx(t.ppf(0.975, 4) * variance_within**0.5)
    half = result.estimate[1] - result.lower[1]
    assert t.ppf(0.975, 7) * variance_between**0.5 <= half <= t.ppf(0.975, 3) * variance_between**0.5


def half_widths(result):
    return (result.upper - result.estimate).tolist()


@pytest.mark.parametrize("labels", [range(9), [8, 3, 1, 0, 2, 7, 6, 5, 4]])
def test_one_cluster_a_row_changes_nothing(labels):
    matrix = euclidean_distances(np.random.default_rng(1).normal(size=(9, 2)))
    members = np.column_stack([np.arange(9) < 4, np.arange(9) >= 4])
    plain, clustered = (pair_means(matrix, members, [(0, 0), (0, 1), (1, 1)], which) for which in (None, labels))
    assert half_widths(clustered) == half_widths(plain)
    assert clustered.clusters.tolist() == plain.clusters.tolist() == [4, 9, 5]


def test_clusters_of_one_row_beside_others_give_the_numbers_of_rows():
    """Only the third group has a cluster of two rows."""
    matrix = euclidean_distances(np.random.default_rng(1).normal(size=(12, 2)))
    members = np.column_stack([np.arange(12) < 4, (np.arange(12) >= 4) & (np.arange(12) < 9), np.arange(12) >= 9])
    pairs = [(0, 0), (0, 1), (1, 1)]
    clustered = pair_means(matrix, members, pairs, [*range(10), 10, 10])
    assert half_widths(clustered) == pytest.approx(half_widths(pair_means(matrix, members, pairs)))


def brute_force(matrix, labels, first, second):
    """The jackknife variance of the mean over pairs, each cluster of `labels` left out at a time."""

    def mean(kept):
        one, other = (np.flatnonzero(group & kept) for group in (first, second))
        values = [matrix[i, j] for i in one for j in other if i != j]
        return np.mean(values)

    names = np.unique(labels[first | second])
    left_out = np.array([mean(labels != name) for name in names])
    return (len(names) - 1) / len(names) * np.square(left_out - left_out.mean()).sum(), len(names)


@pytest.mark.parametrize("measure", [euclidean_distances, cosine_similarities])
def test_the_jackknife_leaves_clusters_out_one_by_one(measure):
    rng = np.random.default_rng(1)
    matrix, first = measure(rng.normal(size=(16, 3))), np.arange(16) < 7
    labels = np.array([0, 0, 1, 2, 2, 2, 3, 0, 1, 1, 4, 5, 5, 2, 6, 6])  # 0, 1 and 2 are in both groups
    result = pair_means(matrix, np.column_stack([first, ~first]), [(0, 0), (0, 1)], labels)
    variance, clusters = brute_force(matrix, labels, first, first)
    assert clusters == 4
    assert half_widths(result)[0] == pytest.approx(t.ppf(0.975, 3) * variance**0.5)
    variance, clusters = brute_force(matrix, labels, first, ~first)
    assert result.clusters.tolist() == [4, 7]
    assert clusters == 7
    half = half_widths(result)[1]
    assert t.ppf(0.975, 6) * variance**0.5 <= half * (1 + 1e-12) <= t.ppf(0.975, 3) * variance**0.5
    apart = np.where(first, labels, labels + 10)  # no cluster in both groups
    sides = [brute_force_of_side(matrix, apart, one, other) for one, other in ((first, ~first), (~first, first))]
    degrees = sum(sides) ** 2 / (sides[0] ** 2 / 3 + sides[1] ** 2 / 5)
    separate = pair_means(matrix, np.column_stack([first, ~first]), [(0, 1)], apart)
    assert half_widths(separate)[0] == pytest.approx(t.ppf(0.975, degrees) * sum(sides) ** 0.5)


def brute_force_of_side(matrix, labels, first, second):
    """As `brute_force`, of the clusters of one group alone."""
    names = np.unique(labels[first])
    left_out = np.array([matrix[np.ix_(first & (labels != name), second)].mean() for name in names])
    return (len(names) - 1) / len(names) * np.square(left_out - left_out.mean()).sum()


def test_copies_of_rows_add_no_certainty():
    """Each of 20 rows four times: between groups the interval is that of the 20 rows, not half as wide."""
    rng = np.random.default_rng(6)
    states, labels = np.repeat(rng.normal(size=(20, 3)), 4, axis=0), np.repeat(np.arange(20), 4)
    members = np.column_stack([labels < 8, labels >= 8])
    distinct = pair_means(euclidean_distances(states[::4]), members[::4], BETWEEN)
    clustered = pair_means(euclidean_distances(states), members, BETWEEN, labels)
    assert clustered.estimate == pytest.approx(distinct.estimate)
    assert half_widths(clustered) == pytest.approx(half_widths(distinct))
    assert half_widths(pair_means(euclidean_distances(states), members, BETWEEN))[0] < 0.55 * half_widths(distinct)[0]


def test_intervals_over_clusters_have_their_nominal_coverage():
    """40 documents of one to six rows that lie near each other; the truth is that of many such samples."""
    rng = np.random.default_rng(7)

    def sample():
        sizes = rng.integers(1, 7, 40)
        labels = np.repeat(np.arange(40), sizes)
        states = rng.normal(size=(40, 3))[labels] + 0.3 * rng.normal(size=(len(labels), 3))
        member = rng.random(40)[labels] < 0.5
        return euclidean_distances(states), np.column_stack([member, ~member]), labels

    results = [
        pair_means(matrix, members, BETWEEN, labels) for matrix, members, labels in (sample() for _ in range(600))
    ]
    truth = np.mean([result.estimate[0] for result in results])
    assert 0.92 <= np.mean([result.lower[0] <= truth <= result.upper[0] for result in results]) <= 0.98


def test_one_object_has_the_means_of_several_matrices():
    """Whatever rows each of them lacks, and in whatever order they come."""
    rng = np.random.default_rng(11)
    labels, members = rng.integers(0, 12, 30), np.arange(30)[:, None] % 3 == np.arange(3)
    pairs, matrices = [(0, 0), (0, 1), (1, 2), (2, 2)], []
    for missing in ([], [3, 4, 5], [], range(0, 30, 3), [29]):
        states = rng.normal(size=(30, 4))
        states[list(missing)] = np.nan
        matrices.append(euclidean_distances(states))
    several = GroupPairs(members, pairs, labels)
    for matrix in matrices:
        one, alone = several.means(matrix), pair_means(matrix, members, pairs, labels)
        for field in fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(alone, field.name), equal_nan=field.name in ENDS)
    assert several.means(matrices[3]).count.tolist() == [0, 0, 100, 45]


def test_too_few_clusters_have_no_interval():
    matrix = euclidean_distances(np.random.default_rng(8).normal(size=(6, 2)))
    members = np.column_stack([np.arange(6) < 4, np.arange(6) >= 4])
    result = pair_means(matrix, members, [(0, 0), (0, 1)], [0, 0, 1, 1, 2, 2])
    assert np.isfinite(result.estimate).all()
    assert np.isnan(result.lower).all()


@pytest.mark.parametrize("pair", [(0, 0), (0, 1)])
def test_intervals_have_their_nominal_coverage(pair):
    """Independent normal rows of four dimensions; the true mean distance is that of many such rows."""
    rng = np.random.default_rng(2)
    shift = np.array([1.5, 0, 0, 0]) * (pair[0] != pair[1])
    one, other = rng.normal(size=(200_000, 4)), rng.normal(size=(200_000, 4)) + shift
    truth = np.linalg.norm(one - other, axis=1).mean()
    members = np.column_stack([np.arange(60) < 30, np.arange(60) >= 30])
    hits = 0
    for _ in range(1500):
        states = rng.normal(size=(60, 4)) + shift * members[:, 1:]
        result = pair_means(euclidean_distances(states), members, [pair])
        hits += result.lower[0] <= truth <= result.upper[0]
    assert 0.93 <= hits / 1500 <= 0.97


def test_scaled_rows_are_about_one_apart_whatever_width_and_unit():
    rng = np.random.default_rng(3)
    for width in (5, 200):
        states = rng.normal(3, 1, (80, width)) * 10 ** rng.uniform(-3, 3, width)
        squares = np.square(euclidean_distances(standardize(states)))
        assert squares.sum() / (80 * 79) == pytest.approx(80 / 79)
    wide = euclidean_distances(rng.normal(size=(80, 800))).mean() / euclidean_distances(rng.normal(size=(80, 8))).mean()
    assert wide > 8  # states as they are grow with width


def test_constant_dimensions_are_left_out():
    states = np.column_stack([[0.1] * 4, [1, 2, 4, 8]])
    assert standardize(states).shape == (4, 1)
    nothing = standardize(np.full((4, 3), 0.1))
    assert nothing.shape == (4, 0)
    assert np.isnan(euclidean_distances(nothing)).all()
    assert np.isnan(cosine_similarities(nothing)).all()


def test_missing_rows_do_not_change_the_others():
    states = np.random.default_rng(4).normal(size=(6, 3))
    with_missing = np.vstack([states[:2], [[np.nan, 1, 1]], states[2:], [[np.inf, 0, 0]]])
    present = [0, 1, 3, 4, 5, 6]
    members = np.ones((6, 1), bool)
    for measure in (
        euclidean_distances,
        cosine_similarities,
        standardize,
        lambda states: euclidean_distances(standardize(states)),
    ):
        expected, actual = measure(states), measure(with_missing)
        actual = actual[np.ix_(present, present)] if actual.shape == (8, 8) else actual[present]
        assert actual == pytest.approx(expected, abs=1e-7)
    result = pair_means(euclidean_distances(with_missing), np.ones((8, 1), bool), WITHIN)
    assert result.estimate == pytest.approx(pair_means(euclidean_distances(states), members, WITHIN).estimate)
    assert result.count.tolist() == [15]


def test_a_row_of_length_zero_has_no_cosine():
    result = cosine_similarities([[0, 0], [1, 0], [0, 2]])
    assert np.isnan(result[0]).all()
    assert result[1, 2] == 0


def test_too_few_rows_have_no_interval_or_no_mean():
    matrix = euclidean_distances(np.array([[0.0], [1.0], [5.0]]))
    members = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    result = pair_means(matrix, members, [(0, 0), (0, 1), (1, 1), (2, 2)])
    assert result.estimate[:2].tolist() == [1, 4.5]
    assert np.isnan(result.estimate[2:]).all()
    assert np.isnan(result.lower).all()
    assert result.count.tolist() == [1, 2, 0, 0]


def test_groups_that_share_rows_and_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="no row in common"):
        pair_means(np.zeros((2, 2)), np.ones((2, 2), bool), BETWEEN)
    with pytest.raises(ValueError, match="matrix must be"):
        pair_means(np.zeros((2, 3)), np.eye(2, dtype=bool), BETWEEN)
    with pytest.raises(ValueError, match="members must be"):
        pair_means(np.zeros((2, 2)), np.ones(2, bool), BETWEEN)
    with pytest.raises(ValueError, match="states must be"):
        euclidean_distances(np.zeros(3))


def test_inputs_are_not_changed():
    states = np.random.default_rng(5).normal(size=(5, 2))
    states[1] = np.nan
    before = states.copy()
    euclidean_distances(states), cosine_similarities(states), standardize(states)
    assert np.array_equal(states, before, equal_nan=True)
