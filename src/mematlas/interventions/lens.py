"""The logit lens: what the model would say if it ended after each layer (nostalgebraist 2020; K7).

    layer   0            1 ... L-1                 L
    state   embeddings   output of the block       output of the last block
    logits  head(norm(state)) of each              the model's own

The final norm and the output head are those of the network. The states that transformers returns for the last layer
are normalised already: norming them once more is the classic error, which these functions avoid.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Module

from mematlas.errors import ModelError
from mematlas.interventions.blocks import PatchableModel, block_outputs, forward_hooks
from mematlas.models.causal import CausalModel
from mematlas.types import Ids

#: The number of a layer and states behind it, [..., width] -> [..., width].
Translate = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """What each layer says of the true next tokens, each [layers, rows, predictions].

    hit: whether the true token is the most probable one; rank: tokens with a higher logit; log_probability: of the
    true token; entropy: of the distribution; both in nats.
    """

    hit: NDArray[np.bool_]
    rank: NDArray[np.int64]
    log_probability: NDArray[np.float32]
    entropy: NDArray[np.float32]


def final_norm(model: PatchableModel, name: str) -> Module:
    """The norm between the last block and the output head; `name` is for the message.

    Raises:
        ModelError: no module turns the last block's output into the head's input.
    """
    probe = torch.zeros((1, 2), dtype=torch.int64)
    last: list[Tensor] = []
    candidates: list[Module] = []

    def note_last(_module: Module, _inputs: object, output: object) -> None:
        last.append(output[0] if isinstance(output, tuple) else output)  # type: ignore[arg-type]

    def note(module: Module, inputs: tuple[Tensor, ...], _output: object) -> None:
        if last and inputs and inputs[0] is last[-1]:
            candidates.append(module)

    inside = {id(module) for block in model.blocks for module in block.modules()}
    others = [
        module for module in model.model.network.base_model.modules() if id(module) not in inside and _is_leaf(module)
    ]
    with torch.inference_mode(), forward_hooks([(model.blocks[-1], note_last), *((module, note) for module in others)]):
        states, _ = model.model.states(probe, None, 2)
        for module in candidates:
            if torch.equal(module(last[-1]).to(states), states):
                return module
        if torch.equal(last[-1].to(states), states):
            return torch.nn.Identity()
    raise ModelError(
        f"{name} has no norm between its last block and its output head that could be put behind every layer; name a "
        "model built as most decoders are (GPT-NeoX, Llama, GPT-2, Qwen2 ...)."
    )


def _is_leaf(module: Module) -> bool:
    return next(module.children(), None) is None


@torch.inference_mode()
def logit_lens(
    model: PatchableModel, norm: Module, rows: Ids, context: int, translate: Translate | None = None
) -> Lens:
    """What every layer says of the tokens after the context of `rows` [rows, context + predictions].

    Args:
        norm: `final_norm` of the model; translate: turns the states behind a layer into those that the norm reads.

    Returns:
        Layers 0 (embeddings) to L.
    """
    tokens = torch.from_numpy(np.asarray(rows, np.int64))
    fed, truth = tokens[:, :-1], tokens[:, context:].to(model.model.device)
    embedded: list[Tensor] = []
    first = model.blocks[0]
    handle = first.register_forward_pre_hook(
        lambda _module, inputs, named: embedded.append(inputs[0] if inputs else named["hidden_states"]),
        with_kwargs=True,
    )
    try:
        outputs = block_outputs(model, fed)
    finally:
        handle.remove()
    parts = []
    for layer, states in enumerate((embedded[0], *outputs)):
        read = states[:, context - 1 :]
        normed = norm(read if translate is None else translate(layer, read))
        parts.append([_answers(model.model, normed[:, p], truth[:, p]) for p in range(truth.shape[1])])
    hit, rank, log_probability, entropy = (
        np.stack([np.stack([of_token[k] for of_token in of_layer], axis=-1) for of_layer in parts]) for k in range(4)
    )
    return Lens(hit, rank, log_probability, entropy)


def _answers(model: CausalModel, states: Tensor, truth: Tensor) -> tuple[NDArray[np.generic], ...]:
    """hit, rank, log-probability and entropy for one state of each row."""
    logits = model.head(states)
    own = logits.gather(-1, truth[:, None])
    logs = torch.log_softmax(logits, -1)
    hit = logits.argmax(-1) == truth
    rank = (logits > own).sum(-1)
    entropy = torch.special.entr(logs.exp()).sum(-1)
    values = (hit, rank, logs.gather(-1, truth[:, None])[:, 0], entropy)
    return tuple(value.cpu().numpy() for value in values)
