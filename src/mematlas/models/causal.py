"""Any Hugging Face causal model as a session: the ordinary forward pass, with a key-value cache of our own.

The cache is allocated once for the whole row and written in place, so that a step copies nothing. It can be forked at a
shorter length, so that contexts with the same start share one prefill. Models whose state is not a key-value cache
(Mamba, RWKV, hybrids) are scored without a cache: slower, but equally exact. So are rows beyond the length from which
rotary positions depend on the number of tokens (`prefix_session.py`).
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.cache_utils import Cache, DynamicLayer

from mematlas.models.base import LoadOptions, Model, ModelCard, Session
from mematlas.models.causality import check_causal
from mematlas.models.loading import load_network
from mematlas.models.output_head.exact import exact_head
from mematlas.models.output_head.screened import ScreenedHead, screened_head
from mematlas.models.prefix_session import PrefixSession
from mematlas.models.rope import length_dependence

_ATTENTION_ONLY = {"full_attention", "sliding_attention", "chunked_attention", "attention"}


class FixedLayer(DynamicLayer):
    """One layer's keys and values for `capacity` positions, [rows, heads, capacity, width], filled up to `length`."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self.full_keys: Tensor | None = None
        self.full_values: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.full_keys is None or self.full_values is None:
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.full_keys = key_states.new_empty((*key_states.shape[:2], self.capacity, key_states.shape[3]))
            self.full_values = value_states.new_empty((*value_states.shape[:2], self.capacity, value_states.shape[3]))
        end = self.length + key_states.shape[2]
        self.full_keys[:, :, self.length : end] = key_states
        self.full_values[:, :, self.length : end] = value_states
        self.length = end
        return self.full_keys[:, :, :end], self.full_values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def fork(self, rows: Tensor, length: int, capacity: int) -> "FixedLayer":
        """A copy of the chosen rows' first `length` positions."""
        layer = FixedLayer(capacity)
        layer.length = length
        if self.full_keys is not None and self.full_values is not None:
            rows = rows.to(self.full_keys.device)
            layer.dtype, layer.device, layer.is_initialized = self.dtype, self.device, True
            layer.full_keys = _select_rows(self.full_keys, rows, length)
            layer.full_values = _select_rows(self.full_values, rows, length)
        return layer

    def restore(self, keys: Tensor, values: Tensor, length: int) -> None:
        """Copy the first `length` positions back from arrays with these rows first, and possibly more."""
        assert self.full_keys is not None
        assert self.full_values is not None
        self.length = length
        self.full_keys[:, :, :length] = keys[: len(self.full_keys), :, :length]
        self.full_values[:, :, :length] = values[: len(self.full_values), :, :length]


def _select_rows(full: Tensor, rows: Tensor, length: int) -> Tensor:
    selected = full.new_empty((len(rows), *full.shape[1:]))
    selected[:, :, :length] = full[rows, :, :length]
    return selected


class CachedSession:
    """Rows with a key-value cache."""

    def __init__(self, model: "CausalModel", layers: list[FixedLayer], capacity: int) -> None:
        self._model, self._layers, self._capacity = model, layers, capacity

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        states, self.kept = self._model.states(tokens, Cache(layers=self._layers), last or tokens.shape[1])
        return states

    def fork(self, rows: Tensor, length: int) -> "CachedSession":
        return CachedSession(
            self._model, [layer.fork(rows, length, self._capacity) for layer in self._layers], self._capacity
        )

    def rewind(self, length: int) -> None:
        for layer in self._layers:
            layer.length = length


class RecomputingSession:
    """Rows without a cache: every feed runs the model on the whole history again."""

    def __init__(self, model: "CausalModel", history: Tensor) -> None:
        self._model, self._history = model, history

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        self._history = torch.cat([self._history, tokens.to(self._history.device)], dim=1)
        states, self.kept = self._model.states(self._history, None, last or tokens.shape[1])
        return states

    def fork(self, rows: Tensor, length: int) -> "RecomputingSession":
        return RecomputingSession(self._model, self._history[rows.to(self._history.device), :length])

    def rewind(self, length: int) -> None:
        self._history = self._history[:, :length]


class CausalModel:
    """A loaded transformers model, split into its body (states) and its head (logits).

    whole: never call the body alone, as FSDP gathers weights only where the whole network is called.
    """

    def __init__(self, network: Any, vocabulary: int, device: torch.device, *, whole: bool = False) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.device = device
        self.dtype = next(network.parameters()).dtype
        text = network.config.get_text_config()
        kinds = set(getattr(text, "layer_types", None) or ["attention"])
        self.cached = not getattr(network, "_is_stateful", False) and kinds <= _ATTENTION_ONLY
        self.dependence = length_dependence(text.to_dict())
        self.layers = int(text.num_hidden_layers)
        self._kept: int | None = None  # None: the kept states are the head's input
        self._head = None if whole else exact_head(network, vocabulary, device, use_cache=False)
        self._screened: ScreenedHead | None = None

    def release(self) -> None:
        """Sessions share no memory."""

    def keep(self, layer: int) -> None:
        self._kept = None if layer == self.layers and self._head is not None else layer

    @torch.inference_mode()
    def reset_frequencies(self) -> None:
        """Make the rotary frequencies the original ones, which longer passes before have changed.

        transformers resets them in a pass that is shorter than the trained length.
        """
        if self.dependence is not None and self.dependence.by_token:
            network = self.network if self._head is None else self.network.base_model
            network(input_ids=torch.zeros((1, 1), dtype=torch.int64, device=self.device))

    def states(self, tokens: Tensor, cache: Cache | None, last: int) -> tuple[Tensor, Tensor]:
        """States [rows, last, width] of the last of `tokens` [rows, k], which follow the tokens in `cache`.

        Returns:
            The head's input, and the states of the kept layer: the same tensor if that is the last layer.
        """
        arguments = {"input_ids": tokens.to(self.device), "past_key_values": cache, "use_cache": cache is not None}
        if self._kept is not None:  # as fast as a hook on that layer, and correct for every architecture
            arguments["output_hidden_states"] = True
        if self._head is None:
            output = self.network(**arguments, logits_to_keep=last)
            states = output.logits[:, -last:]
        else:
            output = self.network.base_model(**arguments)
            states = output.last_hidden_state[:, -last:]
        kept = states if self._kept is None else output.hidden_states[self._kept][:, -last:]
        return states, kept.to(self.device)  # a device map puts layers on several devices

    @torch.inference_mode()
    def head(self, states: Tensor) -> Tensor:
        return (states if self._head is None else self._head.logits(states)).float()

    @property
    def screened(self) -> ScreenedHead | None:
        """What finds the two largest logits without computing all of them; None if the head is no plain matrix."""
        if self._screened is None or not self._screened.is_current:
            self._screened = None if self._head is None else screened_head(self._head.matrix, self.vocabulary)
        return self._screened

    def start(self, rows: int, capacity: int) -> Session:
        empty = torch.empty((rows, 0), dtype=torch.int64, device=self.device)
        if self.dependence is not None and capacity > self.dependence.length:
            return PrefixSession(self, self.dependence, empty)
        self.reset_frequencies()
        if not self.cached:
            return RecomputingSession(self, empty)
        return CachedSession(self, [FixedLayer(capacity) for _ in range(self.layers)], capacity)


@torch.inference_mode()
def load_causal(folder: str, card: ModelCard, options: LoadOptions, **extra: Any) -> Model:
    """Load a causal model from `folder` for scoring.

    Raises:
        ModelError: transformers cannot load it, a weight is missing or has another shape, the embedding is smaller
            than the vocabulary that the card states, or predictions depend on later tokens.
    """
    network, device = load_network(AutoModelForCausalLM, "causal", folder, card, options, **extra)
    check_causal(network, card.vocabulary, device, card.spec, card.max_length)
    return CausalModel(network, card.vocabulary, device)
