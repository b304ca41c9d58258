"""EleutherAI/pythia-memorized-evals: for each model a table of the rows that it recites, and of no others.

Columns: index (row in training order), tokens (64), __index_level_0__ (= index). Every row has M = 1 at 32 tokens after
32; what the models do on other rows of the 146,432,000 is not published. Splits are named duped.70m ... deduped.12b,
checkpoints deduped.12b.103000. Source: the data set's card.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mematlas.errors import CorpusError
from mematlas.importers import pythia
from mematlas.importers.base import CONTINUATION, Lines, Published, PublishedModel, distinct
from mematlas.importers.files import Piece, Source, piece, read_ids, require_integers, whole
from mematlas.types import Ids


class MemorizedEvals:
    """One file, or folder of pieces, a model."""

    name = "memorized-evals"

    def detect(self, columns: Sequence[str]) -> bool:
        """By `index` and `tokens`, without a flag."""
        return {"index", "tokens"} <= set(columns) and "is_memorized" not in columns

    def open(self, sources: Sequence[Source]) -> Published:
        """See Layout.open."""
        files = models_of(sources)
        recited = {label: self._recited(label, paths) for label, paths in files.items()}
        rows = np.unique(np.concatenate(list(recited.values())))

        def lines(start: int, stop: int) -> Iterator[Lines]:
            for label, ids in recited.items():
                first, last = np.searchsorted(ids, rows[start]), np.searchsorted(ids, rows[stop - 1], side="right")
                yield all_recited(label, ids[first:last])

        return Published(tuple(model(label, paths) for label, paths in files.items()), rows, False, lines, "tokens")

    def _recited(self, label: str, files: Sequence[Path]) -> Ids:
        for file in files:
            require_integers(file, "index", self.name)
        return np.sort(distinct(read_ids(files, "index"), f"{label} ({files[0]})"))


def models_of(sources: Sequence[Source]) -> dict[str, tuple[Path, ...]]:
    """Each model's files, by the label given (LABEL=PATH) or by the name of the file or its folder.

    Raises:
        CorpusError: a name tells no model, two files hold the same, or one of a model's files is missing.
    """
    found: dict[str, list[Piece]] = defaultdict(list)
    for source in sources:
        if source.label is not None and source.label in found:
            raise CorpusError(f"The model {source.label} was given twice, again as {source.path}; name each once.")
        for part in map(piece, source.files):
            if source.label is None and not pythia.SPLIT.fullmatch(part.name):
                raise CorpusError(
                    f"The name of {part.file} does not tell its model (deduped.70m.parquet would); "
                    f"give it: LABEL=PATH, e.g. deduped.70m={part.file}."
                )
            found[source.label or part.name].append(part)
    if len({pythia.scheme(label) for label in found} - {None}) > 1:
        raise CorpusError(
            "duped and deduped models were trained on different rows, so that row 7 of the one is not row 7 of the "
            "other; import each into its own --study."
        )
    return {label: whole(found[label]) for label in _ordered(list(found))}


def _ordered(labels: list[str]) -> list[str]:
    """By size, then by training step, where the names tell both; else as given."""
    places = {label: (pythia.parameters(label), pythia.training_step(label)) for label in labels}
    return labels if (None, None) in places.values() else sorted(labels, key=lambda label: (*places[label], label))


def model(label: str, files: Sequence[Path]) -> PublishedModel:
    """The model called `label`, with what a Pythia name tells."""
    return PublishedModel(label, tuple(files), pythia.parameters(label), pythia.training_step(label))


def all_recited(label: str, rows: Ids) -> Lines:
    """Lines of rows with M = 1."""
    return Lines(label, rows, np.full(len(rows), CONTINUATION, np.int32), np.ones(len(rows), bool))


LAYOUT = MemorizedEvals()
