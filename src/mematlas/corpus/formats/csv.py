"""CSV and TSV: a header with the names of the columns, then one row a record; one file or a folder of them.

Fields are delimited by commas, tabs, semicolons or bars and quoted with double quotes, in which line ends may occur
(RFC 4180). Files are plain, gzip or Zstandard. Tokens are written as JSON writes lists: ``[1, 2, 3]``.
"""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.mixed_folders import are_most
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.cache import CachedCorpus, Document, open_cached
from mematlas.corpus.reading.chats import are_chats
from mematlas.corpus.reading.columns import ROW_ID_COLUMNS, TOKEN_COLUMNS, Columns, Kind, has_values, pick_values
from mematlas.corpus.reading.compression import HEAD_BYTES, first_bytes, read_lines
from mematlas.corpus.reading.document_names import DOCUMENT, document_number
from mematlas.corpus.reading.files import COMPRESSIONS, files_below, list_below
from mematlas.corpus.reading.json_records import token_array
from mematlas.corpus.reading.record_texts import RecordTexts
from mematlas.corpus.reading.skipped_files import record_skipped
from mematlas.corpus.reading.unreadable import not_utf8
from mematlas.errors import CorpusError

SUFFIXES: Final = tuple(name + end for name in (".csv", ".tsv") for end in COMPRESSIONS)
DELIMITERS: Final = ",\t;|"
FIELD_CHARACTERS: Final = 1 << 27  # a longer field is a quote that is never closed
_TOKENS: Final = re.compile(r"\s*\[\s*(\d+\s*(,\s*\d+\s*)*)?\]\s*")
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}(\.0*)?")  # pandas writes integers beside missing ones as 16.0


class CsvFormat:
    """Text is tokenized and cut. Token lists are rows unchanged, or cut if a row length is given."""

    name = "csv"
    reads = frozenset({"row_length", "column", "cut"})
    suffixes = SUFFIXES

    def detect(self, path: Path) -> bool:
        """By the name, or a header with a known name and rows of as many fields; a folder if half of its texts are."""
        if path.is_dir():
            return are_most(path, list_below(path, SUFFIXES))
        return path.is_file() and (path.name.endswith(SUFFIXES) or _begins_with_header(path))

    def open(self, path: Path, options: CorpusOptions) -> CachedCorpus:
        """Open the documents, in the order of files and rows."""
        rows = self.documents(path, options)
        return record_skipped(open_cached(self.name, path, rows, options), path, rows.stream.paths)

    def documents(self, path: Path, options: CorpusOptions) -> "CsvRows":
        """The rows, in the order of files."""
        return CsvRows(path, files_below(path, SUFFIXES), options)


class CsvRows:
    """The documents in CSV files, which share one header; the first row decides: text, chats in JSON, or tokens."""

    def __init__(self, path: Path, files: list[Path], options: CorpusOptions) -> None:
        self.stream = ByteStream(files)
        self._tables = [CsvTable(file, read_header(file)) for file in files]
        first = self._tables[0]
        for table in self._tables[1:]:
            if table.names != first.names:
                raise CorpusError(
                    f"{table.path} has other columns than {first.path}: {', '.join(table.names)}, not "
                    f"{', '.join(first.names)}; the files of one corpus share one header; open them one by one."
                )
        first_row = next((row for t in self._tables for _, row in t.rows()), None)
        self._columns = _choose_columns(first, options.column, first_row)
        self.kind: Kind = self._columns.kind
        fields = {name: first_row[first.names.index(name)] for name in self._columns.values} if first_row else {}
        is_chat = self.kind == "text" and are_chats(fields)
        self._texts = RecordTexts(self._columns.values, options, first.path, is_chat=is_chat)
        self.answers = self._texts.answers
        self.choices: dict[str, object] = {
            "column": self._columns.value,
            "kind": self.kind,
            **self._texts.choices,
        }
        if first_row and self._columns.document and _integer(first_row[first.names.index(DOCUMENT)]) is None:
            self.choices["documents"] = "names"  # older versions read numbers alone
        self.details: dict[str, object] = {"column": self._columns.value}

    def __iter__(self) -> Iterator[Document]:
        c, number = self._columns, 0
        for table in self._tables:
            place = {name: table.names.index(name) for name in (*c.values, *c.metadata)}
            for where, row in table.rows():
                fields = {name: row[index] for name, index in place.items()}
                document = _document(fields.get(c.document or ""), where)
                for value, answer in self._values(where, fields):
                    yield Document(
                        value,
                        document=number if document is None and c.kind == "text" else document,
                        source=fields.get(c.source or "") or None,
                        repetitions=_integer(fields.get(c.repetitions or "")),
                        row_id=_integer(fields.get(c.row_id or "")),
                        answer=answer,
                    )
                number += 1
        self.details |= self._texts.details

    def _values(self, where: str, fields: dict[str, str]) -> Iterator[tuple[str | NDArray[np.int64], int | None]]:
        """A row's texts or tokens, and where the answer of a text begins."""
        if self.kind == "tokens":
            yield _tokens(where, self._columns.value, fields[self._columns.value]), None
            return
        for text in self._texts(where, fields):
            yield text.text, text.answer


@dataclass(frozen=True, slots=True)
class CsvTable:
    """One file. header: as `read_header` returns it."""

    path: Path
    header: tuple[str, list[str]]

    @property
    def names(self) -> list[str]:
        return self.header[1]

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the fields of each row after the header, with its file and line for messages; blank lines are skipped.

        Raises:
            CorpusError: a row has another number of fields than the header, or is not valid CSV in UTF-8.
        """
        for line, row in _read(self.path, self.header[0]):
            where = f"{self.path}, line {line}"
            if len(row) != len(self.names):
                raise CorpusError(
                    f"{where} has {len(row)} fields, but the header has {len(self.names)} ({', '.join(self.names)}); "
                    f"quote fields that contain the delimiter {self.header[0]!r}."
                )
            yield where, row


def _read(path: Path, delimiter: str, skip_header: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its first line."""
    csv.field_size_limit(FIELD_CHARACTERS)  # of the whole process; the library's own limit is 128 KiB
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            if row and not skip_header:
                yield line, row
            skip_header = skip_header and not row
            line = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{path}, the row from line {line} on is not valid CSV: {error}; close every quote, and double "
            f"those within a field."
        ) from error


def _lines(path: Path) -> Iterator[str]:
    """The file's lines with line ends, decoded."""
    for number, line in enumerate(read_lines(path)):
        try:
            yield line.decode("utf-8" if number else "utf-8-sig") + "\n"
        except UnicodeDecodeError as error:
            raise not_utf8(f"{path}, line {number + 1}", path, error) from error


def read_header(path: Path) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns of a file.

    Raises:
        CorpusError: the file has no line, or its first row is not valid CSV with any delimiter.
    """
    headers, errors = [], []
    for delimiter in DELIMITERS:
        try:
            headers += [(delimiter, row) for _, row in islice(_read(path, delimiter, skip_header=False), 1)]
        except CorpusError as error:
            errors.append(error)
    if not headers and errors:
        raise errors[0]
    if not headers:
        raise CorpusError(f"{path} has no lines; a CSV file has a header with the names of its columns.")
    return _best_header(headers)


def _best_header(headers: list[tuple[str, list[str]]]) -> tuple[str, list[str]]:
    """Of the first row cut at each delimiter the one with the most names, if possible with known ones."""
    stripped = [(delimiter, [name.strip() for name in names]) for delimiter, names in headers]
    return max(stripped, key=lambda header: (has_values(header[1]), len(header[1])))


def _begins_with_header(path: Path) -> bool:
    """Whether a file of another name has a header of several names, a known one among them, and a row that fits it."""
    try:
        head = first_bytes(path)
    except CorpusError:
        return False
    is_whole = len(head) < HEAD_BYTES
    lines = head.decode("utf-8-sig", errors="replace").split("\n")
    headers = []
    for delimiter in DELIMITERS:
        with suppress(csv.Error):
            headers += [(delimiter, row) for row in csv.reader(lines[:1], delimiter=delimiter, strict=True)]
    delimiter, names = _best_header(headers) if headers else ("", [])
    if len(names) < 2 or not has_values(names) or any(" " in name for name in names):  # a line of prose
        return False
    try:
        rows = csv.reader((f"{line}\n" for line in lines[1:]), delimiter=delimiter, strict=True)
        first = next((row for row in rows if row), None)
    except csv.Error:
        return not is_whole
    return first is not None and len(first) == len(names)


def _choose_columns(table: CsvTable, column: str | None, first: list[str] | None) -> Columns:
    """Choose the columns by name; `first` is the first row.

    Raises:
        CorpusError: there is no such column, it occurs twice, or there is no row.
    """
    names = table.names
    values = pick_values(names, column, f"The header of {table.path}")
    repeated = [name for name in values if names.count(name) > 1]
    if repeated:
        raise CorpusError(f"The header of {table.path} has {repeated[0]!r} more than once; rename one of them.")
    if first is None:
        raise CorpusError(f"{table.path} has a header but no row; a corpus needs at least one.")
    is_tokens = len(values) == 1 and (
        values[0] in TOKEN_COLUMNS or _TOKENS.fullmatch(first[names.index(values[0])]) is not None
    )
    return Columns(
        values,
        "tokens" if is_tokens else "text",
        row_id=next((name for name in ROW_ID_COLUMNS if name in names), None),
        **{name: name for name in (DOCUMENT, "source", "repetitions") if name in names and name not in values},
    )


def _tokens(where: str, column: str, field: str) -> NDArray[np.int64]:
    """The tokens in a field such as ``[1, 2, 3]``."""
    try:
        value = json.loads(field)
    except (ValueError, RecursionError):
        value = field
    return token_array(where, column, value)


def _document(field: str | None, where: str) -> int | None:
    """The number of a document; fields have no type, so what reads as a whole number is one, and all else a name."""
    integer = _integer(field)
    return document_number(field if integer is None else integer, where)


def _integer(field: str | None) -> int | None:
    return int(field.partition(".")[0]) if field is not None and _INTEGER.fullmatch(field) else None
