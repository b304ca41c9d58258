"""The interface of a corpus: an addressable, fingerprinted sequence of token rows with ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np

from mematlas.types import Encoder, Ids, Provenance, TokenRows

Cut = Literal["auto", "rows", "window", "answers"]


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """The options of a corpus; None where a value is to be detected.

    row_length: tokens per row, of headerless token files and of text that is cut into rows.
    text_row_length: tokens per row of text if `row_length` is None.
    context: tokens before an answer, of the text_row_length tokens of a row that has one.
    token_dtype: "uint16" or "uint32", for headerless token files.
    column: name of the text or token column (JSONL, Parquet, datasets).
    cut: "rows" cuts each document into consecutive rows, "window" takes one window per document, "answers" one row per
    answer; "auto" is "answers" if the corpus has answers and `context` is given, else "rows".
    encoder: the model's tokenizer, for text.
    cache: folder in which tokenized text is cached; None is the user's cache folder.
    """

    row_length: int | None = None
    token_dtype: str | None = None
    column: str | None = None
    cut: Cut = "auto"
    encoder: Encoder | None = None
    cache: str | Path | None = None
    text_row_length: int | None = None
    context: int | None = None


MOVED: Final = "boundaries_moved"
"""In a corpus' details if its rows and documents do not begin where it says, because items were inserted into it."""


class Corpus(Protocol):
    """Rows are addressed by position 0 .. len-1, in training order if the source has one.

    Files are opened lazily and read with plain reads, so that memory use does not grow with the corpus. Only one thread
    may read at a time; a forked process, or one that opens the corpus again, may read at the same time.
    """

    format: str
    fingerprint: str
    #: Row length, dtype, cut, dropped tails ..., as detected or chosen; written to the manifest.
    details: dict[str, object]

    def __len__(self) -> int: ...

    def read(self, positions: Ids, width: int) -> TokenRows:
        """The first `width` tokens of the rows at `positions` (any order, repeats allowed).

        Raises:
            ValueError: a position is outside 0 .. len-1, or `width` is not positive.
            CorpusError: the files changed since they were opened, or a token is negative.
        """
        ...

    def row_ids(self, positions: Ids) -> Ids:
        """Ids of these rows: the positions themselves unless the source has its own ids."""
        ...

    def provenance(self, positions: Ids) -> Provenance:
        """Where these rows come from, as far as the source contains it."""
        ...


class CorpusFormat(Protocol):
    """A file format of corpora. The classes in FORMATS are created without arguments."""

    name: str
    reads: frozenset[str]  # the fields of CorpusOptions that `open` uses; setting another one is an error

    def detect(self, path: Path) -> bool:
        """Whether the content at `path` has this format's signature; False if nothing is there."""
        ...

    def open(self, path: Path, options: CorpusOptions) -> Corpus:
        """Open the corpus at `path`.

        Raises:
            CorpusError: it is absent, empty or damaged, or a required option is missing.
        """
        ...


def as_positions(values: object, length: int | None = None) -> Ids:
    """`values` as a one-dimensional int64 array.

    Raises:
        ValueError: `length` is given and a position is outside 0 .. length-1.
    """
    positions = np.asarray(values, dtype=np.int64).reshape(-1)
    if length is not None and positions.size and not 0 <= positions.min() <= positions.max() < length:
        raise ValueError(f"positions {positions.min()} .. {positions.max()} are not all within 0 .. {length - 1}")
    return positions


def unknown_provenance(count: int) -> Provenance:
    """The provenance of `count` rows of a source that does not contain any."""
    return Provenance([None] * count, [None] * count, [None] * count)
