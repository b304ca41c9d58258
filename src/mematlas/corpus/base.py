"""What a corpus is to the rest of the house: an addressable, fingerprinted sequence of token rows with ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from mematlas.records import Encoder, Ids, Provenance, TokenRows

Cut = Literal["rows", "window"]


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """What the user says about a corpus; None where it should be found out.

    row_length: tokens a row of headerless token files, and of text when it is cut.
    token_dtype: "uint16" or "uint32", for headerless token files.
    column: name of the text or token column (JSONL, Parquet, datasets).
    cut: "rows" cuts each document into consecutive rows, "window" takes one window a document.
    encoder: the model's tokenizer, for text.
    cache: folder in which tokenized text is kept.
    """

    row_length: int | None = None
    token_dtype: str | None = None
    column: str | None = None
    cut: Cut = "rows"
    encoder: Encoder | None = None
    cache: Path | None = None


class Corpus(Protocol):
    """Rows are addressed by position 0 .. len-1, in training order where the source has one."""

    format: str
    fingerprint: str
    details: dict[str, object]  # what was found or chosen: row length, dtype, cut, dropped tails; goes into the manifest

    def __len__(self) -> int: ...

    def read(self, positions: Ids, width: int) -> TokenRows:
        """The first `width` tokens of the rows at `positions` (any order, repeats allowed)."""
        ...

    def row_ids(self, positions: Ids) -> Ids:
        """Ids of these rows: the positions themselves unless the source carries its own ids."""
        ...

    def provenance(self, positions: Ids) -> Provenance: ...


def as_positions(values: object) -> Ids:
    """`values` as a one-dimensional int64 array."""
    return np.asarray(values, dtype=np.int64).reshape(-1)
