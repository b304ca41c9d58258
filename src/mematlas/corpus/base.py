"""What a corpus is to the rest of the house: an addressable, fingerprinted sequence of token rows with ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from mematlas.types import Encoder, Ids, Provenance, TokenRows

Cut = Literal["rows", "window"]


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """What the user says about a corpus; None where it should be found out.

    row_length: tokens a row of headerless token files, and of text when it is cut.
    text_row_length: tokens a row of text where `row_length` is not named.
    token_dtype: "uint16" or "uint32", for headerless token files.
    column: name of the text or token column (JSONL, Parquet, datasets).
    cut: "rows" cuts each document into consecutive rows, "window" takes one window a document.
    encoder: the model's tokenizer, for text.
    cache: folder in which tokenized text is kept; None is the user's cache folder.
    """

    row_length: int | None = None
    token_dtype: str | None = None
    column: str | None = None
    cut: Cut = "rows"
    encoder: Encoder | None = None
    cache: Path | None = None
    text_row_length: int | None = None


class Corpus(Protocol):
    """Rows are addressed by position 0 .. len-1, in training order where the source has one.

    Files are opened lazily and read with plain reads, so that memory stays flat whatever the corpus' size. One thread
    reads at a time; a process that is forked or that opens the corpus again may read beside it.
    """

    format: str
    fingerprint: str
    details: dict[
        str, object
    ]  # what was found or chosen: row length, dtype, cut, dropped tails; goes into the manifest

    def __len__(self) -> int: ...

    def read(self, positions: Ids, width: int) -> TokenRows:
        """The first `width` tokens of the rows at `positions` (any order, repeats allowed).

        Raises:
            ValueError: a position lies outside 0 .. len-1, or `width` is not positive.
            CorpusError: the files changed since they were opened, or a token is negative.
        """
        ...

    def row_ids(self, positions: Ids) -> Ids:
        """Ids of these rows: the positions themselves unless the source carries its own ids."""
        ...

    def provenance(self, positions: Ids) -> Provenance:
        """Where these rows come from, as far as the source says."""
        ...


class CorpusFormat(Protocol):
    """One way of keeping rows in files. Classes of FORMATS are called without arguments."""

    name: str
    reads: frozenset[str]  # the fields of CorpusOptions that `open` looks at; naming another one is an error

    def detect(self, path: Path) -> bool:
        """Whether the content at `path` bears this format's signature; False where nothing lies there."""
        ...

    def open(self, path: Path, options: CorpusOptions) -> Corpus:
        """The corpus at `path`.

        Raises:
            CorpusError: it is absent, empty or damaged, or an option that it needs is missing.
        """
        ...


def as_positions(values: object, length: int | None = None) -> Ids:
    """`values` as a one-dimensional int64 array.

    Raises:
        ValueError: `length` is given and a position lies outside 0 .. length-1.
    """
    positions = np.asarray(values, dtype=np.int64).reshape(-1)
    if length is not None and positions.size and not 0 <= positions.min() <= positions.max() < length:
        raise ValueError(f"positions {positions.min()} .. {positions.max()} are not all within 0 .. {length - 1}")
    return positions


def unknown_provenance(count: int) -> Provenance:
    """The provenance of `count` rows of a source that says nothing."""
    return Provenance([None] * count, [None] * count, [None] * count)
