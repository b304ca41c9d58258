"""Small GPT-NeoX models and their checkpoints, which are ordinary Hugging Face folders with one more file.

step-000191/  config.json, model.safetensors, tokenizer.json ...   as `save_pretrained` writes them
              mematlas.json   training_step, presentations, parameters, seed, data (a digest of all rows shown so far)
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from mematlas.errors import StudyError
from mematlas.experiments.design.config import Size
from mematlas.experiments.folders import atomic_folder
from mematlas.study import write_json

FACTS = "mematlas.json"

_GLOBAL_STATE_LOCK = threading.Lock()
"""torch's random state and transformers' settings are global: only one training at a time may change them."""


def build_network(size: Size, vocabulary: int, row_length: int, seed: int) -> GPTNeoXForCausalLM:
    """A new model in float32 without dropout; its weights depend only on the seed; torch's random state stays."""
    shape = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.hidden,
        max_position_embeddings=row_length,
        bos_token_id=0,
        eos_token_id=0,
    )
    with _GLOBAL_STATE_LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GPTNeoXForCausalLM(shape)
    assert network.num_parameters() == size.parameters(vocabulary)
    return network


def checkpoint_name(step: int) -> str:
    """The folder's name, zero-padded so that names sort by step."""
    return f"step-{step:06d}"


def write_checkpoint(
    folder: Path, network: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, facts: dict[str, Any]
) -> None:
    """Write the model, its tokenizer and `facts` to `folder`, completely or not at all.

    Raises:
        StudyError: the folder cannot be written.
    """
    with _GLOBAL_STATE_LOCK, atomic_folder(folder) as temporary, _no_progress_bar():
        try:
            network.save_pretrained(temporary)
        except SafetensorError as error:
            raise StudyError(
                f"{folder} cannot be written ({error}); name another folder or free some space."
            ) from error
        tokenizer.save_pretrained(temporary)
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
