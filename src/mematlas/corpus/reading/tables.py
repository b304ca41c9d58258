"""Corpora that are Arrow tables (Parquet files, Hugging Face datasets): a row of the table is a row, or a document."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mematlas.corpus.base import Corpus, CorpusOptions, as_positions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.reading.bytestream import ByteStream, windows
from mematlas.corpus.reading.cache import Record, open_cached
from mematlas.corpus.reading.columns import ROW_IDS, Columns, pick_value
from mematlas.corpus.reading.tokenrows import checked_rows
from mematlas.errors import CorpusError
from mematlas.types import Ids, Provenance, TokenRows


class Table(Protocol):
    """A table that is read by parts; `stream` is its files."""

    schema: pa.Schema
    stream: ByteStream

    def __len__(self) -> int: ...

    def take(self, rows: Ids, names: list[str]) -> Iterator[pa.RecordBatch]:
        """These columns of `rows` (ascending and distinct), in their order, in batches of any size."""
        ...

    def scan(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows."""
        ...


def open_table(format: str, path: Path, table: Table, options: CorpusOptions) -> Corpus:
    """`table` as a corpus: text is tokenized and cut, tokens too if a row length is named, else they are rows.

    Raises:
        CorpusError: no such column, one of an unfitting type, no row.
    """
    columns = choose_columns(table.schema, options.column, path)
    if len(table) == 0:
        raise CorpusError(f"{path} has no row; a corpus needs at least one; check that it was written to the end.")
    if columns.kind == "text" or options.row_length is not None:
        return open_cached(format, path, TableRecords(path, table, columns), options)
    return TableCorpus(format, path, table, columns)


def choose_columns(schema: pa.Schema, wanted: str | None, path: Path) -> Columns:
    """The columns in use, by name and type."""
    value = pick_value(schema.names, wanted, path)
    of_type = schema.field(value).type
    if not (_is_text(of_type) or _is_integer_list(of_type)):
        raise CorpusError(
            f"{path}: the column {value!r} is {of_type}; it must be text or a list of integers; name another: --column."
        )
    integers = {name for name in schema.names if pa.types.is_integer(schema.field(name).type)}
    return Columns(
        value,
        "text" if _is_text(of_type) else "tokens",
        row_id=next((name for name in ROW_IDS if name in integers), None),
        document="document" if "document" in integers else None,
        source="source" if "source" in schema.names and _is_text(schema.field("source").type) else None,
        repetitions="repetitions" if "repetitions" in integers else None,
    )


def _is_text(of_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(of_type):
        of_type = of_type.value_type
    return any(test(of_type) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_integer_list(of_type: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(of_type) for test in tests) and pa.types.is_integer(of_type.value_type)


def flat_tokens(column: pa.Array, path: Path) -> tuple[NDArray[Any], Ids]:
    """The values of a list column, one after the other, and each list's length [n].

    Raises:
        CorpusError: a list or a token is null.
    """
    flat = column.flatten()
    if column.null_count or flat.null_count:
        raise CorpusError(f"{path} holds null where tokens should be; every row needs its tokens; leave such rows out.")
    return flat.to_numpy(zero_copy_only=False), pc.list_value_length(column).to_numpy().astype(np.int64)


def sound(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """`batches`, each once its values are known to be what their types say: UTF-8, and lists that lie within it.

    Raises:
        CorpusError: they are not.
    """
    try:
        for batch in batches:
            batch.validate(full=True)
            yield batch
    except pa.ArrowException as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> CorpusError:
    """The error of a table whose bytes are not what they say."""
    return CorpusError(f"{path} holds a damaged table ({error}); download or write it again.")


def beside(batch: pa.RecordBatch, name: str, path: Path) -> list[Any]:
    """The values of a column beside the tokens: text, or numbers of at most 63 bits; None for null.

    Raises:
        CorpusError: a number is larger.
    """
    column = batch.column(name)
    try:
        values: list[Any] = (column.cast(pa.int64()) if pa.types.is_integer(column.type) else column).to_pylist()
    except pa.ArrowInvalid as error:
        raise CorpusError(f"{path}: the column {name!r} holds a number above 2^63 - 1 ({error}).") from error
    return values


class TableCorpus:
    """Rows of a token column, ragged or not, read as they are asked for."""

    def __init__(self, format: str, path: Path, table: Table, columns: Columns) -> None:
        self.format = format
        self.fingerprint = fingerprint(format, {"column": columns.value}, table.stream)
        self.details: dict[str, object] = {"column": columns.value, "own_row_ids": columns.row_id is not None}
        self._path, self._table, self._columns = path, table, columns

    def __len__(self) -> int:
        return len(self._table)

    def read(self, positions: Ids, width: int) -> TokenRows:
        """See Corpus.read."""
        positions = as_positions(positions, len(self))
        wanted, inverse = np.unique(positions, return_inverse=True)
        parts = [np.zeros((0, width), np.int64)]
        lengths = [np.zeros(0, np.int64)]
        for batch in sound(self._table.take(wanted, [self._columns.value]), self._path):
            flat, of_lists = flat_tokens(batch.column(0), self._path)
            parts.append(windows(flat, np.cumsum(of_lists) - of_lists, of_lists, width).astype(np.int64))
            lengths.append(of_lists)
        return checked_rows(np.concatenate(parts)[inverse], np.concatenate(lengths)[inverse], positions)

    def row_ids(self, positions: Ids) -> Ids:
        """The id column, where there is one."""
        positions = as_positions(positions, len(self))
        name = self._columns.row_id
        if name is None:
            return positions
        found = self._beside(positions, [name])[name]
        if None in found:
            raise CorpusError(
                f"{self._path}: row {positions[found.index(None)]} has no id in the column {name!r}; "
                f"every row needs one; fill it, or rename the column."
            )
        return as_positions(found)

    def provenance(self, positions: Ids) -> Provenance:
        """The columns document, source and repetitions, as far as there are."""
        positions = as_positions(positions, len(self))
        c = self._columns
        names = [name for name in (c.document, c.source, c.repetitions) if name is not None]
        known = self._beside(positions, names) if names else {}
        unknown = [None] * len(positions)
        return Provenance(*(list(known.get(name, unknown)) for name in ("document", "source", "repetitions")))

    def _beside(self, positions: Ids, names: list[str]) -> dict[str, list[Any]]:
        """These columns' values at `positions`."""
        wanted, inverse = np.unique(positions, return_inverse=True)
        values: dict[str, list[Any]] = {name: [] for name in names}
        for batch in sound(self._table.take(wanted, names), self._path):
            for name in names:
                values[name] += beside(batch, name, self._path)
        return {name: [found[row] for row in inverse.tolist()] for name, found in values.items()}


class TableRecords:
    """A table's rows as documents, to be cut."""

    def __init__(self, path: Path, table: Table, columns: Columns) -> None:
        self.kind, self.stream = columns.kind, table.stream
        self.choices: dict[str, object] = {"column": columns.value}
        self.details: dict[str, object] = {"column": columns.value}
        self._path, self._table, self._columns = path, table, columns

    def __iter__(self) -> Iterator[Record]:
        number = 0
        for batch in sound(self._table.scan([self._columns.value, *self._columns.beside]), self._path):
            others = {name: beside(batch, name, self._path) for name in self._columns.beside}
            for row, value in enumerate(self._values(batch.column(self._columns.value))):
                yield self._record(value, {name: found[row] for name, found in others.items()}, number)
                number += 1

    def _record(self, value: Any, others: dict[str, Any], number: int) -> Record:
        document = others.get("document")
        return Record(
            value,
            document=number if document is None and self.kind == "text" else document,
            source=others.get("source"),
            repetitions=others.get("repetitions"),
            row_id=others.get(self._columns.row_id or ""),
        )

    def _values(self, column: pa.Array) -> list[Any]:
        """Texts, or one array of tokens for each row."""
        if self.kind == "text":
            if column.null_count:
                raise CorpusError(f"{self._path} holds null where text should be; leave such rows out.")
            texts: list[str] = column.to_pylist()
            return texts
        flat, lengths = flat_tokens(column, self._path)
        if len(flat) and flat.min() < 0:
            raise CorpusError(f"{self._path} holds the token {flat.min()}; token ids are 0 or more; check the column.")
        return np.split(flat, np.cumsum(lengths))[:-1]
