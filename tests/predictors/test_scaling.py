"""Scaling against NumPy's mean and standard deviation."""

import warnings

import numpy as np
import pytest

from mematlas.predictors.scaling import fit_scaling
from tests.predictors.synthetic_examples import CONTEXT, POSITIONS, examples


def uneven_examples(rows=600):
    """States of different means and spreads; one dimension constant, some positions and inputs unknown."""
    data = examples(rows, width=4)
    states = data.states * [1, 5, 0.1, 0] + [0, 7, -2, 3]
    states[::7, CONTEXT + 1 :] = np.nan
    data.inputs[::3, 1] = np.nan
    return examples(rows, states=states.astype(np.float16), inputs=data.inputs)


@pytest.mark.parametrize("positions", [CONTEXT, POSITIONS])
def test_it_is_the_mean_and_deviation_of_known_values(positions):
    data = uneven_examples()
    scaling = fit_scaling(data, positions)
    joined = np.concatenate([data.states.astype(np.float64), data.inputs], axis=2)[:, :positions].reshape(-1, 5)
    assert scaling.mean == pytest.approx(np.nanmean(joined, 0), rel=1e-5, abs=1e-6)
    expected = np.nanstd(joined, 0)
    expected[3] = 1  # constant
    assert scaling.deviation == pytest.approx(expected, rel=1e-5)


def test_constant_and_unknown_values_become_0_and_the_rest_standardised():
    data = uneven_examples()
    states, inputs = data.states.copy(), data.inputs.copy()
    scaled = fit_scaling(data, POSITIONS)(data.states, data.inputs)
    assert scaled.shape == (600, POSITIONS, 5)
    assert scaled.dtype == np.float32
    assert not scaled[..., 3].any()
    assert not scaled[::7, CONTEXT + 1 :, :4].any()
    assert not scaled[::3, 1, 4].any()
    known = np.isfinite(data.states[..., 1])
    assert scaled[..., 1][known].mean() == pytest.approx(0, abs=1e-4)
    assert scaled[..., 1][known].std() == pytest.approx(1, abs=1e-4)
    assert np.array_equal(data.states, states, equal_nan=True)  # inputs are not modified
    assert np.array_equal(data.inputs, inputs, equal_nan=True)


def test_an_input_that_is_always_unknown_is_0():
    data = examples(20)
    data.inputs[:] = np.nan
    scaling = fit_scaling(data, POSITIONS)
    assert (scaling.mean[-1], scaling.deviation[-1]) == (0, 1)
    assert not scaling(data.states, data.inputs)[..., -1].any()


def test_an_overflowed_state_is_read_as_unknown():
    data = examples(50)
    data.states[3, 2, 0] = np.inf
    data.states[4, 2, 1] = -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaling = fit_scaling(data, POSITIONS)
        scaled = scaling(data.states, data.inputs)
    assert np.isfinite(scaling.mean).all()
    assert scaling.deviation[:2] == pytest.approx([1, 1], abs=0.2)
    assert (scaled[3, 2, 0], scaled[4, 2, 1]) == (0, 0)
    assert np.abs(scaled).max() < 10
