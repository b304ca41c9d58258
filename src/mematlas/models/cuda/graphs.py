"""Decoding steps of constant shape, which a GPU replays as CUDA graphs: for models bound by kernel launches.

A step of a small model is hundreds of short kernels, and launching them takes longer than the arithmetic. A step whose
arrays keep their shapes and addresses is recorded once and then launched as a whole: keys and values are in one cache
of fixed capacity, written at a position that is itself an array, and attention is masked beyond it.

All sessions share this cache: a session is loaded into it when it is fed a few tokens, and unloaded when another one
is. Rows are padded, so that few shapes are recorded. On a CPU nothing is recorded: the same step is run each time,
which is how its logic is tested.
"""

import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, StaticLayer

from mematlas.models.base import first_line
from mematlas.models.causal import CachedSession, CausalModel, FixedLayer

#: The most tokens per row in a recorded step: the stages of `engines/batch.py`; longer feeds keep a GPU busy anyway.
MAX_STEP_TOKENS: Final = 8
_MIN_ROWS: Final = 8
_MANY_ROWS: Final = 128


def padded_rows(rows: int) -> int:
    """The number of rows that a step is run with: the next power of two, at least 8; above 128, where arithmetic costs
    more than launches, the next multiple of 64."""
    return max(_MIN_ROWS, 1 << (rows - 1).bit_length()) if rows <= _MANY_ROWS else -(-rows // 64) * 64


class SharedLayer(StaticLayer):
    """One layer's keys and values [rows, heads, capacity, width]; new ones are written from `position` on.

    position: int64 without dimensions, shared by all layers; the caller advances it after each feed.
    """

    def __init__(self, keys: Tensor, values: Tensor, position: Tensor) -> None:
        super().__init__(max_cache_len=keys.shape[2])
        self.keys, self.values, self.cumulative_length = keys, values, position
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        positions = torch.arange(key_states.shape[2], device=self.device) + self.cumulative_length
        self.keys.index_copy_(2, positions, key_states)
        self.values.index_copy_(2, positions, value_states)
        return self.keys, self.values


class CaptureContext(NamedTuple):
    """How a GPU records steps. pool: memory that all recordings share, since the output of one is copied before another
    runs; stream: the CUDA stream of recordings, apart from that of everything else."""

    pool: Any
    stream: torch.cuda.Stream


class DecodingStep:
    """A step of fixed shape (rows, tokens per row) on the cache: run at first, recorded the second time, then replayed.

    capture: how to record it, None on a device that cannot; on_failure: called with the error if recording fails.
    """

    def __init__(
        self,
        model: CausalModel,
        layers: list[SharedLayer],
        shape: tuple[int, int],
        capture: CaptureContext | None,
        on_failure: Callable[[RuntimeError], None],
    ) -> None:
        self._model, self._cache, self._position = model, Cache(layers=layers), layers[0].cumulative_length
        self._capture_context, self._on_failure = capture, on_failure
        self._tokens = torch.zeros(shape, dtype=torch.int64, device=model.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._used = False

    def __call__(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States and kept states [rows, k, width] of `tokens` [rows, k]: copied, as the next step overwrites them."""
        self._tokens[: len(tokens)] = tokens
        if self._capture_context is not None and self._used and self._graph is None:
            self._capture(self._capture_context)
        if self._graph is not None:
            self._graph.replay()
        elif self._capture_context is not None and not self._used:
            self._output = self._run_on(self._capture_context.stream)
        else:
            self._output = self._run()
        self._used = True
        return self._copy_output(len(tokens))

    def _capture(self, capture: CaptureContext) -> None:
        graph = torch.cuda.CUDAGraph()
        current = torch.cuda.current_stream(self._model.device)
        try:
            # the current stream is entered again, since a recording that fails does not return to it
            with torch.cuda.stream(current), torch.cuda.graph(graph, pool=capture.pool, stream=capture.stream):
                self._output = self._run()  # recorded, not run
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._capture_context = None
            self._on_failure(error)
        else:
            self._graph = graph

    def _run_on(self, stream: torch.cuda.Stream) -> tuple[Tensor, Tensor]:
        """Run on the stream of recordings, so that libraries are set up on it before a recording."""
        current = torch.cuda.current_stream(self._model.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            output = self._run()
        current.wait_stream(stream)
        return output

    def _run(self) -> tuple[Tensor, Tensor]:
        output = self._model.states(self._tokens, self._cache, self._tokens.shape[1])
        self._position.add_(self._tokens.shape[1])
        return output

    def _copy_output(self, rows: int) -> tuple[Tensor, Tensor]:
        states, kept = self._output
        copy = states[:rows].clone()
        return copy, copy if kept is states else kept[:rows].clone()


class SharedCache:
    """The shared cache, the session in it, and the steps that run on it. say: called once if recording fails."""

    def __init__(self, model: CausalModel, say: Callable[[str], None]) -> None:
        self._model, self._say, self._reported = model, say, False
        self._stream = torch.cuda.Stream(model.device) if model.device.type == "cuda" else None
        self.clear()

    def clear(self) -> None:
        """Drop everything: memory, recordings, and the keys and values of the loaded session."""
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._position: Tensor | None = None
        self._steps: dict[tuple[int, int], DecodingStep] = {}
        self._owner: weakref.ref[GraphedSession] | None = None
        # a pool is released with its last recording, so later recordings need a new one
        self._capture_context = (
            None if self._stream is None else CaptureContext(torch.cuda.graph_pool_handle(), self._stream)
        )

    def is_owned_by(self, session: "GraphedSession") -> bool:
        return self._owner is not None and self._owner() is session

    def feed(self, session: "GraphedSession", tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States of the last tokens and kept states, [rows, k, width]."""
        if not self.is_owned_by(session):
            self._load_session(session)
        rows, count = padded_rows(len(tokens)), tokens.shape[1]
        if (rows, count) not in self._steps:
            assert self._position is not None
            layers = [SharedLayer(keys[:rows], values[:rows], self._position) for keys, values in self._buffers]
            self._steps[rows, count] = DecodingStep(
                self._model, layers, (rows, count), self._capture_context, self._report_failure
            )
        return self._steps[rows, count](tokens)

    def _report_failure(self, error: RuntimeError) -> None:
        if not self._reported:
            self._reported = True
            self._say(f"A decoding step could not be recorded as a CUDA graph and runs without: {first_line(error)}")

    def rewind(self, length: int) -> None:
        """Set the position of the owner's next token to `length`."""
        assert self._position is not None
        self._position.fill_(length)

    def unload(self) -> None:
        """Copy keys and values back to the loaded session, if it still exists."""
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            for layer, (keys, values) in zip(owner.layers, self._buffers, strict=True):
                layer.restore(keys, values, owner.length)
        self._owner = None

    def _load_session(self, session: "GraphedSession") -> None:
        self.unload()
        self._allocate(session)
        for layer, full in zip(session.layers, self._buffers, strict=True):
            for own, shared in zip((layer.full_keys, layer.full_values), full, strict=True):
                assert own is not None
                shared[: len(own), :, : session.length] = own[:, :, : session.length]
                shared[:, :, session.length :] = 0  # masked there, but NaN of another session would spread
        self.rewind(session.length)
        self._owner = weakref.ref(session)

    def _allocate(self, session: "GraphedSession") -> None:
        """Allocate the cache, or a larger one; recordings contain addresses, so they are dropped with the old one."""
        first = session.layers[0].full_keys
        assert first is not None
        rows, capacity = padded_rows(len(first)), session.capacity
        if self._buffers:
            shape = self._buffers[0][0].shape
            if rows <= shape[0] and capacity <= shape[2]:
                return
            rows, capacity = max(rows, shape[0]), max(capacity, shape[2])
        self.clear()
        for layer in session.layers:
            assert layer.full_keys is not None
            assert layer.full_values is not None
            keys, values = (
                own.new_zeros((rows, own.shape[1], capacity, own.shape[3]))
                for own in (layer.full_keys, layer.full_values)
            )
            self._buffers.append((keys, values))
        self._position = torch.zeros((), dtype=torch.int64, device=self._model.device)


class GraphedSession(CachedSession):
    """Rows with a cache of their own, loaded into the shared one while they are fed a few tokens at a time."""

    def __init__(self, model: CausalModel, shared: SharedCache, layers: list[FixedLayer], capacity: int) -> None:
        super().__init__(model, layers, capacity)
        self.shared, self.layers, self.capacity, self.length = shared, layers, capacity, layers[0].length

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        if self.length == 0 or tokens.shape[1] > MAX_STEP_TOKENS:
            self._unload_shared()
            states = super().feed(tokens, last)
        else:
            tokens = tokens.to(self._model.device)
            states, kept = self._feed_shared(tokens)
            states, self.kept = (tensor[:, -(last or tokens.shape[1]) :] for tensor in (states, kept))
        self.length += tokens.shape[1]
        return states

    def _feed_shared(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        try:
            return self.shared.feed(self, tokens)
        except torch.OutOfMemoryError:
            self.shared.clear()  # the next batch is half as large and needs half of it
            raise

    def fork(self, rows: Tensor, length: int) -> "GraphedSession":
        self._unload_shared()
        layers = [layer.fork(rows, length, self.capacity) for layer in self.layers]
        return GraphedSession(self._model, self.shared, layers, self.capacity)

    def rewind(self, length: int) -> None:
        super().rewind(length)
        self.length = length
        if self.shared.is_owned_by(self):
            self.shared.rewind(length)

    def _unload_shared(self) -> None:
        """Make the session's own layers complete, if it is loaded into the shared cache."""
        if self.shared.is_owned_by(self):
            self.shared.unload()


class GraphedModel:
    """A `CausalModel` whose sessions replay their decoding steps; `say` is called if one cannot be recorded."""

    def __init__(self, model: CausalModel, say: Callable[[str], None] = lambda text: None) -> None:
        self._model, self._shared = model, SharedCache(model, say)
        self.layers, self.vocabulary = model.layers, model.vocabulary
        self.device, self.dtype = model.device, model.dtype

    def start(self, rows: int, capacity: int) -> GraphedSession:
        """An empty session; `rows` is not needed, since caches are as large as the first feed."""
        layers = [FixedLayer(capacity) for _ in range(self.layers)]
        return GraphedSession(self._model, self._shared, layers, capacity)

    def keep(self, layer: int) -> None:
        self._shared.unload()
        self._shared.clear()  # recordings return the layer kept before
        self._model.keep(layer)

    def head(self, states: Tensor) -> Tensor:
        return self._model.head(states)

    def release(self) -> None:
        self._shared.clear()
