"""Samples needed for (n, p)-discoverable extraction."""

from dataclasses import fields

import numpy as np
import pytest

from mematlas.stats.estimates.clustered import cluster_sums
from mematlas.stats.extraction import count_discoverable, discoverable_sums, extraction_probability, samples_needed


@pytest.mark.parametrize(("p", "n"), [(0.5, 4), (0.9, 14), (0.999, 40)])
def test_the_papers_example(p, n):
    assert samples_needed(np.log(0.162), p) == n
    assert extraction_probability(np.log(0.162), n) >= p > extraction_probability(np.log(0.162), n - 1)


def test_an_impossible_row_needs_infinitely_many_samples_and_a_certain_row_needs_one():
    assert samples_needed([-np.inf, 0.0, 1e-7], 0.9).tolist() == [np.inf, 1, 1]
    assert extraction_probability([-np.inf, 0.0], 10**9).tolist() == [0, 1]
    assert extraction_probability([-np.inf, 0.0, -1.0], 0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("p_z", [0.5, 0.1, 0.9, 0.999])
def test_one_sample_is_enough_where_p_equals_p_z(p_z):
    assert samples_needed(np.log(p_z), p_z) == 1
    assert samples_needed(np.log(p_z), p_z + 1e-6) == 2


def test_probabilities_that_underflow_still_give_a_number():
    for log_probability in (-50.0, -699.0, -701.0, -705.0):
        expected = np.log10(np.log(2)) - log_probability / np.log(10)
        assert np.log10(samples_needed(log_probability, 0.5)) == pytest.approx(expected, abs=1e-11)
    assert samples_needed(-800.0, 0.5) == np.inf


def test_a_probability_near_one_is_distinguished_from_one():
    # 1 - p_z = 1e-12: one sample reaches a probability of 1 - 1e-11
    log_probability = np.log1p(-1e-12)
    assert samples_needed(log_probability, 1 - 1e-11) == 1
    assert extraction_probability(log_probability, 1) == pytest.approx(1 - 1e-12, abs=1e-16)


def test_counting_refuses_rows_without_a_probability():
    assert np.isnan(samples_needed([np.nan], 0.5)).all()
    with pytest.raises(ValueError, match="must not contain NaN"):
        count_discoverable([0.0, np.nan], [1], 0.5)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1.1])
def test_a_p_that_is_not_between_0_and_1_is_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        samples_needed([-1.0], p)


def test_rows_are_counted_by_the_number_of_samples_they_need():
    needs = np.log([0.162, 0.162, 1.0, 1e-3])
    rows = np.append(needs, -np.inf)
    assert count_discoverable(rows, [1, 3, 4, 692, 693, 10**9], 0.5).tolist() == [1, 1, 3, 3, 4, 4]
    assert count_discoverable(rows, [13, 14], 0.9).tolist() == [1, 3]
    assert count_discoverable([], [1, 10], 0.9).tolist() == [0, 0]


def test_sums_over_clusters_are_those_of_each_number_of_samples():
    """p_z = 1/2 needs 4 samples at p = 0.9, p_z = 1 one, p_z = 0 is never drawn."""
    rows, clusters = np.log([0.5, 0.5, 1.0, 0.5, 1.0]), [7, 7, 7, 3, 9]
    sums = discoverable_sums(np.append(rows, -np.inf), [1, 3, 4], 0.9, [*clusters, 9])
    by_cluster = cluster_sums(np.array([[0, 0, 1], [1, 1, 3], [1, 1, 1]]), np.repeat([[1], [3], [2]], 3, axis=1))
    for field in fields(sums):
        assert getattr(sums, field.name).tolist() == getattr(by_cluster, field.name).tolist(), field.name


def test_rows_that_are_independent_are_counted_as_their_own_clusters():
    rows = np.log([0.5, 0.5, 1.0])
    for clusters in (None, [4, 2, 9]):
        sums = discoverable_sums(rows, [1, 4], 0.9, clusters)
        assert (sums.hits.tolist(), sums.rows.tolist(), sums.clusters.tolist()) == ([1, 3], [3, 3], [3, 3])
        assert sums.rows_squared.tolist() == [3, 3]


def test_inputs_are_not_changed():
    log_probabilities = np.array([-3.0, 0.5])
    log_probabilities.flags.writeable = False
    samples_needed(log_probabilities, 0.5)
    count_discoverable(log_probabilities, [2], 0.5)
    assert log_probabilities.tolist() == [-3.0, 0.5]


def sample_texts(
    rng: np.random.Generator, start: np.ndarray, transitions: np.ndarray, samples: int, length: int
) -> np.ndarray:
    """Texts sampled from a first-order Markov model: [samples, length] tokens."""
    texts = np.empty((samples, length), int)
    texts[:, 0] = rng.choice(len(start), samples, p=start)
    for i in range(1, length):
        thresholds = transitions.cumsum(1)[texts[:, i - 1]]
        texts[:, i] = (rng.uniform(size=(samples, 1)) > thresholds[:, :-1]).sum(1)
    return texts


def test_sampling_of_a_toy_model_agrees():
    rng = np.random.default_rng(5)
    start, transitions = np.array([0.5, 0.3, 0.2]), np.array([[0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.7, 0.1, 0.2]])
    truth = (0, 1, 2)
    log_probability = np.log(start[0]) + np.log(transitions[0, 1]) + np.log(transitions[1, 2])
    samples, n = 120_000, 3
    hits = (sample_texts(rng, start, transitions, samples, len(truth)) == truth).all(1)
    assert hits.mean() == pytest.approx(np.exp(log_probability), abs=4 * 0.5 / np.sqrt(samples))
    at_least_once = hits.reshape(-1, n).any(1).mean()
    assert at_least_once == pytest.approx(
        extraction_probability(log_probability, n), abs=4 * 0.5 / np.sqrt(samples / n)
    )
    assert samples_needed(log_probability, 0.5) == n
    assert extraction_probability(log_probability, n - 1) < 0.5 <= extraction_probability(log_probability, n)
