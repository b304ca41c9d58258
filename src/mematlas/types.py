"""Data types that several packages share. All are frozen; shapes are in the docstrings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Align = Literal["start", "end"]
#: Where the tokens that a model is asked for are in a row: after its context, or hidden anywhere in it.
Layout = Literal["start", "end", "masked"]
Objective = Literal["causal", "masked"]
Depth = Literal["graded", "verbatim"]
EosPolicy = Literal["ignore", "suppress", "stop"]
Ids = NDArray[np.int64]


def as_list(value: object) -> list[object]:
    """The values of a list option: one value is a list of one, and commas separate those of a text.

    16 -> [16]; "16,32" -> ["16", "32"]; ["16,32", "64"] -> ["16", "32", "64"]; "" -> [].
    """
    is_several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    parts: list[object] = []
    for item in value if is_several else [value]:  # type: ignore[attr-defined]
        parts += [part.strip() for part in item.split(",")] if isinstance(item, str) else [item]
    return [] if parts == [""] else parts


@dataclass(frozen=True, slots=True)
class Grid:
    """Context lengths x continuation lengths, in tokens, and where they are in a row.

    start-aligned (P1):   row = [ C tokens | L tokens | ... ]             every context starts where the row starts
    end-aligned (P9):     row = [ max(C) - C | C tokens | L tokens | ..]  every continuation starts at max(C)
    masked (P8):          row = [ C tokens | ... ]    read whole, while masks hide L of them, counted over all masks
    """

    contexts: tuple[int, ...]
    continuations: tuple[int, ...]
    align: Layout = "start"

    def __post_init__(self) -> None:
        for name, values in (("context", self.contexts), ("continuation", self.continuations)):
            if not values or min(values) < 1 or list(values) != sorted(set(values)):
                raise ValueError(f"{name}s must be positive, ascending and distinct, not {values}")

    @property
    def width(self) -> int:
        """The number of a row's first tokens that the grid needs."""
        return max(self.contexts) + (0 if self.align == "masked" else max(self.continuations))

    def span(self, context: int, continuation: int) -> tuple[int, int]:
        """The position in the row of a cell's first token, and the position after its last one."""
        if self.align == "masked":
            return 0, context
        start = self.continuation_start(context)
        return start - context, start + continuation

    def continuation_start(self, context: int) -> int:
        """The position in the row where the continuation after `context` starts."""
        return context if self.align == "start" else max(self.contexts)


def reference_cell(contexts: Iterable[int], continuations: Iterable[int]) -> tuple[int, int]:
    """The cell that claims report, a context and a continuation: 32 + 32, as in P1 and K1, or the nearest there is."""
    cells = [(context, continuation) for context in contexts for continuation in continuations]
    return min(cells, key=lambda cell: (abs(cell[0] - 32), abs(cell[1] - 32)))


@dataclass(frozen=True, slots=True)
class TokenRows:
    """The first tokens of some rows.

    ids: [n, width] int64, zero after the end of a row; lengths: [n], the number of tokens of each row (<= width).
    """

    ids: Ids
    lengths: Ids


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows come from; each list has one entry per row, None where unknown.

    document: number of the row's document in its source; source: file or collection; repetitions: how often the row
    was shown in training.
    """

    document: list[int | None]
    source: list[str | None]
    repetitions: list[int | None]


Message = Mapping[str, Any]  # of a chat: {"role": "user", "content": "Hello"}


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """How a tokenizer writes chats as text.

    fingerprint: of the template; render: the text of messages, with the beginning of an answer after them if asked for;
    raises ValueError if the template refuses them.
    """

    fingerprint: str
    render: Callable[[Sequence[Message], bool], str]


@dataclass(frozen=True, slots=True)
class Encoder:
    """The functions of a tokenizer that a corpus needs.

    encode: maps texts to lists of token ids, without special tokens; decode: maps each token id to its text within a
    line, where a part of a character becomes the replacement character; decode_windows: maps each list of token ids to
    its text within a line, decoded at once, so that characters of several tokens are whole; chat_template: reads the
    tokenizer's template for chats, None if it has none; rules: a hash of what turns texts into ids, None if unknown;
    locate: maps a text to its token ids and, for each, the character of the text after its last one.
    """

    name: str
    fingerprint: str
    vocabulary: int
    encode: Callable[[list[str]], list[list[int]]]
    decode: Callable[[list[int]], list[str]] | None = None
    decode_windows: Callable[[list[list[int]]], list[str]] | None = None
    chat_template: Callable[[], ChatTemplate | None] | None = None
    rules: Callable[[], str | None] | None = None
    locate: Callable[[str], tuple[list[int], list[int]]] | None = None
