"""Scaling against NumPy's mean and standard deviation."""

import warnings

import numpy as np
import pytest

from mematlas.predictors.scaling import fit_scaling
from tests.predictors.synthetic_examples import CONTEXT, POSITIONS, examples


def odd(rows=600):
    """States of other means and spreads; one dimension constant, some positions and inputs not known."""
    whole = examples(rows, width=4)
    states = whole.states * [1, 5, 0.1, 0] + [0, 7, -2, 3]
    states[::7, CONTEXT + 1 :] = np.nan
    whole.inputs[::3, 1] = np.nan
    return examples(rows, states=states.astype(np.float16), inputs=whole.inputs)


@pytest.mark.parametrize("positions", [CONTEXT, POSITIONS])
def test_it_is_the_mean_and_deviation_of_what_is_known(positions):
    whole = odd()
    scaling = fit_scaling(whole, positions)
    joined = np.concatenate([whole.states.astype(np.float64), whole.inputs], axis=2)[:, :positions].reshape(-1, 5)
    assert scaling.mean == pytest.approx(np.nanmean(joined, 0), rel=1e-5, abs=1e-6)
    expected = np.nanstd(joined, 0)
    expected[3] = 1  # constant
    assert scaling.deviation == pytest.approx(expected, rel=1e-5)


def test_what_is_constant_or_not_known_becomes_0_and_the_rest_standard():
    whole = odd()
    states, inputs = whole.states.copy(), whole.inputs.copy()
    scaled = fit_scaling(whole, POSITIONS)(whole.states, whole.inputs)
    assert scaled.shape == (600, POSITIONS, 5)
    assert scaled.dtype == np.float32
    assert not scaled[..., 3].any()
    assert not scaled[::7, CONTEXT + 1 :, :4].any()
    assert not scaled[::3, 1, 4].any()
    known = np.isfinite(whole.states[..., 1])
    assert scaled[..., 1][known].mean() == pytest.approx(0, abs=1e-4)
    assert scaled[..., 1][known].std() == pytest.approx(1, abs=1e-4)
    assert np.array_equal(whole.states, states, equal_nan=True)  # it reads, and does not write
    assert np.array_equal(whole.inputs, inputs, equal_nan=True)


def test_an_input_that_is_never_known_is_0():
    whole = examples(20)
    whole.inputs[:] = np.nan
    scaling = fit_scaling(whole, POSITIONS)
    assert (scaling.mean[-1], scaling.deviation[-1]) == (0, 1)
    assert not scaling(whole.states, whole.inputs)[..., -1].any()


def test_a_state_beyond_16_bits_is_read_as_not_known():
    whole = examples(50)
    whole.states[3, 2, 0] = np.inf
    whole.states[4, 2, 1] = -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaling = fit_scaling(whole, POSITIONS)
        scaled = scaling(whole.states, whole.inputs)
    assert np.isfinite(scaling.mean).all()
    assert scaling.deviation[:2] == pytest.approx([1, 1], abs=0.2)
    assert (scaled[3, 2, 0], scaled[4, 2, 1]) == (0, 0)
    assert np.abs(scaled).max() < 10
