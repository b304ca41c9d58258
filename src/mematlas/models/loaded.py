"""A causal model that is in memory already, such as one in training: how it is scored without leaving a trace in it.

whole model (DistributedDataParallel, torch.compile, PEFT, ...)  ->  causal_network  ->  its network of transformers
                                                                      undisturbed    ->  in evaluation mode, for now
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from mematlas.errors import ModelError
from mematlas.models.base import Dtype, LoadOptions, Model, ModelCard
from mematlas.models.causal import CausalModel
from mematlas.models.causality import check_causal
from mematlas.models.huggingface import configured
from mematlas.types import Encoder

#: Numbers of each parameter that the fingerprint reads: enough to tell two steps of a training apart, and fast.
_HASHED_NUMBERS: Final = 4096


class LoadedModel:
    """A model source whose model is loaded: the counterpart of `FolderSource`.

    Args:
        model: a causal model of transformers, also inside DistributedDataParallel, torch.compile or peft's LoRA.
        label: its label in tables; by default the name that it was loaded from.
        training_step: optimizer steps that it was trained for, None if unknown.

    Raises:
        ModelError: it is no such model, its weights are spread over processes in a way that cannot be scored, or an
            adapter changes its input.
    """

    def __init__(self, model: nn.Module, label: str | None = None, training_step: int | None = None) -> None:
        self.network = causal_network(model)
        text = self.network.config.get_text_config()
        name = model_name(self.network)
        step = "" if training_step is None else f", step {training_step}"
        generation = getattr(self.network, "generation_config", None)
        self.card = ModelCard(
            label=label or name,
            spec=f"{name} in memory{step}",  # which no folder and no hub id is called
            fingerprint=_digest_weights(self.network),
            vocabulary=text.vocab_size,
            parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            training_step=training_step,
            **configured(text.to_dict(), {} if generation is None else generation.to_dict()),
        )

    @property
    def dtype(self) -> Dtype:
        """The number type that the weights are in."""
        name = str(next(self.network.parameters()).dtype).removeprefix("torch.")
        return "bfloat16" if name == "bfloat16" else "float16" if name == "float16" else "float32"

    def encoder(self) -> Encoder | None:
        """None: a loaded model has no tokenizer of its own."""
        return None

    def load(self, options: LoadOptions) -> Model:
        """The model where and as it is, whatever the options say; call it, and use the model, in `undisturbed` only.

        Raises:
            ModelError: its predictions depend on later tokens.
        """
        device = self.network.get_input_embeddings().weight.device
        is_sharded = _is_sharded(self.network)
        if is_sharded:
            # gather the weights: what is gathered in inference mode for the first time cannot be trained with
            with torch.no_grad():
                self.network(input_ids=torch.zeros((1, 1), dtype=torch.int64, device=device))
        check_causal(self.network, self.card.vocabulary, device, self.card.spec, self.card.max_length)
        return CausalModel(self.network, self.card.vocabulary, device, whole=is_sharded)


def model_name(network: Any) -> str:
    """The last part of the name that the network was loaded from, or the kind of network if it was loaded from none."""
    path = str(getattr(network.config, "_name_or_path", ""))
    return path.rstrip("/").split("/")[-1] or str(network.config.model_type)


def causal_network(model: Any) -> Any:
    """The network of transformers inside what training wraps around it; adapters such as LoRA stay active in it.

    Raises:
        ModelError: see `LoadedModel`.
    """
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):  # torch.compile
            model = model._orig_mod
        elif hasattr(model, "get_base_model"):  # peft
            model = _without_adapter_class(model)
        else:
            break
    kind = type(model).__name__
    if not (hasattr(model, "get_output_embeddings") and hasattr(getattr(model, "config", None), "get_text_config")):
        raise ModelError(
            f"A {kind} is no model of transformers; give a causal one, such as AutoModelForCausalLM loads."
        )
    if model.get_output_embeddings() is None:
        raise ModelError(f"A {kind} predicts no tokens; give a causal language model (AutoModelForCausalLM).")
    if not _is_sharded(model) and any(_is_spread(parameter) for parameter in model.parameters()):
        raise ModelError(
            f"The weights of this {kind} are spread over processes in a way that cannot be measured (DeepSpeed ZeRO-3, "
            "FSDP 1, FSDP around an adapter); use FSDP 2, or score the saved checkpoints after training."
        )
    return model


def _without_adapter_class(model: Any) -> Any:
    """The network that peft changed in place."""
    config = getattr(model, "active_peft_config", None)
    if config is not None and config.is_prompt_learning:
        raise ModelError(
            f"The adapter {config.peft_type.value} puts tokens of its own before every prompt, so that the network "
            "cannot be asked alone; measure an adapter that changes weights, such as LoRA."
        )
    return model.get_base_model()


def _is_sharded(network: Any) -> bool:
    """Whether FSDP 2 spreads the weights over processes and gathers them whenever the network is called."""
    return isinstance(network, FSDPModule)


def _is_spread(parameter: Tensor) -> bool:
    return hasattr(parameter, "ds_id") or type(parameter).__name__ in ("DTensor", "FlatParameter") or parameter.is_meta


@torch.no_grad()
def _digest_weights(network: nn.Module) -> str:
    """A hash of the names, shapes and types of the parameters, and of evenly spaced numbers of each, or of the part of
    each that this process has."""
    digest = hashlib.blake2b(digest_size=16)
    for name, parameter in network.named_parameters():
        digest.update(repr((name, tuple(parameter.shape), str(parameter.dtype))).encode())
        flat = (parameter.to_local() if isinstance(parameter, DTensor) else parameter).detach().reshape(-1)
        sample = flat[:: max(1, len(flat) // _HASHED_NUMBERS)].contiguous()
        digest.update(sample.view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def undisturbed(network: Any) -> Iterator[None]:
    """Put the network into evaluation mode; afterwards it and all random states are what they were before.

    accelerate's mixed precision, which replaces `forward`, is taken off as well: a network whose weights are float32 is
    scored in float32. Rotary frequencies that follow the longest text so far (`dynamic`) go on from where they were.
    """
    training = [module for module in network.modules() if module.training]
    wrapped = network.__dict__.get("forward") if hasattr(network, "_original_forward") else None
    rotary = [_rotary_state(module) for module in network.modules() if hasattr(module, "max_seq_len_cached")]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = {parameter.device for parameter in network.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        try:
            network.eval()
            if wrapped is not None:
                network.forward = network._original_forward
            yield
        finally:
            if wrapped is not None:
                network.forward = wrapped
            for module in training:
                module.training = True
            for module, attributes, buffers in rotary:
                vars(module).update(attributes)
                module._buffers.update(buffers)
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _rotary_state(module: nn.Module) -> tuple[nn.Module, dict[str, Any], dict[str, Tensor | None]]:
    """A module of rotary positions, its attributes and its buffers, which the module replaces and never changes."""
    attributes = {name: value for name, value in vars(module).items() if name not in ("_buffers", "training")}
    return module, attributes, dict(module._buffers)
