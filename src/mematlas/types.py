"""The nouns that travel between the rooms. All frozen; shapes are in the docstrings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Align = Literal["start", "end"]
Depth = Literal["graded", "verbatim"]
EosPolicy = Literal["ignore", "suppress", "stop"]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Contexts x continuations, in tokens, and how a row is cut into them.

    start-aligned (P1):   row = [ C tokens | L tokens | ... ]             every context starts where the row starts
    end-aligned (P9):     row = [ max(C) - C | C tokens | L tokens | ..]  every continuation starts at max(C)
    """

    contexts: tuple[int, ...]
    continuations: tuple[int, ...]
    align: Align = "start"

    def __post_init__(self) -> None:
        for name, values in (("context", self.contexts), ("continuation", self.continuations)):
            if not values or min(values) < 1 or list(values) != sorted(set(values)):
                raise ValueError(f"{name}s must be positive, ascending and distinct, not {values}")

    @property
    def width(self) -> int:
        """How many of a row's first tokens the whole grid reads."""
        return max(self.contexts) + max(self.continuations)

    def continuation_start(self, context: int) -> int:
        """Position in the row where the continuation of `context` starts."""
        return context if self.align == "start" else max(self.contexts)


@dataclass(frozen=True, slots=True)
class TokenRows:
    """The first tokens of some rows.

    ids: [n, width] int64, zero beyond a row's own end; lengths: [n], how many of them the row really has (<= width).
    """

    ids: Ids
    lengths: Ids


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows come from; each list has one entry a row, None where the source does not say.

    document: number of the row's document in its source; source: file or collection; repetitions: how often the row
    was shown in training, where the corpus records it.
    """

    document: list[int | None]
    source: list[str | None]
    repetitions: list[int | None]


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tokenizer as a corpus needs it: `encode` maps texts to lists of token ids, adding no special token.

    decode: maps token ids to a text each, as it stands inside a line; bytes that are no whole character alone become
    the replacement sign.
    """

    name: str
    fingerprint: str
    vocabulary: int
    encode: Callable[[list[str]], list[list[int]]]
    decode: Callable[[list[int]], list[str]] | None = None
