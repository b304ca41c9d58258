"""Distances of planted rows, and the jackknife over rows."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import t

from mematlas.stats.geometry.distances import cosine, euclidean, pair_means, standardized

WITHIN, BETWEEN = [(0, 0)], [(0, 1)]


def clusters(here, there):
    """Rows of two places: two of the first, three of the second; members of each."""
    states = np.array([here] * 2 + [there] * 3, float)
    return states, np.array([[True, False]] * 2 + [[False, True]] * 3)


def test_two_clusters_without_spread_are_as_far_apart_as_planted():
    states, members = clusters([1, 2, 2], [1, 5, 6])
    found = pair_means(euclidean(states), members, [(0, 0), (0, 1), (1, 1)])
    assert found.estimate.tolist() == pytest.approx([0, 5, 0], abs=1e-12)
    assert found.count.tolist() == [1, 6, 3]
    assert (found.first.tolist(), found.second.tolist()) == ([2, 2, 3], [2, 3, 3])
    assert np.isnan(found.lower).all()


def test_cosines_of_orthogonal_and_opposite_clusters():
    states, members = clusters([0, 3], [2, 0])
    assert pair_means(cosine(states), members, [(0, 0), (0, 1)]).estimate.tolist() == pytest.approx([1, 0])
    states, members = clusters([0, 3], [0, -1])
    assert pair_means(cosine(states), members, BETWEEN).estimate[0] == pytest.approx(-1)


def test_distances_are_those_of_scipy():
    states = np.random.default_rng(0).normal(size=(30, 7)) + 50
    assert euclidean(states) == pytest.approx(cdist(states, states), abs=1e-6)
    assert cosine(states) == pytest.approx(1 - cdist(states, states, "cosine"))


def test_the_jackknife_is_that_of_leaving_rows_out_one_by_one():
    rng = np.random.default_rng(1)
    matrix = euclidean(rng.normal(size=(9, 2)))
    members = np.column_stack([np.arange(9) < 4, np.arange(9) >= 4])
    found = pair_means(matrix, members, [(1, 1), (0, 1)])

    def spread(values):
        return (len(values) - 1) / len(values) * np.square(values - np.mean(values)).sum()

    def within(rows):
        return matrix[np.ix_(rows, rows)].sum() / (len(rows) * (len(rows) - 1))

    few, many = np.arange(4), np.arange(4, 9)
    alone = spread([within(np.delete(many, at)) for at in range(5)])
    both = spread([matrix[np.ix_(np.delete(few, at), many)].mean() for at in range(4)])
    both += spread([matrix[np.ix_(few, np.delete(many, at))].mean() for at in range(5)])
    assert found.estimate == pytest.approx([within(many), matrix[:4, 4:].mean()])
    assert found.upper[0] - found.estimate[0] == pytest.approx(t.ppf(0.975, 4) * alone**0.5)
    half = found.estimate[1] - found.lower[1]
    assert t.ppf(0.975, 7) * both**0.5 <= half <= t.ppf(0.975, 3) * both**0.5


@pytest.mark.parametrize("pair", [(0, 0), (0, 1)])
def test_intervals_cover_as_often_as_they_say(pair):
    """Independent normal rows of four dimensions; the true mean distance is that of many such rows."""
    rng = np.random.default_rng(2)
    shift = np.array([1.5, 0, 0, 0]) * (pair[0] != pair[1])
    one, other = rng.normal(size=(200_000, 4)), rng.normal(size=(200_000, 4)) + shift
    truth = np.linalg.norm(one - other, axis=1).mean()
    members = np.column_stack([np.arange(60) < 30, np.arange(60) >= 30])
    hits = 0
    for _ in range(1500):
        states = rng.normal(size=(60, 4)) + shift * members[:, 1:]
        found = pair_means(euclidean(states), members, [pair])
        hits += found.lower[0] <= truth <= found.upper[0]
    assert 0.93 <= hits / 1500 <= 0.97


def test_scaled_rows_are_about_one_apart_whatever_width_and_unit():
    rng = np.random.default_rng(3)
    for width in (5, 200):
        states = rng.normal(3, 1, (80, width)) * 10 ** rng.uniform(-3, 3, width)
        squares = np.square(euclidean(standardized(states)))
        assert squares.sum() / (80 * 79) == pytest.approx(80 / 79)
    wide = euclidean(rng.normal(size=(80, 800))).mean() / euclidean(rng.normal(size=(80, 8))).mean()
    assert wide > 8  # states as they are grow with width


def test_constant_dimensions_are_left_out():
    states = np.column_stack([[0.1] * 4, [1, 2, 4, 8]])
    assert standardized(states).shape == (4, 1)
    nothing = standardized(np.full((4, 3), 0.1))
    assert nothing.shape == (4, 0)
    assert np.isnan(euclidean(nothing)).all()
    assert np.isnan(cosine(nothing)).all()


def test_missing_rows_change_nothing_of_the_others():
    states = np.random.default_rng(4).normal(size=(6, 3))
    holed = np.vstack([states[:2], [[np.nan, 1, 1]], states[2:], [[np.inf, 0, 0]]])
    kept = [0, 1, 3, 4, 5, 6]
    members = np.ones((6, 1), bool)
    for form in (euclidean, cosine, standardized, lambda given: euclidean(standardized(given))):
        own, other = form(states), form(holed)
        other = other[np.ix_(kept, kept)] if other.shape == (8, 8) else other[kept]
        assert other == pytest.approx(own, abs=1e-7)
    found = pair_means(euclidean(holed), np.ones((8, 1), bool), WITHIN)
    assert found.estimate == pytest.approx(pair_means(euclidean(states), members, WITHIN).estimate)
    assert found.count.tolist() == [15]


def test_a_row_of_length_zero_has_no_cosine():
    found = cosine([[0, 0], [1, 0], [0, 2]])
    assert np.isnan(found[0]).all()
    assert found[1, 2] == 0


def test_too_few_rows_have_no_interval_or_nothing():
    matrix = euclidean(np.array([[0.0], [1.0], [5.0]]))
    members = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    found = pair_means(matrix, members, [(0, 0), (0, 1), (1, 1), (2, 2)])
    assert found.estimate[:2].tolist() == [1, 4.5]
    assert np.isnan(found.estimate[2:]).all()
    assert np.isnan(found.lower).all()
    assert found.count.tolist() == [1, 2, 0, 0]


def test_groups_that_share_rows_and_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="share no row"):
        pair_means(np.zeros((2, 2)), np.ones((2, 2), bool), BETWEEN)
    with pytest.raises(ValueError, match="matrix must be"):
        pair_means(np.zeros((2, 3)), np.ones((2, 2), bool), BETWEEN)
    with pytest.raises(ValueError, match="states must be"):
        euclidean(np.zeros(3))


def test_inputs_stay_as_they_were():
    states = np.random.default_rng(5).normal(size=(5, 2))
    states[1] = np.nan
    before = states.copy()
    euclidean(states), cosine(states), standardized(states)
    assert np.array_equal(states, before, equal_nan=True)
