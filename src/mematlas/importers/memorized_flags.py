"""The older revision of pile-{duped,deduped}-pythia-random-sampled: whether a row is recited, for one model.

Columns: tokens (the row, uint16), is_memorized, index. The card does not say which model the flag belongs to, so its
label is given: LABEL=PATH. Nothing is known of a row whose flag is false but that M < 1, at 32 tokens after 32 [the
lengths are not on the card: taken from K1, whose data these are].
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from mematlas.errors import CorpusError
from mematlas.importers.base import Lines, Published, distinct
from mematlas.importers.files import Source, read_ids, reading, require_integers, schema_of
from mematlas.importers.memorized_evals import all_recited, model, models_of
from mematlas.types import Ids


class MemorizedFlags:
    """One file, or folder of pieces, a model; all models flag the same rows."""

    name = "memorized-flags"

    def detect(self, columns: Sequence[str]) -> bool:
        """By `index` and `is_memorized`."""
        return {"index", "is_memorized"} <= set(columns)

    def open(self, sources: Sequence[Source]) -> Published:
        """See Layout.open."""
        files = models_of(sources)
        rows: Ids = np.zeros(0, np.int64)
        recited = {}
        for label, paths in files.items():
            ids = distinct(self._ids(paths), f"{label} ({paths[0]})")
            recited[label] = np.sort(ids[self._flags(paths)])
            rows = np.union1d(rows, ids)

        def lines(start: int, stop: int) -> Iterator[Lines]:
            for label, ids in recited.items():
                first, last = np.searchsorted(ids, rows[start]), np.searchsorted(ids, rows[stop - 1], side="right")
                yield all_recited(label, ids[first:last])

        return Published(tuple(model(label, paths) for label, paths in files.items()), rows, False, lines, "tokens")

    def _ids(self, files: Sequence[Path]) -> Ids:
        for file in files:
            require_integers(file, "index", self.name)
            if schema_of(file).get("is_memorized") != pl.Boolean:
                raise CorpusError(f"{file} has no column 'is_memorized' of true and false; check the file.")
        return read_ids(files, "index")

    def _flags(self, files: Sequence[Path]) -> np.ndarray:
        parts = []
        for file in files:
            with reading(file):
                flags = pl.read_parquet(file, columns=["is_memorized"])["is_memorized"]
            if flags.null_count():
                raise CorpusError(f"{file}: {flags.null_count():,} of the flags are null; each row needs its flag.")
            parts.append(flags.to_numpy())
        return np.concatenate(parts)


LAYOUT = MemorizedFlags()
