"""JSON: one object per line, with a text or token key, or one array of objects or texts; one file or a folder of them.

Files are plain, gzip or Zstandard.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.mixed_folders import are_most
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.cache import CachedCorpus, Document, open_cached
from mematlas.corpus.reading.columns import (
    ROW_ID_COLUMNS,
    Kind,
    chat_error,
    has_values,
    is_chat,
    joined_names,
    pick_values,
)
from mematlas.corpus.reading.document_names import DOCUMENT, document_number, names_no_document, unread_documents
from mematlas.corpus.reading.files import COMPRESSIONS, files_below, list_below
from mematlas.corpus.reading.json_records import (
    Record,
    begins_with,
    first_record,
    is_array_of_texts,
    is_one_object_per_line,
    read_records,
    shortened,
    token_array,
)
from mematlas.corpus.reading.skipped_files import record_skipped
from mematlas.errors import CorpusError

#: A file of these names may as well be a configuration.
AMBIGUOUS_SUFFIXES = tuple(f".json{compression}" for compression in COMPRESSIONS)
SUFFIXES = (*(name + end for name in (".jsonl", ".ndjson") for end in COMPRESSIONS), *AMBIGUOUS_SUFFIXES)


class JsonlFormat:
    """Text is tokenized and cut. Token lists are rows unchanged, or cut if a row length is given."""

    name = "jsonl"
    reads = frozenset({"row_length", "column", "cut"})
    suffixes = SUFFIXES

    def detect(self, path: Path) -> bool:
        """By the name, or a beginning that is an object or an array of them; a folder if half of its texts are."""
        if path.is_dir():
            return are_most(path, [file for file in list_below(path, SUFFIXES) if not _is_configuration(file, None)])
        return path.is_file() and (path.name.endswith(SUFFIXES) or _begins_with_record(path))

    def holds_rows(self, file: Path) -> bool:
        """Whether a file with one of `suffixes` has rows of a corpus, by the names in its first record."""
        if not file.name.endswith(AMBIGUOUS_SUFFIXES):
            return True
        return has_values(list(_first_record(file) or {}))

    def open(self, path: Path, options: CorpusOptions) -> CachedCorpus:
        """Open the documents, in the order of files and lines."""
        records = self.documents(path, options)
        return record_skipped(open_cached(self.name, path, records, options), path, records.stream.paths)

    def documents(self, path: Path, options: CorpusOptions) -> "JsonRecords":
        """The records, in the order of files and lines."""
        files = files_below(path, SUFFIXES)
        if path.is_dir():
            files = [file for file in files if not _is_configuration(file, options.column)] or files
        return JsonRecords(path, files, options.column)


class JsonRecords:
    """The documents in JSON files; the first record decides whether they are text or tokens."""

    def __init__(self, path: Path, files: list[Path], column: str | None) -> None:
        self.stream = ByteStream(files)
        first = next(read_records(files), None)
        if first is None:
            raise CorpusError(f"{path} has no lines; a corpus needs at least one JSON object.")
        where, record = first
        self._names = pick_values(list(record), column, path)
        for name in self._names:
            if is_chat(record[name]):
                raise chat_error(where, name)
        is_text = len(self._names) > 1 or isinstance(record[self._names[0]], str)
        self.kind: Kind = "text" if is_text else "tokens"
        self.choices: dict[str, object] = {"column": joined_names(self._names), "kind": self.kind}
        self.details: dict[str, object] = {"column": joined_names(self._names)}
        self._names_documents = DOCUMENT not in self._names
        if self._names_documents and DOCUMENT in record and _integer(record[DOCUMENT]) is None:
            self.choices["documents"] = "names"  # older versions read numbers alone

    def __iter__(self) -> Iterator[Document]:
        unread, example = 0, None
        for number, (where, record) in enumerate(read_records(self.stream.paths)):
            name = record.get(DOCUMENT) if self._names_documents else None
            document = document_number(name, where)
            if names_no_document(name):
                example = example if unread else name
                unread += 1
            if document is None and self.kind == "text":
                document = number
            yield Document(
                self._value(where, record),
                document=document,
                source=_text(where, "source", record["source"]) if isinstance(record.get("source"), str) else None,
                repetitions=_integer(record.get("repetitions")),
                row_id=next((_integer(record[name]) for name in ROW_ID_COLUMNS if name in record), None),
            )
        self.details |= unread_documents(unread, example)

    def _value(self, where: str, record: Record) -> str | NDArray[np.int64]:
        """The record's text or tokens; it must be of the kind of the first record."""
        for name in self._names:
            if name not in record:
                raise CorpusError(f"{where} has no {name!r}; every record needs it; it has: {', '.join(record)}.")
        if self.kind == "tokens":
            return token_array(where, self._names[0], record[self._names[0]])
        return "".join(_text(where, name, record[name]) for name in self._names)


def _text(where: str, name: str, value: object) -> str:
    """Return `value`, which must be valid Unicode: JSON may have half a surrogate pair, which no tokenizer accepts."""
    if not isinstance(value, str):
        raise CorpusError(f"{where}: {name!r} is {shortened(value)}, but it must be text, as in the first record.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise CorpusError(f"{where}: {name!r} has {half}, half of a surrogate pair, which is not text.") from error
    return value


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 1 << 63 else None


def _begins_with_record(path: Path) -> bool:
    """Whether a file of another name has an object first, or an array of objects or texts.

    Of texts two are read, as prose may begin with a bracket and a quote.
    """
    try:
        if not begins_with(path, b"{", b"["):
            return False
        return sum(1 for _ in islice(read_records([path]), 2 if is_array_of_texts(path) else 1)) > 0
    except CorpusError:
        return False


def _is_configuration(file: Path, column: str | None) -> bool:
    """Whether a ``.json`` file is one object over several lines, without a column that could be a corpus."""
    if not file.name.endswith(AMBIGUOUS_SUFFIXES):
        return False
    record = _first_record(file)
    if record is None or column in record or has_values(list(record)):
        return False
    return begins_with(file, b"{") and not is_one_object_per_line(file)


def _first_record(file: Path) -> Record | None:
    """The first record; None if there is none, or the file is damaged, which an attempt to read it will report."""
    try:
        return first_record(file)
    except CorpusError:
        return None
