"""A table in parts that are read batch after batch, such as Parquet row groups: rows by number in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.errors import CorpusError
from mematlas.types import Ids


@dataclass(slots=True)
class _Cursor:
    """The state of a pass over one part: `batch` contains the table's rows `start` .. `start` + len(batch)."""

    part: int
    start: int
    batch: pa.RecordBatch
    following: Iterator[pa.RecordBatch]


class BatchedTable:
    """See tables.Table. Reading rows in ascending order takes one pass, whatever the size of the parts.

    Subclasses define how a part is read (`_batches`) and what a damaged file is called (`_damaged`).

    Args:
        files: the table's files in their order.
        schema: the columns, the same in all files.
        parts: for each part its file and its number of rows.
    """

    def __init__(self, files: Sequence[Path], schema: pa.Schema, parts: Sequence[tuple[Path, int]]) -> None:
        self.stream, self.schema = ByteStream(files), schema
        self._parts = list(parts)
        rows = np.array([count for _, count in self._parts], dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(rows)])
        self._cursors: dict[tuple[str, ...], _Cursor] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: Ids, names: list[str]) -> Iterator[pa.RecordBatch]:
        """See tables.Table.take."""
        taken = 0
        while taken < len(rows):
            cursor = self._seek(int(rows[taken]), tuple(names))
            stop = int(np.searchsorted(rows, cursor.start + cursor.batch.num_rows))
            yield cursor.batch.take(pa.array(rows[taken:stop] - cursor.start))
            taken = stop

    def scan(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        """See tables.Table.scan."""
        for part in range(len(self._parts)):
            yield from self._batches(part, tuple(names))

    def _batches(self, part: int, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """These columns of the rows of a part, in batches whose offsets are within bounds."""
        raise NotImplementedError

    @staticmethod
    def _damaged(path: Path, error: Exception | str) -> CorpusError:
        """The error for a file that cannot be read, with the reason."""
        raise NotImplementedError

    def _seek(self, row: int, names: tuple[str, ...]) -> _Cursor:
        """The cursor of these columns, moved so that its batch contains `row`."""
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        cursor = self._cursors.get(names)
        if cursor is None or cursor.part != part or row < cursor.start:
            batches = self._batches(part, names)
            cursor = _Cursor(part, int(self._starts[part]), self._next(part, batches), batches)
            self._cursors[names] = cursor
        while row >= cursor.start + cursor.batch.num_rows:
            cursor.start += cursor.batch.num_rows
            cursor.batch = self._next(part, cursor.following)
        return cursor

    def _next(self, part: int, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
        batch = next(batches, None)
        if batch is None:
            raise self._damaged(self._parts[part][0], "a part of it has fewer rows than it declares")
        return batch


def require_one_schema(path: Path, schema: pa.Schema, first: Path, expected: pa.Schema) -> None:
    """Refuse a file whose columns differ from those of the first one.

    Raises:
        CorpusError: they differ.
    """
    if schema != expected:
        raise CorpusError(
            f"{path} has other columns than {first}: {schema.names}, not {expected.names}; "
            f"the files of one corpus share one schema; open them one by one."
        )
