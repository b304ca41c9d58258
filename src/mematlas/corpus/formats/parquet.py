"""Parquet files: one, a folder of them, or a glob; row groups are streamed, so that memory use stays constant."""

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.files import files_below, list_below, require_file, starts_with
from mematlas.corpus.reading.tables import open_table
from mematlas.errors import CorpusError
from mematlas.types import Ids

MAGIC = b"PAR1"
BATCH_BYTES, BATCH_ROWS = 8 << 20, 4096
BUFFER_BYTES = 1 << 20  # read at once of a column, instead of all of a row group's column
_UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)  # the last: names that are not UTF-8


class ParquetFormat:
    """Files are read in the order of their paths, rows in the order of the file."""

    name = "parquet"
    reads = frozenset({"row_length", "column", "cut"})

    def detect(self, path: Path) -> bool:
        """By the first bytes of the file; a folder or a glob by file names."""
        if path.is_dir():
            return bool(list_below(path, (".parquet",)))
        return starts_with(path, MAGIC) or any(name.endswith(".parquet") for name in glob.glob(str(path)))

    def open(self, path: Path, options: CorpusOptions) -> Corpus:
        """Token lists are rows unchanged; text, and tokens with a given row length, are cut."""
        matched = [] if path.exists() else sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        files = [require_file(file) for file in matched or files_below(path, (".parquet",))]
        return open_table(self.name, path, ParquetTable(files), options)


@dataclass(slots=True)
class _Cursor:
    """The state of a pass over one row group: `batch` contains the table's rows `start` .. `start` + len(batch)."""

    group: int
    start: int
    batch: pa.RecordBatch
    following: Iterator[pa.RecordBatch]


class ParquetTable:
    """See tables.Table. Reading rows in ascending order takes one pass, whatever the size of the row groups."""

    def __init__(self, files: list[Path]) -> None:
        self.stream = ByteStream(files)
        self.schema = _schema(files[0], _open(files[0]))
        self._groups: list[tuple[Path, int, int]] = []  # file, number within it, rows per batch
        rows = []
        for path in files:
            file = _open(path)
            if _schema(path, file) != self.schema:
                raise CorpusError(
                    f"{path} has other columns than {files[0]}: {_schema(path, file).names}, not {self.schema.names}; "
                    f"the files of one corpus share one schema; open them one by one."
                )
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                if group.num_rows < 0:
                    raise _damaged(path, f"row group {number} declares {group.num_rows} rows")
                row_bytes = max(1, group.total_byte_size // max(1, group.num_rows))
                self._groups.append((path, number, min(BATCH_ROWS, max(1, BATCH_BYTES // row_bytes))))
                rows.append(group.num_rows)
        self._starts = np.concatenate([[0], np.cumsum(np.asarray(rows, dtype=np.int64))])
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
        for group in range(len(self._groups)):
            yield from self._batches(group, tuple(names))

    def _seek(self, row: int, names: tuple[str, ...]) -> _Cursor:
        """The cursor of these columns, moved so that its batch contains `row`."""
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        cursor = self._cursors.get(names)
        if cursor is None or cursor.group != group or row < cursor.start:
            batches = self._batches(group, names)
            cursor = _Cursor(group, int(self._starts[group]), self._next(group, batches), batches)
            self._cursors[names] = cursor
        while row >= cursor.start + cursor.batch.num_rows:
            cursor.start += cursor.batch.num_rows
            cursor.batch = self._next(group, cursor.following)
        return cursor

    def _next(self, group: int, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
        batch = next(batches, None)
        if batch is None:
            raise _damaged(self._groups[group][0], "a row group has fewer rows than it declares")
        return batch

    def _batches(self, group: int, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        path, number, batch_rows = self._groups[group]
        try:
            yield from _open(path).iter_batches(batch_rows, [number], list(names))
        except _UNREADABLE as error:
            raise _damaged(path, error) from error


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _schema(path: Path, file: pq.ParquetFile) -> pa.Schema:
    """The columns with their types; every name must be UTF-8."""
    try:
        schema = file.schema_arrow.remove_metadata()
        schema.names  # noqa: B018
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    return schema


def _damaged(path: Path, error: Exception | str) -> CorpusError:
    reason = " ".join(str(error).split())
    return CorpusError(f"{path} is not readable as Parquet ({reason}); it is damaged or truncated; download it again.")
