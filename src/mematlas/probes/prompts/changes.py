"""Prompts with some tokens replaced, taken out, or in other places (K8, whose formulas are not published: our choice).

    substitute    tokens become others that are about as frequent in the corpus
    delete        tokens are taken out; the rest stays aligned at the end, where the continuation follows
    swap          pairs of tokens change places
    shuffle       chosen tokens are put into each other's places at random; some may stay

A change of strength s is about s * C of the prompt's C tokens, rounded to the nearest whole number. It depends on the
seed, the row, the kind of change and the draw alone, and one of a higher strength changes the same tokens and more.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import CorpusError
from mematlas.probes.prompts.config import CHANGES, PARTS, Change, Part
from mematlas.types import Ids

TOO_MANY: Final = "more tokens than this half of the prompt has"
NOTHING_LEFT: Final = "no token of the prompt is left"


class Substitutes:
    """For each token, others of its class of frequency: those seen 2^j to 2^(j+1) - 1 times. One that was not seen
    belongs to those seen once.

    Args:
        tokens: of the corpus, any shape.

    Raises (constructor):
        CorpusError: all are the same token.
    """

    def __init__(self, tokens: Ids) -> None:
        ids, counts = np.unique(tokens, return_counts=True)
        if len(ids) < 2:
            raise CorpusError("The corpus has one token only, so that none can replace it; leave substitute out.")
        levels = np.floor(np.log2(counts)).astype(np.int64)
        order = np.lexsort((ids, levels))
        self._ids, self._levels = ids[order], levels[order]
        self._level_of = dict(zip(ids.tolist(), levels.tolist(), strict=True))

    def pick(self, token: int, chance: float) -> int:
        """A token of the same class, each equally likely; chance: from 0 to below 1, uniform. If the class has no other
        token, one of the nearest classes on both sides."""
        level, reach = self._level_of.get(token, 0), 0
        while True:
            start = np.searchsorted(self._levels, level - reach)
            stop = np.searchsorted(self._levels, level + reach, side="right")
            others = self._ids[start:stop]
            others = others[others != token]
            if len(others):
                return int(others[int(chance * len(others))])
            reach += 1


@dataclass(frozen=True, slots=True, eq=False)
class ChangedPrompt:
    """tokens: of the prompt after a change; displacement: mean distance of its tokens from their places before, over
    the prompt's length, where places count from the end; reason: why there is none, None if there is."""

    tokens: Ids
    displacement: float
    reason: str | None = None


def change_prompt(
    prompt: Ids, change: Change, part: Part, strength: float, seed: list[int], substitutes: Substitutes | None
) -> ChangedPrompt:
    """One prompt, changed; `prompt` stays as it is.

    Args:
        prompt: token ids, [C]; strength: from 0 to 1; seed: of the row and the draw; substitutes: for "substitute".
    """
    length = len(prompt)
    places = part_places(length, part)
    count = int(np.floor(strength * length + 0.5))
    if count > len(places):
        return ChangedPrompt(prompt[:0], np.nan, TOO_MANY)
    random = np.random.default_rng([*seed, CHANGES.index(change), PARTS.index(part)])
    order, chances = random.permutation(places), random.random(length)
    tokens, source = prompt.copy(), np.arange(length)
    if change == "substitute":
        assert substitutes is not None
        for place in order[:count]:
            tokens[place] = substitutes.pick(int(prompt[place]), float(chances[place]))
        return ChangedPrompt(tokens, 0.0)
    if change == "delete":
        source = np.delete(source, order[:count])
    elif change == "swap":
        pairs = order[: min(2 * ((count + 1) // 2), len(order) // 2 * 2)].reshape(-1, 2)
        source[pairs] = pairs[:, ::-1]
    else:
        source[order[:count]] = _shuffled(order[:count], chances)
    if not len(source):
        return ChangedPrompt(prompt[:0], np.nan, NOTHING_LEFT)
    moved = np.abs(np.arange(length - len(source), length) - source)
    return ChangedPrompt(prompt[source], float(moved.mean() / length))


def _shuffled(places: Ids, chances: NDArray[np.float64]) -> Ids:
    """The places in a random order."""
    return places[np.argsort(chances[places], kind="stable")]


def part_places(length: int, part: Part) -> Ids:
    """The places of a part of a prompt of `length` tokens; the middle one of an odd number belongs to the near half."""
    half = length // 2
    return {"whole": np.arange(length), "far": np.arange(half), "near": np.arange(half, length)}[part]
