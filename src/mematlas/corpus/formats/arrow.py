"""Arrow files, in the streaming format (as the library ``datasets`` writes) or the file format (Feather 2).

Files are memory-mapped, so that a batch is not copied; compressed batches are decompressed one at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.reading.batched_tables import BatchedTable, require_one_schema
from mematlas.corpus.reading.files import files_below, list_below, starts_with
from mematlas.corpus.reading.skipped_files import record_skipped
from mematlas.corpus.reading.tables import TableDocuments, open_table, table_documents
from mematlas.errors import CorpusError

FILE_MAGIC, STREAM_MAGIC = b"ARROW1\x00\x00", b"\xff\xff\xff\xff"
_UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError, ValueError)


class ArrowFormat:
    """One file, or a folder of them without the files that ``save_to_disk`` adds (see datasets)."""

    name = "arrow"
    reads = frozenset({"row_length", "column", "cut"})
    suffixes = (".arrow", ".feather")

    def detect(self, path: Path) -> bool:
        """By the first bytes, for the streaming format also by a schema after them; a folder by file names."""
        if path.is_dir():
            return bool(list_below(path, self.suffixes))
        return starts_with(path, FILE_MAGIC) or (starts_with(path, STREAM_MAGIC) and _is_stream(path))

    def open(self, path: Path, options: CorpusOptions) -> Corpus:
        """Token lists are rows unchanged; text, and tokens with a given row length, are cut."""
        table = self._table(path)
        return record_skipped(open_table(self.name, path, table, options), path, table.stream.paths)

    def documents(self, path: Path, options: CorpusOptions) -> TableDocuments:
        """The rows, in the order of files."""
        return table_documents(path, self._table(path), options)

    def _table(self, path: Path) -> "ArrowTable":
        return ArrowTable(files_below(path, self.suffixes))


class ArrowTable(BatchedTable):
    """The parts are the files."""

    def __init__(self, files: list[Path]) -> None:
        schemas, parts = [], []
        for path in files:
            try:
                schema, batches = _open(path)
                schemas.append(schema.remove_metadata())
                schema.names  # noqa: B018  every name must be UTF-8
                parts.append((path, sum(batch.num_rows for batch in batches)))
            except _UNREADABLE as error:
                raise _damaged(path, error) from error
            require_one_schema(path, schemas[-1], files[0], schemas[0])
        super().__init__(files, schemas[0], parts)

    def _batches(self, part: int, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """See BatchedTable. A batch is validated before it is used: its offsets point into the mapped file."""
        path = self._parts[part][0]
        try:
            for batch in _open(path)[1]:
                selected = batch.select(list(names))
                selected.validate(full=True)
                if selected.num_rows:
                    yield selected
        except _UNREADABLE as error:
            raise _damaged(path, error) from error

    @staticmethod
    def _damaged(path: Path, error: Exception | str) -> CorpusError:
        """See BatchedTable."""
        return _damaged(path, error)


def _open(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema of a file, and its batches as an iterator."""
    mapped = pa.memory_map(str(path))
    if starts_with(path, FILE_MAGIC):
        file = pa.ipc.open_file(mapped)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    stream = pa.ipc.open_stream(mapped)
    return stream.schema, iter(stream)


def _is_stream(path: Path) -> bool:
    try:
        return len(_open(path)[0]) > 0
    except _UNREADABLE:
        return False


def _damaged(path: Path, error: Exception | str) -> CorpusError:
    reason = " ".join(str(error).split())
    return CorpusError(f"{path} is not readable as Arrow ({reason}); it is damaged or truncated; write it again.")
