"""Fitting one network: class weights, early stopping on documents held out, one seed for all that is random."""

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

_ROWS = 256


@dataclass(frozen=True, slots=True)
class Trained:
    """A network and how it came about. epochs: passes run; best: the pass whose weights were kept, from 1."""

    network: PredictorNetwork
    epochs: int
    best: int
    validation_loss: float


def train(
    examples: Examples, validation: Examples, scaling: Scaling, config: PredictorConfig, sees: Sees, seed: int
) -> Trained:
    """Minimise the weighted cross-entropy of every token of `examples`; keep what does best on `validation`.

    Missed and recited tokens weigh the same in all (class weights), so that the rarer class is not given up.
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
) -> Trained:
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    weight = float((examples.hits == 0).sum() / (examples.hits == 1).sum())
    order, generator = np.arange(len(examples.rows)), np.random.default_rng((2, seed))
    kept, lowest, best, epoch = network.state_dict(), float("inf"), 0, 0
    for epoch in range(1, config.epochs + 1):
        network.train()
        generator.shuffle(order)
        for start in range(0, len(order), config.batch):
            some = examples.take(order[start : start + config.batch])
            loss = _loss(network(_read(some, scaling)), some, weight)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        loss_there = _mean_loss(network, validation, scaling, weight)
        if loss_there < lowest:
            kept, lowest, best = copy.deepcopy(network.state_dict()), loss_there, epoch
        elif epoch - best >= config.patience:
            break
    network.load_state_dict(kept)
    return Trained(network.eval(), epoch, best, lowest)


def _read(examples: Examples, scaling: Scaling) -> Tensor:
    return torch.from_numpy(scaling(examples.states, examples.inputs))


def _loss(logits: Tensor, examples: Examples, weight: float) -> Tensor:
    """Mean over the known tokens of logits [n, L], and over members if there are [members, n, L]."""
    known = torch.from_numpy(examples.known)
    labels = torch.from_numpy((examples.hits == 1).astype(np.float32))
    told = logits[..., known]
    return nn.functional.binary_cross_entropy_with_logits(
        told, labels[known].expand_as(told), pos_weight=torch.tensor(weight)
    )


def _mean_loss(network: PredictorNetwork, examples: Examples, scaling: Scaling, weight: float) -> float:
    logits = torch.from_numpy(network_logits(network, scaling, examples.states, examples.inputs))
    return float(_loss(logits, examples, weight))


def network_logits(network: PredictorNetwork, scaling: Scaling, states: np.ndarray, inputs: Floats) -> Floats:
    """[n, L] logits of rows; positions that are absent behind the last one given are read as the mean."""
    missing = network.positions - states.shape[1]
    parts = [np.zeros((0, network.positions - network.context + 1), np.float32)]
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(states), _ROWS):
            read = scaling(states[start : start + _ROWS], inputs[start : start + _ROWS])
            padded = np.pad(read, ((0, 0), (0, missing), (0, 0)))
            parts.append(network(torch.from_numpy(padded)).mean(0).numpy())
    return np.concatenate(parts)
