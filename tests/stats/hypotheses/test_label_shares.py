"""Distances between shares of labels, and which of two samples a third one is nearer to."""

from math import comb

import numpy as np
import pytest

from mematlas.stats.hypotheses import label_shares
from mematlas.stats.hypotheses.label_shares import distance_of_shares, nearer_to, total_variation


def texts_of(*counts):
    """Clusters of one text each: [texts, labels]."""
    return np.repeat(np.eye(len(counts), dtype=int), counts, axis=0)


def test_the_distance_of_known_shares():
    assert total_variation([70, 30], [5, 5]) == pytest.approx(0.2)
    assert total_variation([[1, 0, 0], [1, 1, 2]], [0, 3, 0]) == pytest.approx([1, 0.75])
    assert np.isnan(total_variation([0, 0], [1, 1]))


def test_the_p_value_is_that_of_all_divisions():
    found = distance_of_shares(texts_of(4, 0), texts_of(0, 4))
    assert found.estimate == 1
    assert found.p == pytest.approx(2 / comb(8, 4), abs=0.006)  # all of one label on one side, or on the other
    expected = sum(comb(4, k) ** 2 * abs(2 * k - 4) / 4 for k in range(5)) / comb(8, 4)
    assert found.permuted == pytest.approx(expected, abs=0.01)
    assert (found.lower, found.upper) == (1, 1)


def test_copies_are_one_cluster():
    """Four texts of one cluster know as much as one: the same shares, and no small p-value."""
    few = distance_of_shares(4 * texts_of(2, 0), 4 * texts_of(0, 2))
    assert few.estimate == 1
    assert few.p == pytest.approx(2 / comb(4, 2), abs=0.02)


def test_nearer_to_has_a_sign_and_two_sides():
    found = nearer_to(texts_of(70, 30), texts_of(280, 120), texts_of(200, 200))
    assert found.estimate == pytest.approx(0.2)
    assert found.lower > 0
    assert found.p < 0.01
    other = nearer_to(texts_of(70, 30), texts_of(200, 200), texts_of(280, 120))
    assert other.estimate == pytest.approx(-0.2)
    assert other.upper < 0
    assert other.p < 0.01
    assert nearer_to(texts_of(6, 4), texts_of(7, 3), texts_of(5, 5)).p > 0.5
    assert found == nearer_to(texts_of(70, 30), texts_of(280, 120), texts_of(200, 200))


@pytest.mark.parametrize(
    ("sample", "first", "second", "sizes"),
    [
        ([0.6, 0.4], [0.7, 0.3], [0.5, 0.5], (100, 400, 400)),  # at the middle of two that differ
        ([0.6, 0.4], [0.6, 0.4], [0.6, 0.4], (100, 400, 40)),  # equal shares, known well and badly
        ([0.6, 0.4], [0.9, 0.1], [0.9, 0.1], (100, 400, 40)),
        ([0.25, 0.25, 0.25, 0.25], [0.3, 0.2, 0.3, 0.2], [0.2, 0.3, 0.2, 0.3], (200, 200, 200)),
    ],
)
def test_interval_and_p_value_together_keep_the_level(sample, first, second, sizes, monkeypatch):
    monkeypatch.setattr(label_shares, "PERMUTATIONS", 399)
    random, wrong, repetitions = np.random.default_rng(0), 0, 200
    for number in range(repetitions):
        drawn = [
            texts_of(*random.multinomial(n, shares)) for n, shares in zip(sizes, (sample, first, second), strict=True)
        ]
        found = nearer_to(*drawn, seed=number)
        wrong += found.p < 0.05 and not found.lower <= 0 <= found.upper
    assert wrong / repetitions < 0.05 + 2 * np.sqrt(0.05 * 0.95 / repetitions)
