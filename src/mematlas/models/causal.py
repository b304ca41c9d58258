"""Any Hugging Face causal model as a session: the ordinary forward, with a cache that we control.

The cache is allocated once for the whole row and written in place, so that a step copies nothing; it can be forked at a
shorter length, which is how contexts that start together share one prefill. Models whose state is no key-value cache
(Mamba, RWKV, hybrids) are scored without a cache: slower, equally exact.
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
            layer.full_keys = _selected(self.full_keys, rows, length)
            layer.full_values = _selected(self.full_values, rows, length)
        return layer

    def restore(self, keys: Tensor, values: Tensor, length: int) -> None:
        """Take the first `length` positions from arrays that hold these rows, and maybe more."""
        assert self.full_keys is not None
        assert self.full_values is not None
        self.length = length
        self.full_keys[:, :, :length] = keys[: len(self.full_keys), :, :length]
        self.full_values[:, :, :length] = values[: len(self.full_values), :, :length]


def _selected(full: Tensor, rows: Tensor, length: int) -> Tensor:
    chosen = full.new_empty((len(rows), *full.shape[1:]))
    chosen[:, :, :length] = full[rows, :, :length]
    return chosen


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
    """Rows without a cache: every feed runs the whole history again."""

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
    """A loaded transformers model, split into body (states) and head (logits)."""

    def __init__(self, network: Any, vocabulary: int, device: torch.device) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.device = device
        self.dtype = next(network.parameters()).dtype
        text = network.config.get_text_config()
        kinds = set(getattr(text, "layer_types", None) or ["attention"])
        self.cached = not getattr(network, "_is_stateful", False) and kinds <= _ATTENTION_ONLY
        self.layers = int(text.num_hidden_layers)
        self._kept: int | None = None  # the layer, if it is another tensor than that which the head reads
        self._output = network.get_output_embeddings()
        self._scratch = Scratch()
        self._head = self._exact_head()

    @torch.inference_mode()
    def _exact_head(self) -> Callable[[Tensor], Tensor] | None:
        """The first way from the body's states to logits that reproduces the network's own answer bit for bit.

        The output matrix alone serves most models; where logits are scaled, capped or projected, the network's own
        forward is run around a body that returns given states. None: states are the logits themselves.
        """
        probe = (torch.arange(12, device=self.device) * 7919 % self.vocabulary)[None]
        whole = self.network(input_ids=probe, use_cache=False).logits[0]
        states = self.network.base_model(input_ids=probe, use_cache=False).last_hidden_state[0]
        for head in (self._scratch_head, self._matrix_head, self._own_head):
            try:
                if torch.equal(head(states).to(whole.device), whole):
                    return head
            except (RuntimeError, TypeError, ValueError, AttributeError):
                continue  # shapes do not fit: this architecture is not split that way
        return None

    def _scratch_head(self, states: Tensor) -> Tensor:
        weight = self._output.weight
        if type(self._output) is not torch.nn.Linear or self._output.bias is not None or weight.device.type != "cpu":
            raise TypeError("not a bare matrix on a CPU")
        return torch.mm(states, weight.T, out=self._scratch.take(states, len(states), len(weight)))

    def _matrix_head(self, states: Tensor) -> Tensor:
        device = self._output.weight.device
        return self._output(
            states if device.type == "meta" else states.to(device)
        )  # meta: offloaded, fetched by a hook

    def _own_head(self, states: Tensor) -> Tensor:
        body = self.network.base_model
        hooked = body.__dict__.get("forward")  # accelerate's, where the body is offloaded
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
        """Nothing is kept."""

    def keep(self, layer: int) -> None:
        self._kept = None if layer == self.layers and self._head is not None else layer

    def states(self, tokens: Tensor, cache: Cache | None, last: int) -> tuple[Tensor, Tensor]:
        """States [rows, last, width] of the last tokens of [rows, k], which follow what `cache` holds.

        Returns:
            What the head reads, and the kept layer's: the same tensor but for another layer than the last.
        """
        arguments = {"input_ids": tokens.to(self.device), "past_key_values": cache, "use_cache": cache is not None}
        if self._kept is not None:  # as fast as a hook on that layer, and right for every architecture
            arguments["output_hidden_states"] = True
        if self._head is None:
            found = self.network(**arguments, logits_to_keep=last)
            states = found.logits[:, -last:]
        else:
            found = self.network.base_model(**arguments)
            states = found.last_hidden_state[:, -last:]
        kept = states if self._kept is None else found.hidden_states[self._kept][:, -last:]
        return states, kept.to(self.device)  # with a device map, layers are on several

    @torch.inference_mode()
    def head(self, states: Tensor) -> Tensor:
        return (states if self._head is None else self._head(states)).float()

    def start(self, rows: int, capacity: int) -> Session:
        if not self.cached:
            return RecomputingSession(self, torch.empty((rows, 0), dtype=torch.int64, device=self.device))
        return CachedSession(self, [FixedLayer(capacity) for _ in range(self.layers)], capacity)


@torch.inference_mode()
def load_causal(folder: str, card: ModelCard, options: LoadOptions, **extra: Any) -> Model:
    """Load a causal model from `folder` for scoring.

    Raises:
        ModelError: transformers cannot load it, a weight is absent or of another shape, or its embedding does not have
            the vocabulary its card states.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers.utils import logging

    device = pick_device(options.device)
    if options.device_map is not None:
        extra["device_map"] = options.device_map
    logging.disable_progress_bar()
    try:
        network, found = AutoModelForCausalLM.from_pretrained(
            folder,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below: transformers only says that there are some
            dtype=getattr(torch, options.dtype),
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
            use_safetensors=None if "gguf_file" in extra else True,
            **extra,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, StrictDataclassError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        raise ModelError(f"{card.spec!r} cannot be loaded as a causal language model: {reason}") from error
    unfilled = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])})
    if unfilled:
        raise ModelError(
            f"{card.spec!r} lacks {len(unfilled)} of its weights or has them in another shape than it states (first: "
            f"{unfilled[0]}), and random numbers would stand in for them; fetch or convert the model again."
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
    return CausalModel(network, card.vocabulary, device)


def _input_device(embeddings: Any) -> torch.device:
    """Where tokens go: an offloaded embedding is on no device but while it is used."""
    used_on = getattr(getattr(embeddings, "_hf_hook", None), "execution_device", None)
    return embeddings.weight.device if used_on is None else torch.device(used_on)
