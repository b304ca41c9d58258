"""A work as one text: its documents one after the other, their tokens, and its sections (chapters or files)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from mematlas.auditing.base import Document
from mematlas.errors import ModelError
from mematlas.types import Encoder, Ids

_NUMBER: Final = r"(?:\d+|[IVXLC]+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty)\b"
_HEADING: Final = re.compile(
    rf"^[ \t]*(chapter[ \t]+(?:{_NUMBER}|the[ \t]+\w+)[^\n]{{0,60}}"
    rf"|(?:book|part|canto|letter|stave|act|scene)[ \t]+{_NUMBER}(?:[ \t]*[.:–—-][^\n]{{0,60}})?"
    r"|\#{1,3}[ \t]+[^\n]{1,80})[ \t\r]*$",
    re.IGNORECASE | re.MULTILINE,
)
_SHORTEST_SECTION: Final = 300  # characters; shorter ones are lines of a table of contents (our choice)


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter, file or part: characters `start` to `stop` of the work."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """documents: name and text; offsets: the work's character at which each starts; tokens: its ids; ends: the
    document's character after each token."""

    documents: tuple[Document, ...]
    offsets: tuple[int, ...]
    tokens: tuple[Ids, ...]
    ends: tuple[Ids, ...]

    @property
    def characters(self) -> int:
        """Characters of all documents together."""
        return sum(len(text) for _, text in self.documents)

    @property
    def token_count(self) -> int:
        """Tokens of all documents together."""
        return sum(map(len, self.tokens))

    def text(self, start: int, stop: int) -> str:
        """Characters `start` to `stop` of the work."""
        return "".join(text for _, text in self.documents)[start:stop]

    def place(self, character: int) -> str:
        """Where a character of the work is: document and character in it."""
        number = int(np.searchsorted(self.offsets, character, side="right")) - 1
        return f"{self.documents[number][0]}, character {character - self.offsets[number]:,}"


def read_work(documents: Sequence[Document], encoder: Encoder) -> Work:
    """The work of these documents.

    Raises:
        ModelError: the tokenizer does not say where its tokens stand.
    """
    if encoder.locate is None:
        raise ModelError(f"The tokenizer of {encoder.name} does not say where its tokens stand in a text.")
    located = [encoder.locate(text) for _, text in documents]
    lengths = [len(text) for _, text in documents]
    return Work(
        tuple(documents),
        tuple(np.cumsum([0, *lengths[:-1]]).tolist()),
        tuple(np.array(ids, np.int64) for ids, _ in located),
        tuple(np.array(ends, np.int64) for _, ends in located),
    )


def sections(work: Work) -> list[Section]:
    """The files of a work of several, the chapters of one with headings ("Chapter 3", "CHAPTER III", "# Title"), or the
    whole."""
    if len(work.documents) > 1:
        starts = [*work.offsets, work.characters]
        return [Section(name, *ends) for (name, _), ends in zip(work.documents, pairwise(starts), strict=True)]
    name, text = work.documents[0]
    long = _headings(text)
    if len(long) < 2:
        return [Section(name, 0, len(text))]
    if long[0][0] > 0:
        long = [(0, "(before the first heading)"), *long]
    stops = [start for start, _ in long[1:]] + [len(text)]
    return [Section(title, start, stop) for (start, title), stop in zip(long, stops, strict=True)]


def _headings(text: str) -> list[tuple[int, str]]:
    """Start and title of the headings with text under them; those of a table of contents have none, but for its last
    one, which comes again further down."""
    found = [(match.start(), " ".join(match[1].split())) for match in _HEADING.finditer(text)]
    borders = [start for start, _ in found] + [len(text)]
    is_long = [stop - start >= _SHORTEST_SECTION for start, stop in pairwise(borders)]
    keys = [[word.strip(".:") for word in title.lower().split()[:2]] for _, title in found]
    return [
        found[i] for i in range(len(found)) if is_long[i] and (i == 0 or is_long[i - 1] or keys[i] not in keys[i + 1 :])
    ]


def blocks(work: Work, count: int) -> list[Section]:
    """The work in `count` parts of equal length."""
    borders = np.linspace(0, work.characters, count + 1).round().astype(int).tolist()
    return [Section(f"part {number}", *ends) for number, ends in enumerate(pairwise(borders), start=1)]
