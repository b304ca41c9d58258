"""The items of a task from a file: what is asked for (input), and the one right answer (output).

    id,input,output,popularity,language,group
    AF,Afghanistan,AF,120,en,Asia

Only input and output are needed. An item with `choices` may name its answer by number (from 0), letter or text in
`output`, `answer` or `answerKey`. In CSV, choices are separated by bars, or written as a JSON list.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

from mematlas.corpus.reading.choices import choice_texts
from mematlas.corpus.records import Record, read_table
from mematlas.errors import CorpusError, did_you_mean

_ANSWERS: Final = ("output", "answer", "answerKey")


@dataclass(frozen=True, slots=True)
class Item:
    """One question. id: its name, unique in the task; input: what is asked about; output: the right answer.

    choices: texts among which the answer is, if they are given; popularity: a number of the user's own, 0 or more;
    language: items of a language are asked with templates of it; group: items that belong together.
    """

    id: str
    input: str
    output: str
    choices: tuple[str, ...] = ()
    popularity: float | None = None
    language: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """Names of columns that differ from the usual ones."""

    input: str = "input"
    output: str = "output"


def read_items(path: Path, columns: ItemColumns | None = None, format: str | None = None) -> tuple[Item, ...]:
    """The items of a task file, in its order; without a column `id` they are numbered from 0.

    Args:
        path, format: see `corpus.records.read_table`.

    Raises:
        CorpusError: the file cannot be read, has no item, lacks a column, or an id occurs twice.
    """
    names, items, places = columns or ItemColumns(), [], dict[str, str]()
    for number, (where, record) in enumerate(read_table(path, format)):
        item = _item(number, where, record, names)
        if item.id in places:
            raise CorpusError(
                f"{where}: the id {item.id!r} occurs twice (first in {places[item.id].removeprefix(f'{path}, ')}); "
                "ids name items, so give each its own, or leave the column id out."
            )
        places[item.id] = where
        items.append(item)
    if not items:
        raise CorpusError(f"{path} has no item; write one a line, with the columns input and output.")
    return tuple(items)


def _item(number: int, where: str, record: Record, columns: ItemColumns) -> Item:
    choices = _choices(where, record.get("choices"))
    name = columns.output
    if name not in record and name == "output":
        name = next((known for known in _ANSWERS if known in record), name)
    output = _text(where, record, name, "output-column")
    return Item(
        id=str(number if record.get("id") in (None, "") else record["id"]).strip(),
        input=_text(where, record, columns.input, "input-column"),
        output=_chosen(where, output, choices) if choices else output,
        choices=choices,
        popularity=_popularity(where, record.get("popularity")),
        language=_optional(record.get("language")),
        group=_optional(record.get("group")),
    )


def _text(where: str, record: Record, name: str, option: str) -> str:
    if name not in record:
        raise CorpusError(
            f"{where} has no column {name!r}.{did_you_mean(name, record)} It has: {', '.join(record)}; name one: "
            f"--{option}."
        )
    value = record[name]
    text = "" if value is None or isinstance(value, bool | list | dict) else str(value).strip()
    if not text or "\n" in text:
        raise CorpusError(f"{where} has no text of one line in the column {name!r} ({value!r}); fill it.")
    return text


def _optional(value: object) -> str | None:
    return None if value is None or not str(value).strip() else str(value).strip()


def _popularity(where: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise CorpusError(f"{where}: the popularity {value!r} is not a number of 0 or more; correct or empty it.")
    return number


def _choices(where: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        text = value.strip()
        try:
            value = json.loads(text) if text[:1] in ("[", "{") else text.split("|") if text else None
        except ValueError:
            value = text.split("|")
    texts = choice_texts(value)
    if texts is None or len(texts) == 1 or len(set(texts)) < len(texts) or not all(texts):
        raise CorpusError(f"{where} has choices that are not at least two different texts; give a list of them.")
    return texts


def _chosen(where: str, answer: str, choices: Sequence[str]) -> str:
    """The choice that an answer names by its text, its number from 0 or its letter."""
    if answer in choices:
        return answer
    letter = ascii_uppercase.find(answer) if len(answer) == 1 else -1
    number = int(answer) if answer.isdecimal() else letter
    if not 0 <= number < len(choices):
        raise CorpusError(
            f"{where}: the answer {answer!r} is none of its {len(choices)} choices; give its text, letter, or number "
            "from 0."
        )
    return choices[number]
