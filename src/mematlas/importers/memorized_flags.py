"""The older revision of pile-{duped,deduped}-pythia-random-sampled: whether each row is recited, for one model.

Columns: tokens (the row, uint16), is_memorized, index. The card does not say which model the flag belongs to, so the
user names it: LABEL=PATH. Of a row whose flag is false it is only known that M < 1, at 32 tokens after 32 [the
lengths are not on the card: taken from K1, whose data these are].
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from mematlas.errors import CorpusError
from mematlas.importers.base import PublishedScores, check_row_ids
from mematlas.importers.files import Source, read_ids, read_schema, require_integers, translate_read_errors
from mematlas.importers.memorized_evals import group_files_by_model, published_model, read_recited
from mematlas.types import Ids


class MemorizedFlags:
    """One file, or one folder of pieces, per model; all models have flags for the same rows."""

    name = "memorized-flags"

    def detect(self, columns: Sequence[str]) -> bool:
        """Detected by `index` and `is_memorized`."""
        return {"index", "is_memorized"} <= set(columns)

    def open(self, sources: Sequence[Source]) -> PublishedScores:
        """See Layout.open."""
        files = group_files_by_model(sources)
        rows: Ids = np.zeros(0, np.int64)
        recited = {}
        for label, paths in files.items():
            ids = check_row_ids(self._ids(paths), f"{label} ({paths[0]})")
            recited[label] = np.sort(ids[self._flags(paths)])
            rows = np.union1d(rows, ids)

        models = tuple(published_model(label, paths) for label, paths in files.items())
        return PublishedScores(models, rows, False, partial(read_recited, recited, rows), "tokens")

    def _ids(self, files: Sequence[Path]) -> Ids:
        for file in files:
            require_integers(file, "index", self.name)
            if read_schema(file).get("is_memorized") != pl.Boolean:
                raise CorpusError(f"{file} has no column 'is_memorized' of true and false; check the file.")
        return read_ids(files, "index")

    def _flags(self, files: Sequence[Path]) -> np.ndarray:
        parts = []
        for file in files:
            with translate_read_errors(file):
                flags = pl.read_parquet(file, columns=["is_memorized"])["is_memorized"]
            if flags.null_count():
                raise CorpusError(f"{file}: {flags.null_count():,} of the flags are null; each row needs its flag.")
            parts.append(flags.to_numpy())
        return np.concatenate(parts)


LAYOUT = MemorizedFlags()
