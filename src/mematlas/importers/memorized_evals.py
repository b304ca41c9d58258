"""EleutherAI/pythia-memorized-evals: for each model a table of the rows that it recites, without any other rows.

Columns: index (row in training order), tokens (64), __index_level_0__ (= index). Every row has M = 1 at 32 tokens after
32; scores of the other rows of the 146,432,000 are not published. Splits are named duped.70m ... deduped.12b, and
checkpoints deduped.12b.103000. Source: the data set's card.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mematlas.errors import CorpusError
from mematlas.importers import pythia
from mematlas.importers.base import CONTINUATION, ModelScores, PublishedModel, PublishedScores, check_row_ids
from mematlas.importers.files import Piece, Source, complete_files, parse_piece, read_ids, require_integers
from mematlas.types import Ids


class MemorizedEvals:
    """One file, or one folder of pieces, per model."""

    name = "memorized-evals"

    def detect(self, columns: Sequence[str]) -> bool:
        """Detected by `index` and `tokens`, without a flag."""
        return {"index", "tokens"} <= set(columns) and "is_memorized" not in columns

    def open(self, sources: Sequence[Source]) -> PublishedScores:
        """See Layout.open."""
        files = group_files_by_model(sources)
        recited = {label: self._recited_ids(label, paths) for label, paths in files.items()}
        rows = np.unique(np.concatenate(list(recited.values())))

        models = tuple(published_model(label, paths) for label, paths in files.items())
        return PublishedScores(models, rows, False, partial(read_recited, recited, rows), "tokens")

    def _recited_ids(self, label: str, files: Sequence[Path]) -> Ids:
        for file in files:
            require_integers(file, "index", self.name)
        return np.sort(check_row_ids(read_ids(files, "index"), f"{label} ({files[0]})"))


def group_files_by_model(sources: Sequence[Source]) -> dict[str, tuple[Path, ...]]:
    """Label -> files of each model; the label is that of LABEL=PATH, or the name of the file or its folder.

    Raises:
        CorpusError: a name contains no model, two files contain the same one, or a file of a model is missing.
    """
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for source in sources:
        if source.label is not None and source.label in pieces:
            raise CorpusError(f"The model {source.label} was given twice, again as {source.path}; name each once.")
        for part in map(parse_piece, source.files):
            if source.label is None and not pythia.SPLIT.fullmatch(part.name):
                raise CorpusError(
                    f"The name of {part.file} is not that of a model (as deduped.70m.parquet is); "
                    f"name the model: LABEL=PATH, e.g. deduped.70m={part.file}."
                )
            pieces[source.label or part.name].append(part)
    if len({pythia.training_data(label) for label in pieces} - {None}) > 1:
        raise CorpusError(
            "duped and deduped models were trained on different rows, so their row numbers mean different rows; "
            "import each into its own --study."
        )
    return {label: complete_files(pieces[label]) for label in _order_labels(list(pieces))}


def _order_labels(labels: list[str]) -> list[str]:
    """Sort by size, then by training step, if all names contain both; else keep the given order."""
    sizes = {label: (pythia.parameters(label), pythia.training_step(label)) for label in labels}
    return labels if (None, None) in sizes.values() else sorted(labels, key=lambda label: (*sizes[label], label))


def published_model(label: str, files: Sequence[Path]) -> PublishedModel:
    """The model called `label`, with its size and step if it is a Pythia name."""
    return PublishedModel(label, tuple(files), pythia.parameters(label), pythia.training_step(label))


def read_recited(recited: Mapping[str, Ids], rows: Ids, start: int, stop: int) -> Iterator[ModelScores]:
    """The scores, all with M = 1, of the rows among rows[start:stop] that each model recites.

    Args:
        recited: label -> ascending ids of the rows that the model recites; rows: ascending ids of all rows.
    """
    for label, ids in recited.items():
        first, last = np.searchsorted(ids, rows[start]), np.searchsorted(ids, rows[stop - 1], side="right")
        part = ids[first:last]
        yield ModelScores(label, part, np.full(len(part), CONTINUATION, np.int32), np.ones(len(part), bool))


LAYOUT = MemorizedEvals()
