"""Decoding steps of constant shape, so that a GPU can replay them: CUDA graphs for models bound by kernel launches.

A small model's step is hundreds of short kernels, and starting them takes longer than the arithmetic. A step whose
arrays keep their shapes and addresses is recorded once and started as a whole: keys and values stand in one cache of
fixed capacity, written at a position that is itself an array, and attention is masked behind it.

Sessions come and go, the cache is one: a session moves in when it is fed a few tokens, and out when another one does.
Rows are padded, so that few shapes are recorded. On a CPU nothing is recorded: the same step is
carried out each time, which is how its logic is tested.
"""

import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, StaticLayer

from mematlas.models.causal import CachedSession, CausalModel, FixedLayer

#: Tokens a row fed at once that are worth a recording: the stages of `scoring/branches.py`; more keep a GPU busy.
FEW: Final = 8
_FEWEST_ROWS: Final = 8
_MANY_ROWS: Final = 128


def padded(rows: int) -> int:
    """The number of rows that a step is carried out with: the next power of two, at least 8; above 128, where
    arithmetic costs more than launches, the next multiple of 64."""
    return max(_FEWEST_ROWS, 1 << (rows - 1).bit_length()) if rows <= _MANY_ROWS else -(-rows // 64) * 64


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its kind."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


class PlacedLayer(StaticLayer):
    """One layer's keys and values [rows, heads, capacity, width]; what is fed stands from `position` on.

    position: int64 of no dimension, shared by all layers, which whoever feeds moves on.
    """

    def __init__(self, keys: Tensor, values: Tensor, position: Tensor) -> None:
        super().__init__(max_cache_len=keys.shape[2])
        self.keys, self.values, self.cumulative_length = keys, values, position
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        places = torch.arange(key_states.shape[2], device=self.device) + self.cumulative_length
        self.keys.index_copy_(2, places, key_states)
        self.values.index_copy_(2, places, value_states)
        return self.keys, self.values


class Place(NamedTuple):
    """Where a GPU's recordings are made. pool: of memory, which all recordings share, for what one gave is copied
    before another runs; stream: beside that of everything else."""

    pool: Any
    stream: torch.cuda.Stream


class Step:
    """So many tokens fed to so many rows of the cache: carried out, or recorded at the second time and then replayed.

    place: where it is recorded; None for a device that records nothing. failed: hears why it could not be recorded.
    """

    def __init__(
        self,
        model: CausalModel,
        layers: list[PlacedLayer],
        shape: tuple[int, int],
        place: Place | None,
        failed: Callable[[RuntimeError], None],
    ) -> None:
        self._model, self._cache, self._position = model, Cache(layers=layers), layers[0].cumulative_length
        self._place, self._failed = place, failed
        self._tokens = torch.zeros(shape, dtype=torch.int64, device=model.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._used = False

    def __call__(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States and kept states [rows, k, width] of `tokens` [rows, k]: copies, as the next step overwrites them."""
        self._tokens[: len(tokens)] = tokens
        if self._place is not None and self._used and self._graph is None:
            self._record(self._place)
        if self._graph is not None:
            self._graph.replay()
        elif self._place is not None and not self._used:
            self._found = self._beside(self._place.stream)
        else:
            self._found = self._carried_out()
        self._used = True
        return self._taken(len(tokens))

    def _record(self, place: Place) -> None:
        graph = torch.cuda.CUDAGraph()
        here = torch.cuda.current_stream(self._model.device)
        try:
            # the stream of before is entered once more: a recording that fails does not go back to it
            with torch.cuda.stream(here), torch.cuda.graph(graph, pool=place.pool, stream=place.stream):
                self._found = self._carried_out()  # recorded, not carried out
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._place = None
            self._failed(error)
        else:
            self._graph = graph

    def _beside(self, stream: torch.cuda.Stream) -> tuple[Tensor, Tensor]:
        """Carried out on the stream of recordings: what libraries set up with a first use must be there before."""
        here = torch.cuda.current_stream(self._model.device)
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            found = self._carried_out()
        here.wait_stream(stream)
        return found

    def _carried_out(self) -> tuple[Tensor, Tensor]:
        found = self._model.states(self._tokens, self._cache, self._tokens.shape[1])
        self._position.add_(self._tokens.shape[1])
        return found

    def _taken(self, rows: int) -> tuple[Tensor, Tensor]:
        states, kept = self._found
        copy = states[:rows].clone()
        return copy, copy if kept is states else kept[:rows].clone()


class SharedCache:
    """The cache of fixed place, who lives in it, and the steps that run on it. say: hears once if none is recorded."""

    def __init__(self, model: CausalModel, say: Callable[[str], None]) -> None:
        self._model, self._say, self._told = model, say, False
        self._stream = torch.cuda.Stream(model.device) if model.device.type == "cuda" else None
        self.clear()

    def clear(self) -> None:
        """Forget everything: memory, recordings, and what the session that lives here was fed."""
        self._full: list[tuple[Tensor, Tensor]] = []
        self._position: Tensor | None = None
        self._steps: dict[tuple[int, int], Step] = {}
        self._owner: weakref.ref[GraphedSession] | None = None
        # a pool ends with the last recording in it, so that the next ones need another
        self._place = None if self._stream is None else Place(torch.cuda.graph_pool_handle(), self._stream)

    def is_home_of(self, session: "GraphedSession") -> bool:
        return self._owner is not None and self._owner() is session

    def feed(self, session: "GraphedSession", tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States of the last tokens and kept states, [rows, k, width]."""
        if not self.is_home_of(session):
            self._move_in(session)
        rows, count = padded(len(tokens)), tokens.shape[1]
        if (rows, count) not in self._steps:
            assert self._position is not None
            placed = [PlacedLayer(keys[:rows], values[:rows], self._position) for keys, values in self._full]
            self._steps[rows, count] = Step(self._model, placed, (rows, count), self._place, self._tell)
        return self._steps[rows, count](tokens)

    def _tell(self, error: RuntimeError) -> None:
        if not self._told:
            self._told = True
            self._say(f"A decoding step goes on without a CUDA graph, for none could be recorded: {first_line(error)}")

    def rewind(self, length: int) -> None:
        """The owner's next token stands at `length`."""
        assert self._position is not None
        self._position.fill_(length)

    def move_out(self) -> None:
        """Give the owner, if there still is one, its keys and values back."""
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            for layer, (keys, values) in zip(owner.layers, self._full, strict=True):
                layer.restore(keys, values, owner.length)
        self._owner = None

    def _move_in(self, session: "GraphedSession") -> None:
        self.move_out()
        self._make_room(session)
        for layer, full in zip(session.layers, self._full, strict=True):
            for own, shared in zip((layer.full_keys, layer.full_values), full, strict=True):
                assert own is not None
                shared[: len(own), :, : session.length] = own[:, :, : session.length]
                shared[:, :, session.length :] = 0  # masked there, but NaN of another session would shine through
        self.rewind(session.length)
        self._owner = weakref.ref(session)

    def _make_room(self, session: "GraphedSession") -> None:
        """Allocate the cache, or a larger one: recordings know addresses, so they go with the old one."""
        first = session.layers[0].full_keys
        assert first is not None
        rows, capacity = padded(len(first)), session.capacity
        if self._full:
            here = self._full[0][0].shape
            if rows <= here[0] and capacity <= here[2]:
                return
            rows, capacity = max(rows, here[0]), max(capacity, here[2])
        self.clear()
        for layer in session.layers:
            assert layer.full_keys is not None
            assert layer.full_values is not None
            sides = [
                own.new_zeros((rows, own.shape[1], capacity, own.shape[3]))
                for own in (layer.full_keys, layer.full_values)
            ]
            self._full.append((sides[0], sides[1]))
        self._position = torch.zeros((), dtype=torch.int64, device=self._model.device)


class GraphedSession(CachedSession):
    """Rows with a cache of their own, which live in the shared one while they are fed a few tokens at a time."""

    def __init__(self, model: CausalModel, shared: SharedCache, layers: list[FixedLayer], capacity: int) -> None:
        super().__init__(model, layers, capacity)
        self.shared, self.layers, self.capacity, self.length = shared, layers, capacity, layers[0].length

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        if self.length == 0 or tokens.shape[1] > FEW:
            self._settle()
            states = super().feed(tokens, last)
        else:
            tokens = tokens.to(self._model.device)
            states, kept = self._stepped(tokens)
            states, self.kept = (found[:, -(last or tokens.shape[1]) :] for found in (states, kept))
        self.length += tokens.shape[1]
        return states

    def _stepped(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        try:
            return self.shared.feed(self, tokens)
        except torch.OutOfMemoryError:
            self.shared.clear()  # a batch half as large comes next, and needs half of it
            raise

    def fork(self, rows: Tensor, length: int) -> "GraphedSession":
        self._settle()
        layers = [layer.fork(rows, length, self.capacity) for layer in self.layers]
        return GraphedSession(self._model, self.shared, layers, self.capacity)

    def rewind(self, length: int) -> None:
        super().rewind(length)
        self.length = length
        if self.shared.is_home_of(self):
            self.shared.rewind(length)

    def _settle(self) -> None:
        """All that was fed stands in the session's own layers."""
        if self.shared.is_home_of(self):
            self.shared.move_out()


class GraphedModel:
    """A `CausalModel` whose sessions replay their decoding steps; `say` hears if one cannot be recorded."""

    def __init__(self, model: CausalModel, say: Callable[[str], None] = lambda text: None) -> None:
        self._model, self._shared = model, SharedCache(model, say)
        self.layers, self.vocabulary = model.layers, model.vocabulary
        self.device, self.dtype = model.device, model.dtype

    def start(self, rows: int, capacity: int) -> GraphedSession:
        """As the model's own; `rows` is not needed: caches are as large as what is fed."""
        layers = [FixedLayer(capacity) for _ in range(self.layers)]
        return GraphedSession(self._model, self._shared, layers, capacity)

    def keep(self, layer: int) -> None:
        self._shared.move_out()
        self._shared.clear()  # recordings return the layer that was kept before
        self._model.keep(layer)

    def head(self, states: Tensor) -> Tensor:
        return self._model.head(states)

    def release(self) -> None:
        self._shared.clear()
