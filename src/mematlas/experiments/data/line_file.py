"""A file of the user's own with one text a line, of which models are trained on subsets."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from mematlas.corpus.reading.document_names import DOCUMENT
from mematlas.errors import CorpusError
from mematlas.study import write_bytes
from mematlas.types import Ids

_JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class LineFile:
    """The lines of a file, as they are, with their ends; blank ones are left out. is_json: of one object each;
    names_documents: whether an object says which document it is from, so that this is not the number of its line."""

    path: Path
    lines: tuple[bytes, ...]
    is_json: bool
    names_documents: bool = False

    @cached_property
    def texts(self) -> Ids:
        """Shape (lines,), equal numbers for equal lines."""
        numbers: dict[bytes, int] = {}
        return np.array([numbers.setdefault(line.rstrip(b"\r\n"), len(numbers)) for line in self.lines], np.int64)

    def subset(self, rows: Ids) -> bytes:
        """The content of a file with these lines alone, in their order."""
        return b"".join(self.lines[row] for row in rows)

    def digest(self, rows: Ids) -> str:
        """A hash of `subset`."""
        return hashlib.sha256(self.subset(rows)).hexdigest()

    def scored_file(self, folder: Path) -> Path:
        """A corpus with one document a line: the file itself, or of plain text one that is written to `folder`."""
        if self.is_json:
            return self.path.resolve()
        path = folder / "lines.jsonl"
        texts = [json.dumps({"text": line.decode("utf-8").rstrip("\r\n")}, ensure_ascii=False) for line in self.lines]
        write_if_changed(path, "".join(f"{text}\n" for text in texts).encode())
        return path


def read_line_file(path: Path) -> LineFile:
    """Read a file of JSON lines, or a text in UTF-8.

    Raises:
        CorpusError: it is absent, a folder, no text in UTF-8, has no line, or a line is no JSON object.
    """
    if not path.is_file():
        raise CorpusError(f"There is no file {path}; trainer needs one with a text or a JSON object a line.")
    content = path.read_bytes()
    is_json = path.name.endswith(_JSON_SUFFIXES)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise CorpusError(
            f"{path} is no text in UTF-8; trainer draws subsets of lines: write it as JSON lines, uncompressed."
        ) from None
    numbered = [(number, line) for number, line in enumerate(_lines(content), start=1) if line.strip()]
    if not numbered:
        raise CorpusError(f"{path} has no line with a text; trainer draws subsets of its lines.")
    records = [*_objects(path, numbered)] if is_json else []
    names_documents = any(DOCUMENT in record for record in records)
    return LineFile(path, tuple(line for _, line in numbered), is_json, names_documents)


def _lines(content: bytes) -> list[bytes]:
    *whole, last = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [*(line + b"\n" for line in whole), last]


def _objects(path: Path, numbered: Sequence[tuple[int, bytes]]) -> Iterator[dict[str, Any]]:
    for number, line in numbered:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise CorpusError(
                f"{path}, line {number} is no JSON object; subsets are drawn from lines: write one object a line "
                "(`jq -c '.[]'` does of an array)."
            )
        yield record


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, unless it has this content already.

    Raises:
        StudyError: it cannot be written.
    """
    if not (path.is_file() and path.read_bytes() == content):
        write_bytes(path, content)
