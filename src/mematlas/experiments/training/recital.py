"""How long a piece of a sequence a model recites, whatever part of the sequence it is prompted with.

Source: P3. The sequence s is cut anywhere: run(s, i, k) is the number of tokens recited greedily after the prompt
s[i:i+k] alone, at most `cap`, and V(s) the longest run over all k and all starts i that leave k + cap tokens (the last
such start included, which the paper's code leaves out).

Runs are read by teacher forcing: a greedy continuation equals the sequence up to its first miss, so the true tokens can
be fed. All prompts with one start share a pass, because what a causal model says of a token depends on the ones before
it only; logits are computed only for the next token of runs that have not ended. Exact, on token ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.errors import OptionError
from mematlas.models.base import Model
from mematlas.models.causal import CausalModel
from mematlas.models.cuda.waiting import steps_between_reads
from mematlas.scoring.engines.readout import Readout
from mematlas.types import Ids

LONGEST_COPY: Final = 5
"""Runs of more tokens that stand in the prompt, too, are marked as copied (P3: more than 5)."""

#: Pieces of sequences that are in memory at the same time.
_MAX_WINDOWS: Final = 128


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
    at_once = max(1, _MAX_WINDOWS // _starts(recital))
    parts = [_runs(model, sequences[at : at + at_once], recital) for at in range(0, len(sequences), at_once)]
    found = [_longest(list(s), runs, recital) for s, runs in zip(sequences, np.concatenate(parts), strict=True)]
    lengths, copied = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    return {"V": lengths, "copied": copied, "cap": np.full(len(sequences), float(recital.cap))}


def _starts(recital: Recital) -> int:
    return 1 + max(start for start, _ in recital.cells)


@torch.inference_mode()
def _runs(model: Model, sequences: Ids, recital: Recital) -> Ids:
    """Tokens recited after every prompt: [sequences, cells]."""
    count, length = sequences.shape
    starts = _starts(recital)
    windows = np.zeros((count, starts, length), dtype=np.int64)  # s[start:], and then what no token before it sees
    for start in range(starts):
        windows[:, start, : length - start] = sequences[:, start:]
    cells = np.array(recital.cells)
    window = (np.arange(count)[:, None] * starts + cells[:, 0]).reshape(-1)
    runs = _followed(model, windows.reshape(-1, length), window, np.tile(cells[:, 1], count), recital.cap)
    return runs.reshape(count, len(cells))


def _followed(model: Model, windows: Ids, window: Ids, place: Ids, cap: int) -> Ids:
    """Tokens recited from a place on, at most `cap`: [runs].

    Args:
        windows: true tokens, each fed once, [windows, length]; window, place: of every run its window, and the place
            in it of the first token to recite, [runs].
    """
    readout = Readout(model)
    fed = torch.from_numpy(windows).to(model.device)
    states = model.start(len(fed), fed.shape[1]).feed(fed)
    at, places = (torch.from_numpy(values).to(model.device) for values in (window, place))
    runs = torch.zeros(len(at), dtype=torch.int64, device=model.device)
    alive, every = torch.arange(len(at), device=model.device), steps_between_reads(model.device)
    recites = torch.ones_like(alive, dtype=torch.bool)  # whether each of `alive` has missed none so far
    for done in range(cap):
        here, next_place = at[alive], places[alive] + done
        token = readout.choose(states[here, next_place - 1])["token"]
        recites = recites & (token == fed[here, next_place])
        runs.index_add_(0, alive, recites.long())
        if (done + 1) % every == 0:
            alive = alive[recites]
            recites = torch.ones_like(alive, dtype=torch.bool)
            if not len(alive):
                break
    return runs.cpu().numpy()


@torch.inference_mode()
def recited_after(model: Model, prompts: Sequence[Ids], truths: Sequence[Ids]) -> Ids:
    """How many tokens of each truth the model recites greedily after its prompt alone: [prompts].

    Prompts may be any tokens, also ones that stand before the truth nowhere. Those of equal lengths share a pass.

    Args:
        prompts, truths: token ids of each, neither of them empty.
    """
    sizes = [(len(prompt), len(truth)) for prompt, truth in zip(prompts, truths, strict=True)]
    runs = np.zeros(len(sizes), dtype=np.int64)
    for size in sorted(set(sizes)):
        members = np.array([number for number, other in enumerate(sizes) if other == size])
        for start in range(0, len(members), _MAX_WINDOWS):
            part = members[start : start + _MAX_WINDOWS]
            windows = np.stack([np.concatenate([prompts[number], truths[number]]) for number in part])
            places = np.full(len(part), size[0])
            runs[part] = _followed(model, windows.astype(np.int64), np.arange(len(part)), places, size[1])
    return runs


def _longest(sequence: Sequence[int], runs: Ids, recital: Recital) -> tuple[int, bool]:
    """V of a sequence, from its `runs` [cells], and whether every prompt that reaches it holds the answer."""
    longest = int(runs.max())
    reached = [recital.cells[cell] for cell in np.flatnonzero(runs == longest)]
    is_copy = longest > LONGEST_COPY and all(_holds_answer(sequence, *cell, longest) for cell in reached)
    return longest, is_copy


def _holds_answer(sequence: Sequence[int], start: int, prompt: int, run: int) -> bool:
    """Whether the recited tokens stand in the prompt."""
    end = start + prompt
    answer = sequence[end : end + run]
    return any(sequence[i : i + run] == answer for i in range(start, end - run + 1))
