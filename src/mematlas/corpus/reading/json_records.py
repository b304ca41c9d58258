"""Streams the records of JSON files: one object per line, or one array of objects or of texts per file."""

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.reading.compression import first_bytes, read_chunks, read_lines
from mematlas.errors import CorpusError

_DECODER: Final = json.JSONDecoder()
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CUT_OFF_CHARACTERS: Final = 12  # a value that goes on in the next piece is at fault at most so far from the end
_TEXT: Final = "text"  # the name of the only key of a record that stands for a text

Record = dict[str, Any]


def read_records(files: Iterable[Path]) -> Iterator[tuple[str, Record]]:
    """Yield each object with its file and its line, or its number in an array, for messages.

    A text in an array is yielded as ``{"text": text}``. Blank lines are skipped.

    Raises:
        CorpusError: it is not valid JSON in UTF-8, or a value is of another kind.
    """
    for path in files:
        yield from _array(path) if begins_with(path, b"[") else _lines(path)


def begins_with(path: Path, *beginnings: bytes) -> bool:
    """Whether the decompressed file begins with one of `beginnings`, after blanks."""
    return first_bytes(path).removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(beginnings)


def first_record(path: Path) -> Record | None:
    """The file's first record, even if it extends over several lines; None if it has none."""
    head = first_bytes(path).removeprefix(_BYTE_ORDER_MARK).decode("utf-8", errors="replace").lstrip()
    try:
        value = _DECODER.raw_decode(head.removeprefix("[").lstrip())[0]
    except (ValueError, RecursionError):
        return None
    if isinstance(value, str) and head.startswith("["):
        return {_TEXT: value}
    return value if isinstance(value, dict) else None


def is_array_of_texts(path: Path) -> bool:
    """Whether the file begins with an array whose first element is a text."""
    head = first_bytes(path).removeprefix(_BYTE_ORDER_MARK).lstrip()
    return head[:1] == b"[" and head[1:].lstrip()[:1] == b'"'


def is_one_object_per_line(path: Path) -> bool:
    """Whether the first line is a JSON value by itself."""
    try:
        json.loads(next(read_lines(path), b""))
    except (ValueError, RecursionError):
        return False
    return True


def shortened(value: object) -> str:
    """JSON of `value`, in at most 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def token_array(where: str, column: str, value: object) -> NDArray[np.int64]:
    """The tokens in a value of the column `column`: shape (tokens,).

    Raises:
        CorpusError: it is no list of integers, 0 or more and below 2^32.
    """
    if not isinstance(value, list):
        raise CorpusError(f"{where}: {column!r} is {shortened(value)}, but tokens are a list; check the column.")
    for token in value:
        if type(token) is not int or not 0 <= token < 1 << 32:
            raise CorpusError(
                f"{where}: {column!r} has {shortened(token)}, but tokens are integers, 0 or more; check the column."
            )
    return np.array(value, dtype=np.int64)


def _lines(path: Path) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:  # JSONDecodeError, UnicodeDecodeError, deeply nested brackets
            raise CorpusError(
                f"{where} is not valid JSON: {error}; each line is one object in UTF-8 (`jq -c .` writes them so)."
            ) from error
        if not isinstance(value, dict):
            raise CorpusError(f"{where} is {shortened(value)}, but each line is one JSON object: {{...}}.")
        yield where, value


def _array(path: Path) -> Iterator[tuple[str, Record]]:
    kind: type | None = None
    for number, value in enumerate(_elements(path), start=1):
        where = f"{path}, element {number}"
        kind = kind or type(value)
        if type(value) is not kind or kind not in (dict, str):
            raise CorpusError(
                f"{where} of the array is {shortened(value)}, but all elements are objects, or all are texts; "
                f'write rows of tokens as {{"tokens": [1, 2, 3]}}.'
            )
        yield where, value if isinstance(value, dict) else {_TEXT: value}


def _elements(path: Path) -> Iterator[Any]:
    """Parse the elements of the array one by one; only one of them, and a piece of the file, is in memory."""
    text = _Text(path)
    text.skip("[")
    number = 1
    if text.peek() == "]":
        text.skip("]")
    else:
        while True:
            yield text.value(f"{path}, element {number}")
            number += 1
            separator = text.peek()
            if separator not in (",", "]"):
                raise CorpusError(
                    f"{path} is not valid JSON: after element {number - 1} of its array, "
                    f"{'it ends' if not separator else f'{separator!r} follows'}, "
                    f"where a comma or the end of the array must follow; write the file again."
                )
            text.skip(separator)
            if separator == "]":
                break
    if text.peek():
        raise CorpusError(
            f"{path} has more after the end of its array: {text.peek()!r}; a file is one array, or one object per line."
        )


class _Text:
    """A file's text, of which only what is not parsed yet is kept."""

    def __init__(self, path: Path) -> None:
        self._path, self._chunks = path, read_chunks(path)
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._kept, self._at, self._is_complete = "", 0, False

    def peek(self) -> str:
        """The next character that is no blank, or the empty string at the end."""
        while True:
            self._at = _after_blanks(self._kept, self._at)
            if self._at < len(self._kept) or self._is_complete:
                return self._kept[self._at : self._at + 1]
            self._read(1)

    def skip(self, character: str) -> None:
        """Move behind `character`, which must be the next one."""
        assert self.peek() == character
        self._at += 1

    def value(self, where: str) -> Any:
        """The next JSON value.

        Raises:
            CorpusError: it is not valid, or the file ends within it.
        """
        self.peek()
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._kept, self._at)
                return value
            except json.JSONDecodeError as error:
                is_cut_off = error.msg.startswith("Unterminated") or error.pos > len(self._kept) - _CUT_OFF_CHARACTERS
                if self._is_complete or not is_cut_off:
                    raise CorpusError(f"{where} is not valid JSON: {error.msg}; write the file again.") from error
                self._read(len(self._kept) - self._at)  # twice as much, so that a long value is not parsed often
            except (ValueError, RecursionError) as error:  # a number of too many digits, deeply nested brackets
                raise CorpusError(f"{where} is not valid JSON: {error}; write the file again.") from error

    def _read(self, characters: int) -> None:
        """Read at least so many characters more, if there are."""
        pieces, read = [self._kept[self._at :]], 0
        while read < characters and not self._is_complete:
            chunk = next(self._chunks, None)
            self._is_complete = chunk is None
            try:
                pieces.append(self._decode(chunk or b"", final=self._is_complete))
            except UnicodeDecodeError as error:
                raise CorpusError(f"{self._path} is not valid JSON: {error}; JSON is UTF-8; write it again.") from error
            read += len(pieces[-1])
        self._kept, self._at = "".join(pieces), 0


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n\r":
        at += 1
    return at
