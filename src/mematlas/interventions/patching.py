"""Activation patching (P3): one hidden state is replaced by that of another text, and predictions are read again.

    layer      0 (embeddings)     1 ... L: the output of block 1 ... L
    tokens     z_0 ... z_{C-1}  |  z_C ... z_{C+K-1}
               prompt           |  recited: predicted again, each from the true tokens before it
    patched    position 0 ... P-1, which changes predictions of later tokens alone

A state is the output of one decoder block at one position, [width]. It is replaced on the way: later blocks see it,
and attention carries it to later positions. Blocks up to the patched one compute what they compute without a patch, so
they are not run again, if the network's states come out the same to the bit without them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from mematlas.errors import ModelError
from mematlas.models.causal import CausalModel

_PROBE_TOKENS: Final = 12
_LOGITS_AT_ONCE: Final = 1 << 24
#: Sequences that are run at once.
BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class PatchableModel:
    """A model and its decoder blocks in order. restarts: whether a pass may begin behind any block (see above)."""

    model: CausalModel
    blocks: tuple[Module, ...]
    restarts: bool

    @property
    def layers(self) -> int:
        return len(self.blocks)


@dataclass(frozen=True, slots=True)
class Dependency:
    """What the predictions of a row's last tokens depend on.

    predicted: most probable token of each without a patch, [K]; changed: number of the `patches` at each place that
    change whether the true token is predicted, [layers, positions, K].
    """

    predicted: Tensor
    changed: Tensor
    patches: int


# ------------------------------------------------------------------------------------------------------------- blocks


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
    probe = (torch.arange(_PROBE_TOKENS) * 7919 % model.vocabulary)[None]
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
        state = _state(output)
        shapes.append(tuple(state.shape[:2]) if isinstance(state, Tensor) and state.dim() == 3 else ())

    with _hooks([(block, note) for block in blocks]):
        model.states(probe, None, 1)
    return shapes == [tuple(probe.shape)] * len(blocks)


def _restarts(model: PatchableModel, probe: Tensor) -> bool:
    """Whether passes that begin behind any block end in the same states, to the bit."""
    expected, _ = model.model.states(probe, None, _PROBE_TOKENS)
    try:
        outputs = block_outputs(model, probe)
        for number in range(model.layers):
            with _replaced(model, number, outputs[number]):
                states, _ = model.model.states(probe, None, _PROBE_TOKENS)
            if not torch.equal(states, expected):
                return False
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return False  # this architecture passes more than states from block to block
    return True


# ------------------------------------------------------------------------------------------------------------- passes


@torch.inference_mode()
def block_outputs(model: PatchableModel, tokens: Tensor) -> Tensor:
    """The output of every block for texts of equal length, `tokens` [rows, length]: [layers, rows, length, width]."""
    outputs: list[Tensor] = []
    with _hooks([(block, lambda _m, _i, output: outputs.append(_state(output))) for block in model.blocks]):
        model.model.states(tokens, None, 1)
    return torch.stack([output.to(model.model.device) for output in outputs])


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
        with _hooks([(model.blocks[number], lambda _m, _i, output: _with_state(output, put(_state(output))))]):
            states, _ = model.model.states(texts, None, last)
    else:
        with _replaced(model, number, put(clean.expand(len(positions), -1, -1))):
            states, _ = model.model.states(texts, None, last)
    return _greedy(model.model, states)


def _greedy(model: CausalModel, states: Tensor) -> Tensor:
    """The most probable token after each state [rows, length, width], in parts that fit into memory: [rows, length]."""
    parts = states.flatten(0, 1).split(max(1, _LOGITS_AT_ONCE // model.vocabulary))
    return torch.cat([model.head(part).argmax(-1) for part in parts]).view(states.shape[:2])


# ------------------------------------------------------------------------------------------------------------ outputs


def _state(output: Any) -> Any:
    """The hidden states in what a block returns: the whole, or the first of several."""
    return output[0] if isinstance(output, tuple) else output


def _with_state(output: Any, state: Tensor) -> Any:
    return (state, *output[1:]) if isinstance(output, tuple) else state


@contextmanager
def _hooks(hooks: Sequence[tuple[Module, Callable[..., Any]]]) -> Iterator[None]:
    """Forward hooks on modules, removed at the end."""
    with ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        yield


@contextmanager
def _replaced(model: PatchableModel, number: int, output: Tensor) -> Iterator[None]:
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
