"""The prompts of a stress test: the original one of each row, and others that begin, end or read differently (P3).

    row          z_0 ... z_{C-1} | z_C ... z_{C+K-1} ...
    original     z_0 ... z_{C-1}                       asks for z_C ...
    later start  z_i ... z_{C-1}                       asks for the same
    shifted      z_i ... z_{C+i-1}                     asks for z_{C+i} ...
    longer       z_0 ... z_{C+i-1}                     asks for z_{C+i} ...
    tokens       the original with i tokens of a random row in their places
    synonyms     the original with words replaced, by a map
    relearned    the original, asked after some steps of training

At most K tokens can be recited after each. Where a row ends earlier, fewer can; a prompt before fewer tokens than count
as recited is not asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from mematlas.auditing.stress.config import StressConfig
from mematlas.auditing.stress.rows import StressRow
from mematlas.auditing.stress.synonyms import Synonyms, replaced_prompts
from mematlas.types import Ids

ORIGINAL: Final = "original"
RELEARNED: Final = "relearned"
PERTURBATIONS: Final = (ORIGINAL, "later start", "shifted", "longer", "tokens", "synonyms", RELEARNED)
TOO_SHORT: Final = "too few tokens after the prompt, in the row or in what the model reads"
NOTHING_LEFT: Final = "the prompt has no more tokens"
NO_WORD: Final = "no word of the map in the prompt"
SAME_TOKENS: Final = "the random row has the same tokens"


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One question to a model.

    row: what it is about; strength: tokens, words or steps; draw: number of a random choice, from 0; tokens, truth: the
    prompt and what should follow it; reason: why it is not asked, None if it is.
    """

    row: StressRow
    perturbation: str
    strength: int
    draw: int
    tokens: Ids
    truth: Ids
    reason: str | None = None


def prompt_name(perturbation: str, strength: int) -> str:
    """What people call a prompt, such as "starts 4 later"; all numbers of words but one are named alike."""
    return {
        ORIGINAL: "original prompt",
        "later start": f"starts {strength} later",
        "shifted": f"shifted by {strength}",
        "longer": f"{strength} longer",
        "tokens": f"{strength} token{'s' * (strength != 1)} replaced",
        "synonyms": "1 word replaced" if strength == 1 else "all words replaced",
        RELEARNED: f"relearned, {strength} steps",
    }[perturbation]


def prompts_of(row: StressRow, config: StressConfig, synonyms: Synonyms | None, most: int | None) -> list[Prompt]:
    """All prompts of a row, the original first; of a kept row it alone.

    most: tokens that the models read at a time, None without a limit.
    """
    original = _asked(row, config, most, ORIGINAL, 0, 0, config.context)
    if row.role == "kept":
        return [original]
    parts = [_later(row, config, original), _moved(row, config, most), _with_tokens(row, config, original)]
    if synonyms is not None:
        parts.append(_with_words(row, config, original, synonyms, most))
    return [original, *(prompt for part in parts for prompt in part)]


def _asked(
    row: StressRow, config: StressConfig, most: int | None, perturbation: str, strength: int, start: int, stop: int
) -> Prompt:
    """The prompt of the row's tokens start .. stop - 1."""
    end = stop + config.continuation if most is None else min(stop + config.continuation, start + most)
    tokens, truth = row.tokens[start:stop], row.tokens[stop : max(stop, end)]
    is_short = len(truth) < config.threshold or len(tokens) < stop - start
    return Prompt(row, perturbation, strength, 0, tokens, truth, TOO_SHORT if is_short else None)


def _later(row: StressRow, config: StressConfig, original: Prompt) -> Iterator[Prompt]:
    for shift in config.shifts:
        reason = NOTHING_LEFT if shift >= config.context else original.reason
        yield Prompt(row, "later start", shift, 0, original.tokens[shift:], original.truth, reason)


def _moved(row: StressRow, config: StressConfig, most: int | None) -> Iterator[Prompt]:
    for shift in config.shifts:
        yield _asked(row, config, most, "shifted", shift, shift, config.context + shift)
    for shift in config.shifts:
        yield _asked(row, config, most, "longer", shift, 0, config.context + shift)


def _with_tokens(row: StressRow, config: StressConfig, original: Prompt) -> Iterator[Prompt]:
    """Prompts with tokens of random rows; those with more have the ones with fewer in them."""
    for strength in config.substitutions:
        for draw, donor in enumerate(row.donors):
            random = np.random.default_rng([config.seed, row.row, draw])
            other = np.flatnonzero((donor >= 0) & (donor != original.tokens))
            places = random.permutation(other)[:strength]
            tokens = original.tokens.copy()
            tokens[places] = donor[places]
            reason = SAME_TOKENS if len(places) < strength else original.reason
            yield Prompt(row, "tokens", strength, draw, tokens, original.truth, reason)


def _with_words(
    row: StressRow, config: StressConfig, original: Prompt, synonyms: Synonyms, most: int | None
) -> Iterator[Prompt]:
    places = synonyms.found_in(original.tokens)
    if not places:
        yield Prompt(row, "synonyms", 1, 0, original.tokens, original.truth, NO_WORD)
        return
    random = np.random.default_rng([config.seed, row.row])
    for draw, (words, tokens) in enumerate(replaced_prompts(original.tokens, places, config.draws, random)):
        truth = original.truth if most is None else original.truth[: max(0, most - len(tokens))]
        reason = TOO_SHORT if len(truth) < config.threshold else original.reason
        yield Prompt(row, "synonyms", words, draw, tokens, truth, reason)
