"""Tiny networks with random weights, and helpers that many tests need for them."""

from pathlib import Path

import numpy as np
import torch
from generate_oracle import greedy_text
from numpy.typing import NDArray
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from mematlas.models.base import ModelCard
from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.records.tables import score_table
from mematlas.types import Grid, TokenRows

V = 499
Cell = tuple[int, int, int]


def neox(vocabulary: int = V, seed: int = 0, **config_options) -> GPTNeoXForCausalLM:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=128, **(sizes | config_options))
    return GPTNeoXForCausalLM(config).eval()


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    return LlamaForCausalLM(config).eval()


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).eval()


def save_network(network: torch.nn.Module, folder: Path) -> Path:
    """Save the network with save_pretrained; returns the folder."""
    network.save_pretrained(folder)
    return folder


def causal_model(network: torch.nn.Module) -> CausalModel:
    """The network as the engine uses it."""
    with torch.inference_mode():
        return CausalModel(network, network.config.get_text_config().vocab_size, torch.device("cpu"))


def card(vocabulary: int = V, **fields) -> ModelCard:
    return ModelCard("m", "m", "m", vocabulary, **fields)


def partly_recited_rows(
    network: torch.nn.Module, shape: Grid, count: int = 100, *, corrupted: bool = True
) -> NDArray[np.int64]:
    """Random rows, of which nine in ten continue with the network's own greedy text; many of these are corrupted."""
    contexts, width = shape.contexts, shape.width
    random = np.random.default_rng(1)
    vocabulary = network.config.get_text_config().vocab_size
    rows = random.integers(0, vocabulary - 1, (count, width))
    per_context = count * 9 // 10 // len(contexts)
    for number, context in enumerate(contexts):
        part = slice(number * per_context, (number + 1) * per_context)
        split = shape.continuation_start(context)
        prompts = torch.from_numpy(rows[part, split - context : split])
        rows[part, split:] = greedy_text(network, prompts, width - split, 64).numpy()
    for row in range(per_context * len(contexts) if corrupted else 0):
        split = shape.continuation_start(contexts[row // per_context])
        if row % 6 == 0:
            rows[row, split + row // 6 % 2] ^= 1  # recited except one of the first two tokens
        elif row % 6 == 3:
            rows[row, random.integers(split, width)] ^= 1
        elif row % 5 == 0:
            rows[row, random.integers(contexts[0], width)] ^= 1
    return rows.clip(max=vocabulary - 1)


def token_rows(rows: NDArray[np.int64], lengths: list[int] | None = None) -> TokenRows:
    ends = np.full(len(rows), rows.shape[1]) if lengths is None else np.array(lengths)
    return TokenRows(np.where(np.arange(rows.shape[1]) < ends[:, None], rows, 0), ends)


def run_engine(
    model, rows, options: ScoringOptions, lengths: list[int] | None = None, **card_fields
) -> list[ContextResult]:
    engine = Engine(model, card(model.vocabulary, **card_fields), options)
    return engine.score(token_rows(rows, lengths), np.arange(len(rows)))


def score_cells(
    model, rows, options: ScoringOptions, lengths: list[int] | None = None, **card_fields
) -> dict[Cell, dict]:
    """The records of the scores table by (row, context, continuation)."""
    results = run_engine(model, rows, options, lengths, **card_fields)
    table = score_table("m", np.arange(len(rows)), results, options).to_pylist()
    return {(record["row"], record["context"], record["continuation"]): record for record in table}


def grid(contexts, continuations, align="start") -> Grid:
    return Grid(tuple(contexts), tuple(continuations), align)
