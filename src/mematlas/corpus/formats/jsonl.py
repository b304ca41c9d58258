"""JSON lines: one object per line, with a text or token key; plain, gzip or Zstandard; one file or a folder of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.cache import CachedCorpus, Document, open_cached
from mematlas.corpus.reading.columns import ROW_ID_COLUMNS, Kind, pick_value
from mematlas.corpus.reading.compression import first_bytes, read_lines
from mematlas.corpus.reading.files import files_below, list_below
from mematlas.errors import CorpusError

SUFFIXES = tuple(name + compression for name in (".jsonl", ".json", ".ndjson") for compression in ("", ".gz", ".zst"))


class JsonlFormat:
    """Text is tokenized and cut. Token lists are rows unchanged, or cut if a row length is given."""

    name = "jsonl"
    reads = frozenset({"row_length", "column", "cut"})

    def detect(self, path: Path) -> bool:
        """By the name, or a first line that is a JSON object; a folder if half of its files have such a name."""
        if path.is_dir():
            named = list_below(path, SUFFIXES)
            return bool(named) and 2 * len(named) >= len(list_below(path))
        return path.is_file() and (path.name.endswith(SUFFIXES) or _begins_with_object(path))

    def open(self, path: Path, options: CorpusOptions) -> CachedCorpus:
        """Open the documents, in the order of files and lines."""
        return open_cached(self.name, path, JsonLines(path, options.column), options)


class JsonLines:
    """The documents in JSON lines; the first line decides whether they are text or tokens."""

    def __init__(self, path: Path, column: str | None) -> None:
        files = files_below(path, SUFFIXES)
        self.stream = ByteStream(files)
        first = next(_objects(files), None)
        if first is None:
            raise CorpusError(f"{path} has no lines; a corpus needs at least one JSON object.")
        self._column = pick_value(list(first[1]), column, path)
        self.kind: Kind = "text" if isinstance(first[1][self._column], str) else "tokens"
        self.choices: dict[str, object] = {"column": self._column, "kind": self.kind}
        self.details: dict[str, object] = {"column": self._column}

    def __iter__(self) -> Iterator[Document]:
        for number, (where, record) in enumerate(_objects(self.stream.paths)):
            document = _integer(record.get("document"))
            if document is None and self.kind == "text":
                document = number
            yield Document(
                self._value(where, record),
                document=document,
                source=_text(where, "source", record["source"]) if isinstance(record.get("source"), str) else None,
                repetitions=_integer(record.get("repetitions")),
                row_id=next((_integer(record[name]) for name in ROW_ID_COLUMNS if name in record), None),
            )

    def _value(self, where: str, record: dict[str, Any]) -> str | NDArray[np.int64]:
        """The record's text or tokens; it must be the kind of the first line."""
        if self._column not in record:
            raise CorpusError(f"{where} has no {self._column!r}; every line needs it; it has: {', '.join(record)}.")
        value = record[self._column]
        if self.kind == "tokens":
            return _tokens(where, self._column, value)
        if not isinstance(value, str):
            raise CorpusError(f"{where}: {self._column!r} is {_shortened(value)}, but the first line has text there.")
        return _text(where, self._column, value)


def _objects(files: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's object with its file and line number for messages; blank lines are skipped."""
    for path in files:
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:  # JSONDecodeError, UnicodeDecodeError, deeply nested brackets
                raise CorpusError(f"{where} is not valid JSON: {error}; each line is one object in UTF-8.") from error
            if not isinstance(value, dict):
                raise CorpusError(f"{where} is {_shortened(value)}, but each line is one JSON object: {{...}}.")
            yield where, value


def _tokens(where: str, column: str, value: object) -> NDArray[np.int64]:
    if not isinstance(value, list):
        raise CorpusError(f"{where}: {column!r} is {_shortened(value)}, but tokens are a list; check the column.")
    for token in value:
        if type(token) is not int or not 0 <= token < 1 << 32:
            raise CorpusError(
                f"{where}: {column!r} has {_shortened(token)}, but tokens are integers, 0 or more; check the column."
            )
    return np.array(value, dtype=np.int64)


def _text(where: str, name: str, value: str) -> str:
    """Return `value`, which must be valid Unicode: JSON may have half a surrogate pair, which no tokenizer accepts."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise CorpusError(f"{where}: {name!r} has {half}, half of a surrogate pair, which is not text.") from error
    return value


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 1 << 63 else None


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _begins_with_object(path: Path) -> bool:
    try:
        return first_bytes(path).lstrip().startswith(b"{") and next(_objects([path]), None) is not None
    except CorpusError:
        return False
