"""Training of one network: class weights, early stopping, and the global random state."""

import numpy as np
import pytest
import torch

from mematlas.predictors.scaling import fit_scaling
from mematlas.predictors.training import network_logits, train
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, examples, planted, quick_config


def train_on(data, validation, sees="generated", seed=0, **options):
    return train(data, validation, fit_scaling(data, POSITIONS), quick_config(**options), sees, seed)


def logits_of(result, data):
    return network_logits(result.network, fit_scaling(data, POSITIONS), data.states, data.inputs)


@pytest.mark.parametrize("base", [0.1, 0.8])
def test_both_classes_weigh_the_same_in_the_loss(base):
    """Where nothing can be learned, a network predicts both classes with equal probability."""
    hits = (np.random.default_rng(1).random((300, LENGTH)) < base).astype(np.int8)
    flat = examples(
        300, hits=hits, states=np.zeros((300, POSITIONS, 3), "f2"), inputs=np.ones((300, POSITIONS, 1), "f4")
    )
    result = train_on(flat, flat, epochs=10)
    assert 1 / (1 + np.exp(-logits_of(result, flat))) == pytest.approx(0.5, abs=0.12)


def test_it_stops_when_held_out_rows_get_worse_and_keeps_the_best():
    data, other = examples(30, seed=1), examples(30, seed=2)  # noise: memorizing it does not generalise
    result = train_on(data, other, epochs=60, patience=4, width=16)
    assert result.epochs == result.best_epoch + 4 < 60
    shorter = train_on(data, other, epochs=result.best_epoch, patience=4, width=16)
    assert (shorter.best_epoch, shorter.validation_loss) == (result.best_epoch, result.validation_loss)
    assert np.array_equal(logits_of(result, data), logits_of(shorter, data))


def test_the_rows_to_stop_by_are_not_fitted_to():
    """The labels of the two are opposite: fitting to the validation rows would lower their loss."""
    data = planted("generated", 100)
    opposite = examples(100, states=data.states, inputs=data.inputs, hits=1 - data.hits)
    result = train_on(data, opposite, epochs=12, patience=12)
    right = (logits_of(result, data) > 0) == (data.hits == 1)
    assert result.best_epoch <= 3
    assert train_on(data, data, epochs=12).validation_loss < 0.3 < result.validation_loss
    assert right.mean() > 0.3


def test_the_seed_determines_the_result_and_the_global_random_state_is_kept():
    data = examples(40)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    same = {"epochs": 2, "dropout": 0.3, "batch": 64}  # one step per epoch, so that the order of rows does not matter
    first = train_on(data, data, **same)
    assert torch.equal(torch.rand(3), expected)
    torch.rand(7)
    second, third = train_on(data, data, **same), train_on(data, data, seed=1, **same)
    assert np.array_equal(logits_of(first, data), logits_of(second, data))
    assert not np.allclose(logits_of(first, data), logits_of(third, data))


def test_logits_have_the_shape_of_the_continuation():
    data = examples(300)
    result = train_on(data, data, sees="context", epochs=1)
    scaling = fit_scaling(data, CONTEXT)
    full = network_logits(result.network, scaling, data.states, data.inputs)
    assert full.shape == (300, LENGTH)
    cut = network_logits(result.network, scaling, data.states[:, :CONTEXT], data.inputs[:, :CONTEXT])
    assert np.array_equal(cut, full)
    assert network_logits(result.network, scaling, data.states[:0], data.inputs[:0]).shape == (0, LENGTH)
