"""How long a piece of a sequence a model recites, whatever part of the sequence it is prompted with.

Source: P3. The sequence s is cut anywhere: run(s, i, k) is the number of tokens recited greedily after the prompt
s[i:i+k] alone, at most `cap`, and V(s) the longest run over all k and all starts i that leave k + cap tokens (the last
such start included, which the paper's code leaves out).

Runs are read by teacher forcing: a greedy continuation equals the sequence up to its first miss, so the true tokens can
be fed. All prompts with one start share a pass, because what a causal model says of a token depends on the ones before
it only. Exact, on token ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.errors import OptionError
from mematlas.models.base import Model, ModelCard
from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, Ids, TokenRows

LONGEST_COPY: Final = 5
"""Runs of more tokens that stand in the prompt, too, are marked as copied (P3: more than 5)."""


@dataclass(frozen=True, slots=True)
class Recital:
    """length: tokens of every sequence, the first ones of its row; prompts: values of k; cap: of a run."""

    length: int
    prompts: tuple[int, ...] = (8, 16, 32, 64)
    cap: int = 64

    def __post_init__(self) -> None:
        if not self.prompts or min(*self.prompts, self.cap) < 1 or not self.cells:
            raise OptionError(
                f"Sequences of {self.length} tokens have no place for a prompt of {min(self.prompts, default=0)} and "
                f"{self.cap} more; take longer sequences, shorter prompts, or a smaller cap."
            )

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """Start and length of every prompt."""
        return tuple((i, k) for k in sorted(self.prompts) for i in range(self.length - k - self.cap + 1))


def measure_recital(
    network: Any, tokens: NDArray[Any], recital: Recital, device: torch.device
) -> dict[str, NDArray[np.float64]]:
    """V, whether it is copied (0 or 1), and the cap, for each of `tokens` [sequences, at least recital.length]."""
    vocabulary = network.get_input_embeddings().weight.shape[0]
    return recite(CausalModel(network, vocabulary, device), tokens, recital)


def recite(model: Model, tokens: NDArray[Any], recital: Recital) -> dict[str, NDArray[np.float64]]:
    """As `measure_recital`, with any causal model."""
    sequences = np.asarray(tokens[:, : recital.length], dtype=np.int64)
    hits = _hits_after_starts(model, sequences, recital)
    found = [_longest(sequence, hit, recital) for sequence, hit in zip(sequences.tolist(), hits, strict=True)]
    lengths, copied = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    return {"V": lengths, "copied": copied, "cap": np.full(len(sequences), float(recital.cap))}


def _hits_after_starts(model: Model, sequences: Ids, recital: Recital) -> NDArray[np.bool_]:
    """Whether a model that reads s[i:p] names s[p]: [sequences, starts, length], False where that is not asked."""
    count, length = sequences.shape
    shortest = min(recital.prompts)
    starts = 1 + max(start for start, _ in recital.cells)
    rows = np.zeros((count, starts, length), dtype=np.int64)
    for start in range(starts):
        rows[:, start, : length - start] = sequences[:, start:]
    lengths = np.tile(length - np.arange(starts), count)
    continuations = tuple(sorted({recital.cap, length - shortest}))
    options = ScoringOptions(Grid((shortest,), continuations), depth="verbatim", signals=("truth",))
    engine = Engine(model, ModelCard("recital", "recital", "", model.vocabulary), options)
    hits = np.zeros((count * starts, length), dtype=bool)
    # a row that ends early is scored as far as it goes
    for result in engine.score(TokenRows(rows.reshape(-1, length), lengths), np.arange(count * starts)):
        hit = result.truth["hit"]
        hits[result.rows, 1 : 1 + hit.shape[1]] = hit
    hits = hits.reshape(count, starts, length)
    for start in range(starts):  # back from the position after the start to that in the sequence
        hits[:, start] = np.roll(hits[:, start], start, axis=1)
    return hits


def _longest(sequence: Sequence[int], hits: NDArray[np.bool_], recital: Recital) -> tuple[int, bool]:
    """V of a sequence, from its `hits` [starts, length], and whether every prompt that reaches it holds the answer."""
    runs: dict[tuple[int, int], int] = {}
    for start, prompt in recital.cells:
        after = hits[start, start + prompt : start + prompt + recital.cap]
        runs[start, prompt] = int(np.cumprod(after).sum())
    longest = max(runs.values())
    reached = [cell for cell, run in runs.items() if run == longest]
    is_copy = longest > LONGEST_COPY and all(_holds_answer(sequence, *cell, longest) for cell in reached)
    return longest, is_copy


def _holds_answer(sequence: Sequence[int], start: int, prompt: int, run: int) -> bool:
    """Whether the recited tokens stand in the prompt."""
    end = start + prompt
    answer = sequence[end : end + run]
    return any(sequence[i : i + run] == answer for i in range(start, end - run + 1))
