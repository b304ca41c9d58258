"""Parquet files: one, a folder of them, or a glob; row groups are streamed, so that memory use stays constant."""

import glob
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.reading.batched_tables import BatchedTable, require_one_schema
from mematlas.corpus.reading.files import files_below, list_below, require_file, starts_with
from mematlas.corpus.reading.skipped_files import record_skipped
from mematlas.corpus.reading.tables import TableDocuments, open_table, table_documents
from mematlas.errors import CorpusError

MAGIC = b"PAR1"
BATCH_BYTES, BATCH_ROWS = 8 << 20, 4096
BUFFER_BYTES = 1 << 20  # read at once of a column, instead of all of a row group's column
_UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)  # the last: names that are not UTF-8


class ParquetFormat:
    """Files are read in the order of their paths, rows in the order of the file."""

    name = "parquet"
    reads = frozenset({"row_length", "column", "cut"})
    suffixes = (".parquet",)

    def detect(self, path: Path) -> bool:
        """By the first bytes of the file; a folder or a glob by file names."""
        if path.is_dir():
            return bool(list_below(path, self.suffixes))
        return starts_with(path, MAGIC) or any(name.endswith(self.suffixes) for name in glob.glob(str(path)))

    def open(self, path: Path, options: CorpusOptions) -> Corpus:
        """Token lists are rows unchanged; text, and tokens with a given row length, are cut."""
        table = self._table(path)
        return record_skipped(open_table(self.name, path, table, options), path, table.stream.paths)

    def documents(self, path: Path, options: CorpusOptions) -> TableDocuments:
        """The rows, in the order of files."""
        return table_documents(path, self._table(path), options)

    def _table(self, path: Path) -> "ParquetTable":
        matched = [] if path.exists() else sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        return ParquetTable([require_file(file) for file in matched or files_below(path, self.suffixes)])


class ParquetTable(BatchedTable):
    """The parts are the row groups of all files."""

    def __init__(self, files: list[Path]) -> None:
        schema = _schema(files[0], _open(files[0]))
        self._groups: list[tuple[int, int]] = []  # for each part its number within the file, and its rows per batch
        parts: list[tuple[Path, int]] = []
        for path in files:
            file = _open(path)
            require_one_schema(path, _schema(path, file), files[0], schema)
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                if group.num_rows < 0:
                    raise _damaged(path, f"row group {number} declares {group.num_rows} rows")
                row_bytes = max(1, group.total_byte_size // max(1, group.num_rows))
                self._groups.append((number, min(BATCH_ROWS, max(1, BATCH_BYTES // row_bytes))))
                parts.append((path, group.num_rows))
        super().__init__(files, schema, parts)

    def _batches(self, part: int, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """See BatchedTable."""
        path = self._parts[part][0]
        number, batch_rows = self._groups[part]
        try:
            yield from _open(path).iter_batches(batch_rows, [number], list(names))
        except _UNREADABLE as error:
            raise _damaged(path, error) from error

    @staticmethod
    def _damaged(path: Path, error: Exception | str) -> CorpusError:
        """See BatchedTable."""
        return _damaged(path, error)


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
