"""The networks that arms train, and their checkpoints: ordinary Hugging Face folders with one more file.

step-000191/  config.json, model.safetensors, tokenizer.json ...   as `save_pretrained` writes them
              mematlas.json   training_step, presentations, parameters, seed, data (a digest of all rows shown so far)
              optimizer.safetensors   Adam's moments by parameter name, if the arm keeps them
              adapter/                the adapter alone, if the arm trains one; the weights beside it contain it
"""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BertConfig, GPTNeoXConfig, PreTrainedTokenizerBase
from transformers.utils import logging

from mematlas.errors import MissingExtra, ModelError, StudyError
from mematlas.experiments.design.config import Size
from mematlas.experiments.folders import atomic_folder
from mematlas.study import write_json

if TYPE_CHECKING:
    from mematlas.experiments.training.arm import Arm, Lora

FACTS = "mematlas.json"

_GLOBAL_STATE_LOCK = threading.Lock()
"""torch's random state and transformers' settings are global: only one training at a time may change them."""


def neox_config(size: Size, vocabulary: int, row_length: int) -> GPTNeoXConfig:
    """The configuration of a GPT-NeoX model of this size, without dropout."""
    return GPTNeoXConfig(**_shape(size, vocabulary, row_length))


def bert_config(size: Size, vocabulary: int, row_length: int) -> BertConfig:
    """The configuration of a BERT (Devlin et al. 2019) of this size, without dropout and sentence pairs."""
    return BertConfig(
        **_shape(size, vocabulary, row_length),
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=None,
    )


def _shape(size: Size, vocabulary: int, row_length: int) -> dict[str, int]:
    """What configurations of all architectures have."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": 4 * size.hidden,
        "max_position_embeddings": row_length,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def bert_parameters(size: Size, vocabulary: int, row_length: int) -> int:
    """Weights and biases of `bert_config`: one embedding for reading and naming tokens, one for positions."""
    width = size.hidden
    blocks = size.layers * (12 * width**2 + 13 * width)
    return (vocabulary + row_length + 1) * width + 2 * width + blocks + width**2 + 3 * width + vocabulary


def build_network(arm: "Arm") -> Any:
    """The arm's network before its first step, in float32; torch's random state stays as it is.

    Dropout is off in training, too (the network is in evaluation mode), so that what an arm learns depends on its data
    and its first weights only. With an adapter, the result is peft's model.

    Raises:
        ModelError: the starting folder cannot be loaded.
        MissingExtra: the arm trains an adapter, and peft is not installed.
    """
    auto = AutoModelForCausalLM if arm.objective == "causal" else AutoModelForMaskedLM
    with _GLOBAL_STATE_LOCK, torch.random.fork_rng(devices=[]), _no_progress_bar():
        torch.manual_seed(arm.seed)
        if isinstance(arm.start, Path):
            network = load_network(auto, arm.start)
        else:
            network = auto.from_config(copy.deepcopy(arm.start), dtype=torch.float32)
        if arm.lora is not None:
            network = _with_adapter(network, arm.lora)
    return network.eval()


def load_network(auto: Any, folder: Path) -> Any:
    """The network in a folder, in float32; auto: the class of transformers that loads it.

    Raises:
        ModelError: it cannot be loaded, or lacks weights.
    """
    try:
        with _no_progress_bar():
            network, info = auto.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{folder} cannot be loaded to be trained ({reason}); name a model's folder.") from error
    if info["missing_keys"]:
        raise ModelError(
            f"{folder} lacks weights (first: {min(info['missing_keys'])}), so they would be random; fetch the model "
            "again, or name one of the same kind."
        )
    return network


def _with_adapter(network: Any, lora: "Lora") -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError as error:
        raise MissingExtra("Training an adapter (LoRA) needs peft: pip install peft") from error
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, lora_dropout=0.0)
    return get_peft_model(network, config)


def inner_network(network: Any) -> Any:
    """The network of transformers inside peft's model; the network itself without an adapter."""
    return network.get_base_model() if hasattr(network, "peft_config") else network


def checkpoint_name(step: int) -> str:
    """The folder's name, zero-padded so that names sort by step."""
    return f"step-{step:06d}"


def write_checkpoint(
    folder: Path,
    network: Any,
    tokenizer: PreTrainedTokenizerBase | None,
    facts: dict[str, Any],
    others: dict[str, bytes] | None = None,
) -> None:
    """Write the model, its tokenizer, `facts` and `others` (contents by name) to `folder`, completely or not at all.

    Raises:
        StudyError: the folder cannot be written.
    """
    with _GLOBAL_STATE_LOCK, atomic_folder(folder) as temporary, _no_progress_bar():
        try:
            if hasattr(network, "peft_config"):
                network.save_pretrained(temporary / "adapter")
                copy.deepcopy(network).merge_and_unload().save_pretrained(temporary)
            else:
                network.save_pretrained(temporary)
        except SafetensorError as error:
            raise StudyError(
                f"{folder} cannot be written ({error}); name another folder or free some space."
            ) from error
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
        for name, content in (others or {}).items():
            (temporary / name).write_bytes(content)
        write_json(temporary / FACTS, facts)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Disable transformers' progress bars, which would interfere with the caller's."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
