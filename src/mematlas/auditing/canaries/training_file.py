"""A training file taken apart into records, and put together again with more of them, in its own format.

A record that is not changed keeps its text to the character in JSON Lines and plain text, and its values in CSV and
JSON arrays. In plain text each line is a record.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mematlas.auditing.canaries.chats import answer_text, chat_like, last_answer, with_answer
from mematlas.auditing.canaries.template import Template
from mematlas.corpus.formats.csv import CsvTable, read_header
from mematlas.corpus.opening import detect_format
from mematlas.corpus.reading.chats import are_chats
from mematlas.corpus.reading.columns import INPUT_COLUMN, PROMPT_COLUMNS, pick_values
from mematlas.corpus.reading.compression import read_lines
from mematlas.corpus.reading.files import COMPRESSIONS
from mematlas.corpus.reading.json_records import begins_with, is_array_of_texts, read_records, shortened
from mematlas.corpus.reading.unreadable import not_utf8
from mematlas.errors import CorpusError

Record = dict[str, Any]
_TEXT: Final = "text"


@dataclass(frozen=True, slots=True)
class TrainingFile:
    """The records of a file.

    columns: of which a text consists; raw: each record as it stands in the file; records: the same as values by column;
    encode: a record -> how it stands in the file; assemble: all of them -> the content of the file; is_joined: whether
    several columns are one text as they are, without words in between.
    """

    columns: tuple[str, ...]
    raw: list[str]
    records: list[Record]
    encode: Callable[[Record], str]
    assemble: Callable[[Sequence[str]], str]
    is_joined: bool = False

    @property
    def is_chat(self) -> bool:
        """Whether its texts are lists of messages."""
        return are_chats({name: self.records[0].get(name) for name in self.columns})

    def own_record(self, template: Template, secret: str) -> Record:
        """A record that is the canary; what stands before the secret is the prompt where the file has prompts."""
        answer, prompt = f"{secret}{template.after}", template.before.rstrip()
        first, *middle, last = self.columns if len(self.columns) > 1 else ("", *self.columns)
        if self.is_chat:
            return chat_like(self.records[0].get(self.columns[0]), self.columns, prompt, answer)
        if not first:
            return {last: template.text(secret)}
        space = template.before[len(prompt) :] if self.is_joined else ""  # belongs to the answer's first token
        return {first: prompt, **dict.fromkeys(middle, ""), last: f"{space}{answer}"}

    def with_text(self, record: Record, text: str, *, at_start: bool) -> Record | None:
        """The record with `text` at the start or end of its text, or of its last answer; None if it has none."""
        name = self.columns[-1]
        value = record.get(name)
        if self.is_chat:
            place = last_answer(value)
            joined = None if place is None else _joined(answer_text(value, place), text, at_start)
            return None if place is None or joined is None else record | {name: with_answer(value, place, joined)}
        joined = _joined(value, text, at_start)
        return None if joined is None else record | {name: joined}


def _joined(value: object, text: str, at_start: bool) -> str | None:
    """Both texts with a space between them, inside the blanks around `value`; None if that is blank."""
    if not isinstance(value, str) or not (core := value.strip()):
        return None
    before, _, after = value.partition(core)
    return f"{before}{text} {core}{after}" if at_start else f"{before}{core} {text}{after}"


def read_training_file(path: Path, column: str | None) -> TrainingFile:
    """Take a file apart.

    Raises:
        CorpusError: it is not there, damaged, of another format, compressed, a folder, or has no texts.
    """
    if path.is_dir():
        raise CorpusError(f"{path} is a folder; name one file, to a copy of which canaries are added.")
    if path.name.endswith(tuple(filter(None, COMPRESSIONS))):
        raise CorpusError(f"{path} is compressed; decompress it first: the file with canaries is written plainly.")
    name = detect_format(path).name
    readers = {"jsonl": _read_json, "csv": _read_csv, "text": _read_text}
    if name not in readers:
        raise CorpusError(
            f"{path} has the format {name!r}, and canaries go into JSON, CSV and plain text; write it as JSON Lines."
        )
    file = readers[name](path, column)
    if not file.records:
        raise CorpusError(f"{path} has no records; canaries are hidden among texts.")
    for name in () if file.is_chat else file.columns:
        value = file.records[0].get(name)
        if not isinstance(value, str) and name != INPUT_COLUMN:
            raise CorpusError(
                f"{path}: {name!r} is {shortened(value)}, but canaries are text; name a --column of text."
            )
    return file


def _read_json(path: Path, column: str | None) -> TrainingFile:
    records = [record for _, record in read_records([path])]
    columns = pick_values(list(records[0]) if records else [], column, path)
    is_joined = column is not None or columns == PROMPT_COLUMNS
    if not begins_with(path, b"["):
        raw = [line.decode("utf-8-sig").removesuffix("\r") for line in read_lines(path) if line.strip()]
        return TrainingFile(columns, raw, records, _json, _lines, is_joined)
    encode = (lambda record: _json(record[_TEXT])) if is_array_of_texts(path) else _json
    return TrainingFile(columns, [encode(each) for each in records], records, encode, _json_array, is_joined)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json_array(raw: Sequence[str]) -> str:
    return "[\n" + ",\n".join(raw) + "\n]\n"


def _lines(raw: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in raw)


def _read_csv(path: Path, column: str | None) -> TrainingFile:
    table = CsvTable(path, read_header(path))
    columns = pick_values(table.names, column, path)

    def written(fields: Sequence[str]) -> str:
        out = io.StringIO()
        csv.writer(out, delimiter=table.header[0], lineterminator="\n").writerow(fields)
        return out.getvalue()

    def encode(record: Record) -> str:
        return written([record.get(name, "") for name in table.names])

    def assemble(raw: Sequence[str]) -> str:
        return written(table.names) + "".join(raw)

    records = [dict(zip(table.names, row, strict=True)) for _, row in table.rows()]
    is_joined = column is not None or columns == PROMPT_COLUMNS
    return TrainingFile(columns, [encode(each) for each in records], records, encode, assemble, is_joined)


def _read_text(path: Path, column: str | None) -> TrainingFile:
    if column is not None:
        raise CorpusError(f"{path} is plain text, which has no columns; leave out --column.")
    try:
        content = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), path, error) from error
    end = "\r" if "\r\n" in content else ""
    raw = content.removesuffix("\n").split("\n")
    records = [{_TEXT: line.removesuffix("\r")} for line in raw]
    return TrainingFile((_TEXT,), raw, records, lambda record: f"{record[_TEXT]}{end}", _lines)
