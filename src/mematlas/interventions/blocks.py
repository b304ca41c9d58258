"""The decoder blocks of a transformers network: found by its structure, listened to, changed and skipped by hooks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from mematlas.errors import ModelError
from mematlas.models.causal import CausalModel

#: Length of the text with which a network's structure is tried.
PROBE_TOKENS: Final = 12


@dataclass(frozen=True, slots=True)
class PatchableModel:
    """A model and its decoder blocks in order. restarts: whether a pass may begin behind any block,
    which it may if the states come out the same to the bit."""

    model: CausalModel
    blocks: tuple[Module, ...]
    restarts: bool

    @property
    def layers(self) -> int:
        return len(self.blocks)


@torch.inference_mode()
def patchable(model: object, name: str) -> PatchableModel:
    """Find the decoder blocks of a model by the structure of its modules; `name` is for the message.

    Raises:
        ModelError: it is no transformers network, or has no stack of equal blocks with one state per position.
    """
    if not isinstance(model, CausalModel):
        raise ModelError(f"{name} has no hidden states to replace: it is no network of transformers; name one that is.")
    if not model.cached:
        raise ModelError(
            f"{name} carries a recurrent state from token to token, so that no position has a state of its own to "
            "replace; name a model with attention alone (GPT-NeoX, Llama, GPT-2, Qwen2 ...)."
        )
    probe = (torch.arange(PROBE_TOKENS) * 7919 % model.vocabulary)[None]
    stacks = [
        blocks for blocks in _stacks_of_equal_blocks(model.network.base_model) if _are_decoder(model, blocks, probe)
    ]
    if not stacks:
        raise ModelError(
            f"{name} has no list of equal blocks that all tokens pass one after another; name a model built as most "
            "decoders are (GPT-NeoX, Llama, GPT-2, Qwen2 ...)."
        )
    blocks = max(stacks, key=len)
    return PatchableModel(model, blocks, _restarts(PatchableModel(model, blocks, restarts=True), probe))


def _stacks_of_equal_blocks(module: Module) -> Iterator[tuple[Module, ...]]:
    """The lists of modules of one class, without those inside the members of another list (experts of a block)."""
    for child in module.children():
        if isinstance(child, ModuleList):
            if len({type(block) for block in child}) == 1:
                yield tuple(child)
        else:
            yield from _stacks_of_equal_blocks(child)


def _are_decoder(model: CausalModel, blocks: Sequence[Module], probe: Tensor) -> bool:
    """Whether a pass over a text calls each block once, and gets one state per token from it."""
    shapes: list[tuple[int, ...]] = []

    def note(_module: Module, _inputs: Any, output: Any) -> None:
        state = state_of(output)
        shapes.append(tuple(state.shape[:2]) if isinstance(state, Tensor) and state.dim() == 3 else ())

    with forward_hooks([(block, note) for block in blocks]):
        model.states(probe, None, 1)
    return shapes == [tuple(probe.shape)] * len(blocks)


def _restarts(model: PatchableModel, probe: Tensor) -> bool:
    """Whether passes that begin behind any block end in the same states, to the bit."""
    expected, _ = model.model.states(probe, None, PROBE_TOKENS)
    try:
        outputs = block_outputs(model, probe)
        for number in range(model.layers):
            with replaced_output(model, number, outputs[number]):
                states, _ = model.model.states(probe, None, PROBE_TOKENS)
            if not torch.equal(states, expected):
                return False
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return False  # this architecture passes more than states from block to block
    return True


@torch.inference_mode()
def block_outputs(model: PatchableModel, tokens: Tensor) -> Tensor:
    """The output of every block for texts of equal length, `tokens` [rows, length]: [layers, rows, length, width]."""
    outputs: list[Tensor] = []
    with forward_hooks([(block, lambda _m, _i, output: outputs.append(state_of(output))) for block in model.blocks]):
        model.model.states(tokens, None, 1)
    return torch.stack([output.to(model.model.device) for output in outputs])


def state_of(output: Any) -> Any:
    """The hidden states in what a block returns: the whole, or the first of several."""
    return output[0] if isinstance(output, tuple) else output


def with_state(output: Any, state: Tensor) -> Any:
    return (state, *output[1:]) if isinstance(output, tuple) else state


@contextmanager
def forward_hooks(hooks: Sequence[tuple[Module, Callable[..., Any]]]) -> Iterator[None]:
    """Forward hooks on modules, removed at the end."""
    with ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        yield


@contextmanager
def forward_pre_hooks(hooks: Sequence[tuple[Module, Callable[..., Any]]]) -> Iterator[None]:
    """Hooks on what modules are given, removed at the end."""
    with ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_pre_hook(hook).remove)
        yield


@contextmanager
def replaced_output(model: PatchableModel, number: int, output: Tensor) -> Iterator[None]:
    """A network whose blocks up to this one compute nothing: the last of them returns `output`."""
    with ExitStack() as stack:
        for block in model.blocks[: number + 1]:
            stack.callback(_restore, block, block.__dict__.get("forward"))  # accelerate's, if the block is offloaded
            block.forward = lambda *_args, **_kwargs: output
        yield


def _restore(block: Module, forward: Any) -> None:
    if forward is None:
        del block.forward
    else:
        block.forward = forward
