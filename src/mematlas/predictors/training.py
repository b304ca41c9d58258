"""Training one network: class weights, early stopping on held-out documents, one seed for everything random."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mematlas.predictors.examples import Examples, Floats
from mematlas.predictors.network import PredictorNetwork
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.scaling import Scaling
from mematlas.study.schemas.predictions import Sees

_BATCH_ROWS = 256  # in one forward pass without gradients


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A trained network. epochs: passes run; best_epoch: the pass whose weights are kept, from 1."""

    network: PredictorNetwork
    epochs: int
    best_epoch: int
    validation_loss: float


def train(
    examples: Examples, validation: Examples, scaling: Scaling, config: PredictorConfig, sees: Sees, seed: int
) -> TrainedNetwork:
    """Minimise the weighted cross-entropy over the tokens of `examples`; keep the weights that do best on `validation`.

    Missed and recited tokens have the same total weight (class weights), so that the rarer class is not neglected.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PredictorNetwork(
            config,
            sees,
            width=examples.states.shape[2],
            inputs=len(examples.names),
            context=examples.context,
            continuation=examples.hits.shape[1],
        )
        return _minimise(network, examples, validation, scaling, config, seed)


def _minimise(
    network: PredictorNetwork,
    examples: Examples,
    validation: Examples,
    scaling: Scaling,
    config: PredictorConfig,
    seed: int,
) -> TrainedNetwork:
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    weight = float((examples.hits == 0).sum() / (examples.hits == 1).sum())
    order, generator = np.arange(len(examples.rows)), np.random.default_rng((2, seed))
    best_weights, lowest_loss, best_epoch, epoch = network.state_dict(), float("inf"), 0, 0
    for epoch in range(1, config.epochs + 1):
        network.train()
        generator.shuffle(order)
        for start in range(0, len(order), config.batch):
            batch = examples.take(order[start : start + config.batch])
            loss = _loss(network(_to_tensor(batch, scaling)), batch, weight)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        validation_loss = _mean_loss(network, validation, scaling, weight)
        if validation_loss < lowest_loss:
            best_weights, lowest_loss, best_epoch = copy.deepcopy(network.state_dict()), validation_loss, epoch
        elif epoch - best_epoch >= config.patience:
            break
    network.load_state_dict(best_weights)
    return TrainedNetwork(network.eval(), epoch, best_epoch, lowest_loss)


def _to_tensor(examples: Examples, scaling: Scaling) -> Tensor:
    return torch.from_numpy(scaling(examples.states, examples.inputs))


def _loss(logits: Tensor, examples: Examples, weight: float) -> Tensor:
    """Mean loss of logits [n, L] over the tokens with labels, and over members for logits [members, n, L]."""
    has_label = torch.from_numpy(examples.has_label)
    labels = torch.from_numpy((examples.hits == 1).astype(np.float32))[has_label]
    labelled = logits[..., has_label]
    return nn.functional.binary_cross_entropy_with_logits(
        labelled, labels.expand_as(labelled), pos_weight=torch.tensor(weight)
    )


def _mean_loss(network: PredictorNetwork, examples: Examples, scaling: Scaling, weight: float) -> float:
    logits = torch.from_numpy(network_logits(network, scaling, examples.states, examples.inputs))
    return float(_loss(logits, examples, weight))


def network_logits(network: PredictorNetwork, scaling: Scaling, states: np.ndarray, inputs: Floats) -> Floats:
    """Logits [n, L] of rows; missing positions at the end are replaced by the mean."""
    missing = network.positions - states.shape[1]
    parts = [np.zeros((0, network.positions - network.context + 1), np.float32)]
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(states), _BATCH_ROWS):
            scaled = scaling(states[start : start + _BATCH_ROWS], inputs[start : start + _BATCH_ROWS])
            padded = np.pad(scaled, ((0, 0), (0, missing), (0, 0)))
            parts.append(network(torch.from_numpy(padded)).mean(0).numpy())
    return np.concatenate(parts)
