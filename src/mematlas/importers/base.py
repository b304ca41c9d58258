"""What the reader of a layout returns: models, rows, and the models' scores in blocks of rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import CorpusError
from mematlas.importers.files import Source
from mematlas.types import Ids

#: All known publications score 32 tokens after a context of 32 tokens (K1 a).
CONTEXT: Final = 32
CONTINUATION: Final = 32


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model whose scores were published. parameters, training_step: None if the label does not contain them."""

    label: str
    files: tuple[Path, ...]
    parameters: int | None = None
    training_step: int | None = None


class ModelScores(NamedTuple):
    """One model's scores of some rows, [n] each. is_known: False where no score was published."""

    label: str
    rows: Ids
    matches: NDArray[np.int32]
    is_known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PublishedScores:
    """Scores as published.

    rows: distinct row ids, [n]; complete: whether each model has a score for each of them, or for rows with M = 1 only;
    read_scores(start, stop): reads every model's scores of rows[start:stop]; column: name of the column of tokens.
    """

    models: tuple[PublishedModel, ...]
    rows: Ids
    complete: bool
    read_scores: Callable[[int, int], Iterator[ModelScores]]
    column: str


class Layout(Protocol):
    """The layout of files with published scores."""

    name: str

    def detect(self, columns: Sequence[str]) -> bool:
        """Whether a table with these columns has this layout."""
        ...

    def open(self, sources: Sequence[Source]) -> PublishedScores:
        """Check the files and read their row ids.

        Raises:
            CorpusError: a file is damaged, lacks a column, or has a value that breaks a rule.
        """
        ...


def check_row_ids(ids: Ids, where: object) -> Ids:
    """Return `ids`, which must be distinct, 0 or more, and at least one.

    Raises:
        CorpusError: they are not.
    """
    if not len(ids):
        raise CorpusError(f"{where} has no row; published scores have at least one; was it downloaded to the end?")
    ordered = np.sort(ids)
    if ordered[0] < 0:
        raise CorpusError(f"{where} has the row index {ordered[0]}; an index is 0 or more; check the column.")
    duplicates = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(duplicates):
        raise CorpusError(
            f"{where} has the row index {duplicates[0]} twice ({len(duplicates):,} duplicates); each row occurs once: "
            "is the same file given twice, or are several models in it?"
        )
    return ids
