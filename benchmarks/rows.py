"""Shared by the benchmarks: a model for the engine, scores as arrays, token rows, and Markdown tables."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from generate_oracle import greedy_text
from numpy.typing import NDArray

from mematlas.models.base import ModelCard
from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.records.tables import score_table, signal_tables
from mematlas.types import Ids, TokenRows


@dataclass(frozen=True)
class Scores:
    """Scores of every cell, [rows, contexts, continuations]; matches -1 where null, margin +inf where null."""

    matches: NDArray[np.int64]
    verbatim: NDArray[np.int64]
    margin: NDArray[np.float64]


@torch.inference_mode()
def engine_model(network: Any) -> CausalModel:
    """The network as a model for the engine; every logit may be chosen, as in `generate`."""
    network.eval()
    return CausalModel(network, int(network.config.vocab_size), next(network.parameters()).device)


def score(model: CausalModel, rows: Ids, options: ScoringOptions) -> Scores:
    """Score complete rows through the engine and build the tables, as `mematlas score` does for a shard."""
    length = getattr(model.network.config, "max_position_embeddings", None)
    card = ModelCard("benchmark", "benchmark", "benchmark", model.vocabulary, max_length=length)
    ids = np.arange(len(rows))
    results = Engine(model, card, options).score(TokenRows(rows, np.full(len(rows), rows.shape[1])), ids)
    table = score_table(card.label, ids, results, options)
    signal_tables(card.label, ids, results, options)
    shape = (len(rows), len(options.grid.contexts), len(options.grid.continuations))
    columns = {
        name: table[name].combine_chunks().fill_null(missing).to_numpy(zero_copy_only=False).reshape(shape)
        for name, missing in (("matches", -1), ("verbatim", -1), ("margin", math.inf))
    }
    return Scores(
        columns["matches"].astype(np.int64), columns["verbatim"].astype(np.int64), columns["margin"].astype(np.float64)
    )


def zipf_tokens(shape: tuple[int, ...], vocabulary: int, seed: int) -> Ids:
    """Token ids with probability proportional to 1 / (rank + 10); ranks are assigned to ids at random."""
    rng = np.random.default_rng(seed)
    weight = 1.0 / (np.arange(vocabulary) + 10.0)
    return rng.permutation(vocabulary)[rng.choice(vocabulary, size=shape, p=weight / weight.sum())].astype(np.int64)


def with_greedy_text(network: Any, rows: Ids, start: int, context: int, batch: int) -> Ids:
    """The rows with everything after tokens `start` .. `start + context - 1` replaced by the model's greedy text."""
    split = start + context
    prompts = torch.from_numpy(np.ascontiguousarray(rows[:, start:split]))
    text = greedy_text(network, prompts, rows.shape[1] - split, batch)
    return np.concatenate([rows[:, :split], text.numpy()], axis=1)


def perturb(rows: Ids, vocabulary: int, max_changes: int, rng: np.random.Generator, first: int = 0) -> Ids:
    """The rows, each with one to `max_changes` tokens at random positions from `first` on replaced by other tokens."""
    rows = rows.copy()
    for row in rows:
        positions = rng.integers(first, len(row), size=int(rng.integers(1, max_changes + 1)))
        row[positions] = (row[positions] + rng.integers(1, vocabulary, size=len(positions))) % vocabulary
    return rows


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, ending with a newline."""
    lines = [list(header), ["---"] * len(header), *([str(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
