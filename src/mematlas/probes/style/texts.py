"""Texts with their authors, of whom some are in the training of a model and some are not.

author,in_training,text
Ada,true,"It was the habit of the house that ..."
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mematlas.corpus.records import Record, read_table
from mematlas.errors import CorpusError, did_you_mean

_COLUMNS: Final = ("text", "author", "in_training")
_FLAGS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_FEWEST_AUTHORS: Final = 2  # of each kind, so that there is a spread between authors
_FEWEST_TEXTS: Final = 2  # of each author, so that one is left to learn the style from


@dataclass(frozen=True, slots=True)
class AuthorText:
    """A text. prompt: its beginning; rest: all after it, a blank first."""

    id: str
    author: str
    in_training: bool
    prompt: str
    rest: str

    @property
    def text(self) -> str:
        return self.prompt + self.rest


def read_texts(path: Path, prompt_words: int, format: str | None = None) -> tuple[tuple[AuthorText, ...], int]:
    """The texts of a table that have at least twice as many words as a prompt, in its order; and how many have not.

    Raises:
        CorpusError: the file cannot be read or lacks a column; an author is both in and not in training, or has fewer
            than two texts; there are fewer than two authors of either kind; a text occurs twice.
    """
    found, short, kinds, places = list[AuthorText](), 0, dict[str, bool](), dict[str, str]()
    for number, (where, record) in enumerate(read_table(path, format)):
        text, author = _text(where, record, "text"), _text(where, record, "author")
        flag = _flag(where, record.get("in_training"))
        if kinds.setdefault(author, flag) != flag:
            raise CorpusError(f"{where}: {author!r} is both in and not in training; give an author one in_training.")
        if text in places:
            raise CorpusError(
                f"{where} has the text of {places[text]}, so that it would be told from itself; leave one of them out."
            )
        places[text] = where
        words = list(re.finditer(r"\S+", text))
        if len(words) < 2 * prompt_words:
            short += 1
            continue
        end = words[prompt_words - 1].end()
        name = record.get("id")
        name = str(number) if name in (None, "") else str(name)
        found.append(AuthorText(name, author, flag, text[:end], text[end:]))
    _check_authors(path, found, kinds, prompt_words)
    return tuple(found), short


def _check_authors(path: Path, texts: list[AuthorText], kinds: dict[str, bool], prompt_words: int) -> None:
    counts = Counter(text.author for text in texts)
    for author in kinds:
        if counts[author] < _FEWEST_TEXTS:
            raise CorpusError(
                f"{path}: {author!r} has {counts[author]} texts of at least {2 * prompt_words} words, and a style is "
                f"learnt from one to tell another; give at least {_FEWEST_TEXTS}, or lower --prompt-words."
            )
    for flag, kind in ((True, "in training"), (False, "not in training")):
        count = sum(known == flag for known in kinds.values())
        if count < _FEWEST_AUTHORS:
            raise CorpusError(
                f"{path} has {count} authors {kind}, and authors in training are compared with others; give at least "
                f"{_FEWEST_AUTHORS} of each (column in_training)."
            )


def _text(where: str, record: Record, name: str) -> str:
    missing = [column for column in _COLUMNS if column not in record]
    if missing:
        raise CorpusError(
            f"{where} has no column {missing[0]!r}.{did_you_mean(missing[0], record)} It has: {', '.join(record)}; "
            f"name its columns {', '.join(_COLUMNS)}."
        )
    value = record[name]
    text = value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    if not text:
        raise CorpusError(f"{where} has no text in the column {name!r} ({value!r}); fill it.")
    return text


def _flag(where: str, value: Any) -> bool:
    known = _FLAGS.get(str(value).strip().lower())
    if known is None:
        raise CorpusError(f"{where}: in_training is {str(value)[:40]!r}; write true or false.")
    return known
