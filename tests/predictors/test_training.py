"""How one network is fitted: class weights, early stopping, and what it leaves alone."""

import numpy as np
import pytest
import torch

from mematlas.predictors.scaling import fit_scaling
from mematlas.predictors.training import network_logits, train
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, examples, planted, quick


def trained(whole, validation, sees="generated", seed=0, **options):
    return train(whole, validation, fit_scaling(whole, POSITIONS), quick(**options), sees, seed)


def logits_of(found, whole):
    return network_logits(found.network, fit_scaling(whole, POSITIONS), whole.states, whole.inputs)


@pytest.mark.parametrize("base", [0.1, 0.8])
def test_both_classes_weigh_the_same_in_the_loss(base):
    """Where nothing is to be learned, a network says that both are as likely: half of the weight is of each."""
    hits = (np.random.default_rng(1).random((300, LENGTH)) < base).astype(np.int8)
    flat = examples(
        300, hits=hits, states=np.zeros((300, POSITIONS, 3), "f2"), inputs=np.ones((300, POSITIONS, 1), "f4")
    )
    found = trained(flat, flat, epochs=10)
    assert 1 / (1 + np.exp(-logits_of(found, flat))) == pytest.approx(0.5, abs=0.12)


def test_it_stops_where_rows_held_out_get_worse_and_keeps_the_best():
    whole, other = examples(30, seed=1), examples(30, seed=2)  # noise: what is learned by heart helps nobody
    found = trained(whole, other, epochs=60, patience=4, width=16)
    assert found.epochs == found.best + 4 < 60
    shorter = trained(whole, other, epochs=found.best, patience=4, width=16)
    assert (shorter.best, shorter.validation_loss) == (found.best, found.validation_loss)
    assert np.array_equal(logits_of(found, whole), logits_of(shorter, whole))


def test_the_rows_to_stop_by_are_not_fitted_to():
    """Labels of the two are opposite: were those fitted to, the loss on them would fall."""
    whole = planted("generated", 100)
    opposite = examples(100, states=whole.states, inputs=whole.inputs, hits=1 - whole.hits)
    found = trained(whole, opposite, epochs=12, patience=12)
    right = (logits_of(found, whole) > 0) == (whole.hits == 1)
    assert found.best <= 3
    assert trained(whole, whole, epochs=12).validation_loss < 0.3 < found.validation_loss
    assert right.mean() > 0.3


def test_a_seed_decides_and_leaves_what_is_random_elsewhere_alone():
    whole = examples(40)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    same = {"epochs": 2, "dropout": 0.3, "batch": 64}  # one step an epoch: an order of rows is none
    one = trained(whole, whole, **same)
    assert torch.equal(torch.rand(3), expected)
    torch.rand(7)
    two, three = trained(whole, whole, **same), trained(whole, whole, seed=1, **same)
    assert np.array_equal(logits_of(one, whole), logits_of(two, whole))
    assert not np.allclose(logits_of(one, whole), logits_of(three, whole))


def test_logits_have_the_shape_of_the_continuation():
    whole = examples(300)
    found = trained(whole, whole, sees="context", epochs=1)
    scaling = fit_scaling(whole, CONTEXT)
    full = network_logits(found.network, scaling, whole.states, whole.inputs)
    assert full.shape == (300, LENGTH)
    cut = network_logits(found.network, scaling, whole.states[:, :CONTEXT], whole.inputs[:, :CONTEXT])
    assert np.array_equal(cut, full)
    assert network_logits(found.network, scaling, whole.states[:0], whole.inputs[:0]).shape == (0, LENGTH)
