"""Memorized bits: worked out by hand, and never negative."""

import numpy as np
import pytest

from mematlas.stats.bits import code_difference, uniform_log_probability, unintended_bits


def powers(*exponents: float) -> np.ndarray:
    """Log-probabilities, in nats, of 2 to these powers."""
    return np.array(exponents) * np.log(2)


def test_2_to_the_minus_40_against_2_to_the_minus_10_are_30_bits():
    assert unintended_bits(powers(-10, -50, -40), powers(-40, -40, -40)).tolist() == pytest.approx([30, 0, 0])
    assert code_difference(powers(-10, -50), powers(-40, -40)).tolist() == pytest.approx([30, -10])
    assert np.isnan(unintended_bits([np.nan, -1.0], [-1.0, np.nan])).all()


def test_a_uniform_model_holds_nothing_of_uniform_sequences_and_none_holds_more_than_their_entropy():
    entropy = uniform_log_probability(16, 64)
    assert entropy == pytest.approx(-96 * np.log(2))
    assert unintended_bits([entropy], [entropy]).tolist() == [0]
    certain, unsure = np.zeros(5), np.full(5, -1e9)
    assert unintended_bits(certain, np.full(5, entropy)).sum() == pytest.approx(5 * 96)
    assert unintended_bits(unsure, np.full(5, entropy)).sum() == 0
