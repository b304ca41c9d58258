"""Corpora in Arrow tables (Parquet files, Hugging Face datasets): each table row is a row or a document."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mematlas.corpus.base import Corpus, CorpusOptions, as_positions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.reading.bytestream import ByteStream, take_windows
from mematlas.corpus.reading.cache import Document, open_cached
from mematlas.corpus.reading.columns import ROW_ID_COLUMNS, Columns, chat_error, pick_values
from mematlas.corpus.reading.document_names import DOCUMENT, document_number, unread_documents
from mematlas.corpus.reading.tokenrows import to_token_rows
from mematlas.errors import CorpusError
from mematlas.types import Ids, Provenance, TokenRows


class Table(Protocol):
    """A table that is read in parts; `stream` contains its files."""

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
    """Open `table` as a corpus: text is tokenized and cut; so are tokens if a row length is given, else they are rows.

    Raises:
        CorpusError: there is no such column, it has the wrong type, or there is no row.
    """
    documents = table_documents(path, table, options)
    if documents.kind == "text" or options.row_length is not None:
        return open_cached(format, path, documents, options)
    return TableCorpus(format, path, table, documents.columns)


def table_documents(path: Path, table: Table, options: CorpusOptions) -> "TableDocuments":
    """The rows of `table` as documents.

    Raises:
        CorpusError: there is no such column, it has the wrong type, or there is no row.
    """
    columns = choose_columns(table.schema, options.column, path)
    if len(table) == 0:
        raise CorpusError(f"{path} has no row; a corpus needs at least one; check that it was written to the end.")
    return TableDocuments(path, table, columns)


def choose_columns(schema: pa.Schema, column: str | None, path: Path) -> Columns:
    """Choose the columns by name and type."""
    values = pick_values(schema.names, column, path)
    for name in values:
        data_type = schema.field(name).type
        if _is_text(data_type) or (_is_integer_list(data_type) and len(values) == 1):
            continue
        if _is_list(data_type) and pa.types.is_struct(data_type.value_type):
            raise chat_error(path, name)
        wanted = "text or a list of integers" if len(values) == 1 else "text"
        raise CorpusError(f"{path}: the column {name!r} is {data_type}; it must be {wanted}; name another: --column.")
    document_type = schema.field(DOCUMENT).type if DOCUMENT in schema.names and DOCUMENT not in values else None
    integers = {name for name in schema.names if pa.types.is_integer(schema.field(name).type)}
    return Columns(
        values,
        "text" if _is_text(schema.field(values[0]).type) else "tokens",
        row_id=next((name for name in ROW_ID_COLUMNS if name in integers), None),
        document=DOCUMENT if document_type is not None and _names_documents(document_type) else None,
        source="source" if "source" in schema.names and _is_text(schema.field("source").type) else None,
        repetitions="repetitions" if "repetitions" in integers else None,
    )


def _names_documents(data_type: pa.DataType) -> bool:
    return _is_text(data_type) or pa.types.is_integer(data_type) or pa.types.is_floating(data_type)


def _document_choices(schema: pa.Schema, columns: Columns) -> dict[str, object]:
    """What the fingerprint of a corpus says of its documents: nothing where they are numbers, as in older versions."""
    name = columns.document
    return {} if name is None or pa.types.is_integer(schema.field(name).type) else {"documents": "names"}


def _unread_documents(table: Table, columns: Columns) -> dict[str, object]:
    """See unread_documents: all rows of a column of another type than text and numbers."""
    if DOCUMENT not in table.schema.names or DOCUMENT in columns.values:
        return {}
    data_type = table.schema.field(DOCUMENT).type
    is_read = _names_documents(data_type) or pa.types.is_null(data_type)
    return {} if is_read else unread_documents(len(table), f"{data_type} values")


def _is_text(data_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    return any(test(data_type) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_list(data_type: pa.DataType) -> bool:
    return any(test(data_type) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _is_integer_list(data_type: pa.DataType) -> bool:
    return _is_list(data_type) and pa.types.is_integer(data_type.value_type)


def flat_tokens(column: pa.Array, path: Path) -> tuple[NDArray[Any], Ids]:
    """The concatenated values of a list column, and each list's length [n].

    Raises:
        CorpusError: a list or a token is null.
    """
    flat = column.flatten()
    if column.null_count or flat.null_count:
        raise CorpusError(f"{path} has null instead of tokens in some row; leave such rows out.")
    return flat.to_numpy(zero_copy_only=False), pc.list_value_length(column).to_numpy().astype(np.int64)


def validated(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Yield each of `batches` after validating it: text is UTF-8, and offsets of lists are within bounds.

    Raises:
        CorpusError: a batch is not valid.
    """
    try:
        for batch in batches:
            batch.validate(full=True)
            yield batch
    except pa.ArrowException as error:
        raise damaged_table_error(path, error) from error


def damaged_table_error(path: Path, error: Exception) -> CorpusError:
    """The error for a table with invalid content."""
    return CorpusError(f"{path} is a damaged table ({error}); download or write it again.")


def metadata_values(batch: pa.RecordBatch, name: str, path: Path) -> list[Any]:
    """The values of a metadata column: text, or numbers of at most 63 bits; None for null. Documents are numbered.

    Raises:
        CorpusError: a number is larger, or a document's name is a fraction.
    """
    column = batch.column(name)
    if name == DOCUMENT and not pa.types.is_integer(column.type):
        return [document_number(value, path) for value in column.to_pylist()]
    try:
        values: list[Any] = (column.cast(pa.int64()) if pa.types.is_integer(column.type) else column).to_pylist()
    except pa.ArrowInvalid as error:
        raise CorpusError(f"{path}: the column {name!r} has a number above 2^63 - 1 ({error}).") from error
    return values


class TableCorpus:
    """The rows of a token column, of any lengths, read on demand."""

    def __init__(self, format: str, path: Path, table: Table, columns: Columns) -> None:
        self.format = format
        self.fingerprint = fingerprint(
            format, {"column": columns.value, **_document_choices(table.schema, columns)}, table.stream
        )
        self.details: dict[str, object] = {
            "column": columns.value,
            "own_row_ids": columns.row_id is not None,
            **_unread_documents(table, columns),
        }
        self._path, self._table, self._columns = path, table, columns

    def __len__(self) -> int:
        return len(self._table)

    def read(self, positions: Ids, width: int) -> TokenRows:
        """See Corpus.read."""
        positions = as_positions(positions, len(self))
        unique, inverse = np.unique(positions, return_inverse=True)
        parts = [np.zeros((0, width), np.int64)]
        lengths = [np.zeros(0, np.int64)]
        for batch in validated(self._table.take(unique, [self._columns.value]), self._path):
            flat, list_lengths = flat_tokens(batch.column(0), self._path)
            starts = np.cumsum(list_lengths) - list_lengths
            parts.append(take_windows(flat, starts, list_lengths, width).astype(np.int64))
            lengths.append(list_lengths)
        return to_token_rows(np.concatenate(parts)[inverse], np.concatenate(lengths)[inverse], positions)

    def row_ids(self, positions: Ids) -> Ids:
        """The ids in the id column, if there is one; else the positions."""
        positions = as_positions(positions, len(self))
        name = self._columns.row_id
        if name is None:
            return positions
        ids = self._metadata(positions, [name])[name]
        if None in ids:
            raise CorpusError(
                f"{self._path}: row {positions[ids.index(None)]} has no id in the column {name!r}; "
                f"every row needs one; fill it, or rename the column."
            )
        return as_positions(ids)

    def provenance(self, positions: Ids) -> Provenance:
        """The values of the columns document, source and repetitions, where they exist."""
        positions = as_positions(positions, len(self))
        c = self._columns
        names = [name for name in (c.document, c.source, c.repetitions) if name is not None]
        metadata = self._metadata(positions, names) if names else {}
        unknown = [None] * len(positions)
        return Provenance(*(list(metadata.get(name, unknown)) for name in ("document", "source", "repetitions")))

    def _metadata(self, positions: Ids, names: list[str]) -> dict[str, list[Any]]:
        """Column name -> its values at `positions`."""
        unique, inverse = np.unique(positions, return_inverse=True)
        values: dict[str, list[Any]] = {name: [] for name in names}
        for batch in validated(self._table.take(unique, names), self._path):
            for name in names:
                values[name] += metadata_values(batch, name, self._path)
        return {name: [column[row] for row in inverse.tolist()] for name, column in values.items()}


class TableDocuments:
    """A table's rows as documents that are cut into rows."""

    def __init__(self, path: Path, table: Table, columns: Columns) -> None:
        self.kind, self.stream = columns.kind, table.stream
        self.choices: dict[str, object] = {"column": columns.value, **_document_choices(table.schema, columns)}
        self.details: dict[str, object] = {"column": columns.value, **_unread_documents(table, columns)}
        self._path, self._table, self.columns = path, table, columns

    def __iter__(self) -> Iterator[Document]:
        number = 0
        c = self.columns
        for batch in validated(self._table.scan([*c.values, *c.metadata]), self._path):
            metadata = {name: metadata_values(batch, name, self._path) for name in c.metadata}
            for row, value in enumerate(self._values(batch)):
                yield self._document(value, {name: values[row] for name, values in metadata.items()}, number)
                number += 1

    def _document(self, value: Any, metadata: dict[str, Any], number: int) -> Document:
        document = metadata.get("document")
        return Document(
            value,
            document=number if document is None and self.kind == "text" else document,
            source=metadata.get("source"),
            repetitions=metadata.get("repetitions"),
            row_id=metadata.get(self.columns.row_id or ""),
        )

    def _values(self, batch: pa.RecordBatch) -> list[Any]:
        """The text, or the array of tokens, of each row."""
        columns = [batch.column(name) for name in self.columns.values]
        if self.kind == "text":
            if any(column.null_count for column in columns):
                raise CorpusError(f"{self._path} has null instead of text in some row; leave such rows out.")
            parts = [column.to_pylist() for column in columns]
            return parts[0] if len(parts) == 1 else list(map("".join, zip(*parts, strict=True)))
        flat, lengths = flat_tokens(columns[0], self._path)
        if len(flat) and flat.min() < 0:
            raise CorpusError(f"{self._path} has the token {flat.min()}; token ids are 0 or more; check the column.")
        return np.split(flat, np.cumsum(lengths))[:-1]
