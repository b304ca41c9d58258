"""What the benchmarks share: a network as the engine takes it, scores as arrays, token rows, and markdown tables."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from generate_oracle import generated
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
    """The network as the engine takes it; all its logits may be chosen, as in `generate`."""
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
    """Token ids with probability proportional to 1 / (rank + 10), ranks dealt to ids at random."""
    rng = np.random.default_rng(seed)
    weight = 1.0 / (np.arange(vocabulary) + 10.0)
    return rng.permutation(vocabulary)[rng.choice(vocabulary, size=shape, p=weight / weight.sum())].astype(np.int64)


def with_own_text(network: Any, rows: Ids, start: int, context: int, batch: int) -> Ids:
    """The rows with everything after tokens `start` .. `start + context - 1` replaced by the model's greedy text."""
    split = start + context
    prompts = torch.from_numpy(np.ascontiguousarray(rows[:, start:split]))
    text = generated(network, prompts, rows.shape[1] - split, batch)
    return np.concatenate([rows[:, :split], text.numpy()], axis=1)


def perturbed(rows: Ids, vocabulary: int, most: int, rng: np.random.Generator, first: int = 0) -> Ids:
    """Each row with one to `most` tokens at random places from `first` on replaced by other tokens."""
    rows = rows.copy()
    for row in rows:
        places = rng.integers(first, len(row), size=int(rng.integers(1, most + 1)))
        row[places] = (row[places] + rng.integers(1, vocabulary, size=len(places))) % vocabulary
    return rows


def markdown(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A markdown table, ending with a newline."""
    rows = [list(head), ["---"] * len(head), *([str(cell) for cell in line] for line in lines)]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)
