"""Activation patching (P3): one hidden state is replaced by that of another text, and predictions are read again.

    layer      0 (embeddings)     1 ... L: the output of block 1 ... L
    tokens     z_0 ... z_{C-1}  |  z_C ... z_{C+K-1}
               prompt           |  recited: predicted again, each from the true tokens before it
    patched    position 0 ... P-1, which changes predictions of later tokens alone

A state is the output of one decoder block at one position, [width]. It is replaced on the way: later blocks see it,
and attention carries it to later positions. Blocks up to the patched one compute what they compute without a patch, so
they are not run again, if the network's states come out the same to the bit without them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.interventions.blocks import (
    PatchableModel,
    block_outputs,
    forward_hooks,
    replaced_output,
    state_of,
    with_state,
)
from mematlas.models.causal import CausalModel

_LOGITS_AT_ONCE: Final = 1 << 24
#: Sequences that are run at once.
BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class Dependency:
    """What the predictions of a row's last tokens depend on.

    predicted: most probable token of each without a patch, [K]; changed: number of the `patches` at each place that
    change whether the true token is predicted, [layers, positions, K].
    """

    predicted: Tensor
    changed: Tensor
    patches: int


@torch.inference_mode()
def patched_argmax(
    model: PatchableModel, tokens: Tensor, layer: int, positions: Tensor, values: Tensor, last: int
) -> Tensor:
    """The most probable tokens after each of the `last` of `tokens` [length], for every patch alone: [patches, last].

    Args:
        layer: from 1; positions: of the patches, [patches]; values: the states put in place, [patches, width].
    """
    number = layer - 1
    clean = block_outputs(model, tokens[None])[number] if model.restarts else None
    return _patched(model, tokens, number, clean, (positions, values), last)


@torch.inference_mode()
def dependency(
    model: PatchableModel,
    row: Tensor,
    context: int,
    values: Tensor,
    batch: int = BATCH,
    on_patches: Callable[[int], None] = lambda patches: None,
) -> Dependency:
    """Which predictions of a row's last tokens change with which of the states before them.

    Args:
        row: token ids [C + K]; context: C; values: states to put in place of those of the first P tokens, by layer and
            source, [layers, sources, P, width]; on_patches: is told how many patches were made.

    Raises:
        ModelError: the model's states are NaN or infinite.
    """
    layers, sources, patched, _ = values.shape
    fed, truth = row[:-1], row[context:].to(model.model.device)
    states, _ = model.model.states(fed[None], None, len(truth))
    if not states.isfinite().all():
        raise ModelError("The model's states are not numbers (NaN or infinite); check its weights, or use float32.")
    predicted = _greedy(model.model, states)[0]
    recited = predicted == truth
    clean = block_outputs(model, fed[None]) if model.restarts else [None] * layers
    positions = torch.arange(patched).repeat(sources)
    changed = torch.zeros((layers, patched, len(truth)), dtype=torch.int64)
    for number in range(layers):
        states = values[number].flatten(0, 1)
        for start in range(0, len(states), batch):
            part = slice(start, start + batch)
            answers = _patched(model, fed, number, clean[number], (positions[part], states[part]), len(truth))
            changed[number].index_add_(0, positions[part], ((answers == truth) != recited).cpu().long())
            on_patches(len(answers))
    return Dependency(predicted.cpu(), changed, sources)


def _patched(
    model: PatchableModel,
    tokens: Tensor,
    number: int,
    clean: Tensor | None,
    patches: tuple[Tensor, Tensor],
    last: int,
) -> Tensor:
    """As `patched_argmax`, behind the block with this number; clean: its output without a patch, if passes restart."""
    positions, values = patches
    rows = torch.arange(len(positions))
    texts = tokens[None].expand(len(positions), -1)

    def put(output: Tensor) -> Tensor:
        output = output.clone()
        output[rows.to(output.device), positions.to(output.device)] = values.to(output)
        return output

    if clean is None:
        with forward_hooks([(model.blocks[number], lambda _m, _i, output: with_state(output, put(state_of(output))))]):
            states, _ = model.model.states(texts, None, last)
    else:
        with replaced_output(model, number, put(clean.expand(len(positions), -1, -1))):
            states, _ = model.model.states(texts, None, last)
    return _greedy(model.model, states)


def _greedy(model: CausalModel, states: Tensor) -> Tensor:
    """The most probable token after each state [rows, length, width], in parts that fit into memory: [rows, length]."""
    parts = states.flatten(0, 1).split(max(1, _LOGITS_AT_ONCE // model.vocabulary))
    return torch.cat([model.head(part).argmax(-1) for part in parts]).view(states.shape[:2])
