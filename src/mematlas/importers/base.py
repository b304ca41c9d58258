"""What a layout's reader gives: models, rows, and the models' matches piece by piece."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import CorpusError
from mematlas.importers.files import Source
from mematlas.types import Ids

#: All known publications score 32 tokens after 32 tokens (K1 a).
CONTEXT: Final = 32
CONTINUATION: Final = 32


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model whose scores were published. parameters, training_step: None where its name does not tell."""

    label: str
    files: tuple[Path, ...]
    parameters: int | None = None
    training_step: int | None = None


class Lines(NamedTuple):
    """One model's scores on some rows, [n] each. known: False where the publication holds no score."""

    label: str
    rows: Ids
    matches: NDArray[np.int32]
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Published:
    """Scores as published.

    rows: distinct row ids, [n]; complete: each model has a line for each of them, else only rows with M = 1 have one;
    lines(start, stop): every model's lines on rows[start:stop], read when asked for; column: where the tokens stand.
    """

    models: tuple[PublishedModel, ...]
    rows: Ids
    complete: bool
    lines: Callable[[int, int], Iterator[Lines]]
    column: str


class Layout(Protocol):
    """A way in which scores are published."""

    name: str

    def detect(self, columns: Sequence[str]) -> bool:
        """Whether a table with these columns is of this layout."""
        ...

    def open(self, sources: Sequence[Source]) -> Published:
        """Check the files and read their row ids.

        Raises:
            CorpusError: a file is damaged, lacks a column, or breaks a rule; one line with value, rule and remedy.
        """
        ...


def distinct(ids: Ids, where: object) -> Ids:
    """`ids`, which must hold something, and nothing twice or below 0.

    Raises:
        CorpusError: they do not.
    """
    if not len(ids):
        raise CorpusError(f"{where} has no row; published scores have at least one; was it downloaded to the end?")
    ordered = np.sort(ids)
    if ordered[0] < 0:
        raise CorpusError(f"{where} has the row index {ordered[0]}; an index is 0 or more; check the column.")
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(again):
        raise CorpusError(
            f"{where} has the row index {again[0]} twice ({len(again):,} lines too many); each row has one line: "
            "is the same file given twice, or are several models in it?"
        )
    return ids
