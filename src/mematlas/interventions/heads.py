"""Attention heads switched off: which of them does reciting need (K7)?

A head's output is a slice of what enters the output projection of its layer's attention. It is replaced there by the
mean of the layer's other heads, or by zero. (Slices of the projection's *output* belong to no head: it mixes them.)
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torch.nn import Module

from mematlas.errors import ModelError
from mematlas.interventions.blocks import (
    PROBE_TOKENS,
    PatchableModel,
    forward_hooks,
    forward_pre_hooks,
    patchable,
)
from mematlas.interventions.changed import ChangedSource, changed_source, split_spec
from mematlas.models.causal import CausalModel
from mematlas.study import fingerprint

Ablation = Literal["mean", "zero"]
Head = tuple[int, int]
"""Layer, from 1 as in `patching`, and number of the head in it, from 0."""
_NAMED: Final = 3  # heads that a label lists


@dataclass(frozen=True, slots=True)
class AttentionHeads:
    """The output projection of each layer's attention, and the number of heads whose outputs enter it."""

    projections: tuple[Module, ...]
    heads: int

    @property
    def all(self) -> list[Head]:
        """Every head, by layer and number."""
        return [(layer, head) for layer in range(1, len(self.projections) + 1) for head in range(self.heads)]


@torch.inference_mode()
def attention_heads(found: PatchableModel, name: str) -> AttentionHeads:
    """Find the heads of a model by the structure of its modules; `name` is for the message.

    The projection is the last linear layer that the attention of a block calls.

    Raises:
        ModelError: there is no attention with as many heads as the configuration states.
    """
    model, blocks = found.model, found.blocks
    heads = getattr(model.network.config.get_text_config(), "num_attention_heads", None)
    called: list[Module] = []
    widths: dict[Module, int] = {}

    def note(module: Module, inputs: Any, _output: Any) -> None:
        called.append(module)
        widths[module] = inputs[0].shape[-1]

    linear = [module for block in blocks for module in _attention_layers(block)]
    probe = torch.arange(PROBE_TOKENS)[None] % model.vocabulary
    with forward_hooks([(module, note) for module in linear]):
        model.states(probe, None, 1)
    projections = []
    for block in blocks:
        own = [module for module in called if module in set(_attention_layers(block))]
        if not own or not isinstance(heads, int) or widths[own[-1]] % heads:
            raise ModelError(
                f"{name} has no attention whose {heads} heads can be told apart before its output projection; name a "
                "model built as most decoders are (GPT-NeoX, Llama, GPT-2, Qwen2 ...)."
            )
        projections.append(own[-1])
    assert isinstance(heads, int)
    return AttentionHeads(tuple(projections), heads)


def _attention_layers(block: Module) -> list[Module]:
    """The linear layers inside the attention of a block."""
    attention = [module for name, module in block.named_modules() if "attention" in type(module).__name__.lower()]
    return [module for module in (attention[0].modules() if attention else ()) if _is_linear(module)]


def _is_linear(module: Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() == 2 and not isinstance(module, torch.nn.Embedding)


def ablated(found: AttentionHeads, heads: Iterable[Head], ablation: Ablation = "mean") -> AbstractContextManager[None]:
    """Within it, these heads give the mean of their layer's other heads, or zero.

    Raises:
        ValueError: the mean is asked for, and a layer has no other head.
    """
    return forward_pre_hooks(_head_hooks(found, heads, ablation))


def _head_hooks(
    found: AttentionHeads, heads: Iterable[Head], ablation: Ablation
) -> list[tuple[Module, Callable[..., Any]]]:
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)
    if ablation == "mean" and any(len(numbers) == found.heads for numbers in by_layer.values()):
        raise ValueError("a layer whose heads are all switched off has no other head to take the mean of")
    return [
        (found.projections[layer - 1], partial(_replace_heads, numbers=numbers, count=found.heads, ablation=ablation))
        for layer, numbers in by_layer.items()
    ]


def _replace_heads(
    _module: Module, inputs: tuple[Any, ...], numbers: Sequence[int], count: int, ablation: Ablation
) -> tuple[Any, ...]:
    """The projection's input with other values for the heads with these numbers."""
    outputs = inputs[0].unflatten(-1, (count, -1)).clone()
    if ablation == "zero":
        outputs[..., numbers, :] = 0
    else:
        others = [number for number in range(count) if number not in numbers]
        outputs[..., numbers, :] = outputs[..., others, :].mean(-2, keepdim=True)
    return (outputs.flatten(-2), *inputs[1:])


def _switch_off(model: CausalModel, heads: Sequence[Head], ablation: Ablation, name: str) -> CausalModel:
    """Switch the heads off for as long as the model lives."""
    found = attention_heads(patchable(model, name), name)
    layers = len(found.projections)
    for layer, head in heads:
        if not (1 <= layer <= layers and head < found.heads):
            raise ModelError(
                f"{name} has no head {layer}.{head}: its {layers} layers count from 1, and their {found.heads} heads "
                "from 0."
            )
    by_layer = [sum(layer == other for other, _ in heads) for layer, _ in heads]
    if ablation == "mean" and max(by_layer) == found.heads:
        raise ModelError(f"{name} leaves no other head in a layer to take the mean of; use heads-zero.")
    for module, hook in _head_hooks(found, heads, ablation):
        module.register_forward_pre_hook(hook)
    return model


def _resolve(rest: str, kind: str, ablation: Ablation) -> ChangedSource:
    text, base = split_spec(kind, rest, f"{kind}:2.0+2.5@MODEL (layer, from 1, and head, from 0)")
    try:
        parts = (part.partition(".") for part in text.split("+"))
        heads = sorted({(int(layer), int(head)) for layer, _, head in parts})
    except ValueError:
        heads = []
    if not heads or min(min(head) for head in heads) < 0:
        raise ModelError(f"{kind}:{text} names no heads; write layer, from 1, and head, from 0, as in {kind}:2.0+2.5.")
    named = "+".join(f"{layer}.{head}" for layer, head in heads)
    suffix = named if len(heads) <= _NAMED else f"{len(heads)}-{fingerprint(heads)[:6]}"
    change = partial(_switch_off, heads=heads, ablation=ablation, name=f"{kind}:{text}@{base.card.spec}")
    return changed_source(base, f"{kind}:{named}", f"{kind}-{suffix}", change)


def resolve(rest: str) -> ChangedSource:
    """Resolve `heads:LAYER.HEAD+LAYER.HEAD@MODEL`: each is replaced by the mean of its layer's other heads.

    Raises:
        ModelError: it names no heads, or there is no such model.
    """
    return _resolve(rest, "heads", "mean")


def resolve_zero(rest: str) -> ChangedSource:
    """Resolve `heads-zero:LAYER.HEAD@MODEL`: as `resolve`, with zero instead of the mean."""
    return _resolve(rest, "heads-zero", "zero")
