"""Any Hugging Face causal model as a session: the ordinary forward pass, with a key-value cache of our own.

The cache is allocated once for the whole row and written in place, so that a step copies nothing. It can be forked at a
shorter length, so that contexts with the same start share one prefill. Models whose state is not a key-value cache
(Mamba, RWKV, hybrids) are scored without a cache: slower, but equally exact. So are rows beyond the length from which
rotary positions depend on the number of tokens (`prefix_session.py`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.cache_utils import Cache, DynamicLayer
from transformers.modeling_outputs import BaseModelOutputWithPast

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard, Session, pick_device
from mematlas.models.buffer import Scratch
from mematlas.models.causality import check_causal
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
        self._output = network.get_output_embeddings()
        self._scratch = Scratch()
        self._head = None if whole else self._exact_head()

    @torch.inference_mode()
    def _exact_head(self) -> Callable[[Tensor], Tensor] | None:
        """The first function from states to logits that reproduces the network's own logits bit for bit.

        For most models the output matrix is enough. If logits are scaled, capped or projected, the network's own
        forward is called with a body that returns the given states. None if no function does: states are then logits.
        """
        probe = (torch.arange(12, device=self.device) * 7919 % self.vocabulary)[None]
        expected = self.network(input_ids=probe, use_cache=False).logits[0]
        states = self.network.base_model(input_ids=probe, use_cache=False).last_hidden_state[0]
        for head in (self._scratch_head, self._matrix_head, self._network_head):
            try:
                if torch.equal(head(states).to(expected.device), expected):
                    return head
            except (RuntimeError, TypeError, ValueError, AttributeError):
                continue  # this architecture cannot be split this way
        return None

    def _scratch_head(self, states: Tensor) -> Tensor:
        weight = self._output.weight
        if type(self._output) is not torch.nn.Linear or self._output.bias is not None or weight.device.type != "cpu":
            raise TypeError("the output layer is not a plain matrix on a CPU")
        return torch.mm(states, weight.T, out=self._scratch.take(states, len(states), len(weight)))

    def _matrix_head(self, states: Tensor) -> Tensor:
        device = self._output.weight.device
        return self._output(
            states if device.type == "meta" else states.to(device)
        )  # meta: offloaded weights, loaded by a hook

    def _network_head(self, states: Tensor) -> Tensor:
        body = self.network.base_model
        hooked = body.__dict__.get("forward")  # accelerate's hook, if the body is offloaded
        body.forward = lambda *args, **kwargs: BaseModelOutputWithPast(last_hidden_state=states[:, None])
        try:
            return self.network(input_ids=torch.zeros((len(states), 1), dtype=torch.int64, device=self.device)).logits[
                :, 0
            ]
        finally:
            if hooked is None:
                del body.forward
            else:
                body.forward = hooked

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
        return (states if self._head is None else self._head(states)).float()

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
    from huggingface_hub.errors import StrictDataclassError
    from transformers.utils import logging

    device = pick_device(options.device)
    if options.device_map is not None:
        extra["device_map"] = options.device_map
    logging.disable_progress_bar()
    try:
        network, loading_info = AutoModelForCausalLM.from_pretrained(
            folder,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below with their names
            dtype=getattr(torch, options.dtype),
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
            use_safetensors=None if "gguf_file" in extra else True,
            **extra,
        )
    except ModuleNotFoundError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, StrictDataclassError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        raise ModelError(f"{card.spec!r} cannot be loaded as a causal language model: {reason}") from error
    mismatched = (name for name, *_ in loading_info["mismatched_keys"])
    invalid = sorted({*loading_info["missing_keys"], *mismatched})
    if invalid:
        raise ModelError(
            f"{card.spec!r} lacks {len(invalid)} of its weights or has them in another shape than it states "
            f"(first: {invalid[0]}), so they would be random; fetch or convert the model again."
        )
    if options.device_map is None:
        network = network.to(device)
    else:
        device = _input_device(network.get_input_embeddings())
    network.eval()
    rows = network.get_input_embeddings().weight.shape[0]
    if rows < card.vocabulary:
        raise ModelError(
            f"{card.spec!r} states a vocabulary of {card.vocabulary} but embeds {rows} tokens; fetch the model again."
        )
    check_causal(network, card.vocabulary, device, card.spec, card.max_length)
    return CausalModel(network, card.vocabulary, device)


def _input_device(embeddings: Any) -> torch.device:
    """The device for input tokens: an offloaded embedding is on a device only while it is used."""
    execution_device = getattr(getattr(embeddings, "_hf_hook", None), "execution_device", None)
    return embeddings.weight.device if execution_device is None else torch.device(execution_device)
