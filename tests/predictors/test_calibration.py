"""Simulated slopes and offsets are recovered."""

import warnings

import numpy as np
import pytest
from scipy.special import expit

from mematlas.predictors.calibration import IDENTITY, calibrate, fit_calibration
from tests.predictors.synthetic_examples import LENGTH, examples


def simulated(slope, offset, rows=6000, seed=0):
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(rows, LENGTH)).astype(np.float32)
    hits = (random.random(logits.shape) < expit(slope * logits + offset)).astype(np.int8)
    return logits, examples(rows, hits=hits)


@pytest.mark.parametrize(("slope", "offset"), [(0.5, -1.5), (1.5, 0.8), (-0.7, 0.3)])
def test_slope_and_offset_are_recovered(slope, offset):
    result = fit_calibration(*simulated(slope, offset))
    assert result == pytest.approx((slope, offset), abs=0.06)


def test_a_weight_of_three_is_three_copies():
    logits, data = simulated(0.5, -1.0, rows=80)
    heavy = examples(80, hits=data.hits, weights=np.where(np.arange(80) < 25, 3.0, 1.0))
    copies = np.repeat(np.arange(80), np.where(np.arange(80) < 25, 3, 1))
    weighted, copied = fit_calibration(logits, heavy), fit_calibration(logits[copies], data.take(copies))
    assert weighted == pytest.approx(copied, abs=1e-3)
    assert weighted != pytest.approx(fit_calibration(logits, data), abs=1e-2)


def test_missing_tokens_do_not_count():
    logits, data = simulated(1.0, 0.5, rows=200)
    hits, odd = data.hits.copy(), logits.copy()
    hits[::2, 3:], odd[::2, 3:] = -1, 50
    cut = fit_calibration(odd, examples(200, hits=hits))
    odd[::2, 3:] = -50
    assert cut == fit_calibration(odd, examples(200, hits=hits))
    assert cut == pytest.approx((1.0, 0.5), abs=0.4)


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_alone_leaves_logits_unchanged(value):
    hits = np.full((10, LENGTH), value, np.int8)
    hits[3, 2] = -1
    assert fit_calibration(np.ones((10, LENGTH), "f4"), examples(10, hits=hits)) == IDENTITY == (1.0, 0.0)


def test_logits_that_do_not_vary_give_the_share():
    hits = np.zeros((100, LENGTH), np.int8)
    hits[:30] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibration = fit_calibration(np.full((100, LENGTH), 2.5, "f4"), examples(100, hits=hits))
    assert calibrate(np.full((1, 1), 2.5, "f4"), calibration)[0, 0] == pytest.approx(0.3, abs=0.01)


def test_logits_become_probabilities():
    result = calibrate(np.array([[0.0, 1.0, -400.0]], "f4"), (2.0, -1.0))
    assert result.dtype == np.float32
    assert result[0] == pytest.approx([expit(-1), expit(1), 0.0])
