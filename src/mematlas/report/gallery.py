"""Rows as text: what was to be recited, what the model wrote, token by token."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.report.occurrences import Key, read_lines, read_places

SHOWN: Final = 60
_COLUMNS: Final[dict[str, Any]] = {
    "row": pl.Int64,
    "why": pl.String,
    "source": pl.String,
    "repetitions": pl.Int64,
    "model": pl.String,
    "context": pl.Int32,
    "continuation": pl.Int32,
    "matches": pl.Int32,
    "verbatim": pl.Int32,
    "context_tokens": pl.List(pl.String),
    "true_tokens": pl.List(pl.String),
    "generated_tokens": pl.List(pl.String),
    "hit": pl.List(pl.Boolean),
    "log_probability": pl.List(pl.Float32),
}


@dataclass(frozen=True, slots=True)
class Token:
    """text: with signs for what cannot be seen; hit: recited; percent: probability of the true token, if known."""

    text: str
    hit: bool
    percent: float | None = None
    log_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row under a model: its line of the table, its prompt as text, and both continuations token by token.

    first: no entry before it shows the same row; stands: where else in the corpus its continuation stands, in words;
    None where it was not looked up.
    """

    line: dict[str, Any]
    first: bool
    prompt: str
    true: list[Token]
    generated: list[Token]
    stands: str | None = None


def read_gallery(study: Path, run_key: str) -> list[Entry] | None:
    """The entries of STUDY/gallery/gallery.parquet; None if there is none, or that of another run.

    Raises:
        StudyError: the file is damaged or lacks a column.
    """
    lines = read_lines(study / "gallery" / "gallery.parquet", run_key, _COLUMNS)
    if lines is None:
        return None
    shown = lines.head(SHOWN)
    stands = read_places(study, run_key)
    distinct = shown["row"].is_first_distinct()
    return [_entry(line, new, stands) for line, new in zip(shown.iter_rows(named=True), distinct, strict=True)]


def _entry(line: dict[str, Any], first: bool, stands: Mapping[Key, str]) -> Entry:
    hits, logs = line["hit"] or [], line["log_probability"] or []
    true = _tokens(line["true_tokens"], hits, logs)
    prompt, generated = visible(line["context_tokens"] or []), _tokens(line["generated_tokens"], hits, [])
    key = (line["row"], line["context"], line["continuation"])
    return Entry(line, first, prompt, true, generated, stands.get(key))


def _tokens(texts: list[str] | None, hits: list[bool | None], logs: list[float | None]) -> list[Token]:
    found = []
    for at, text in enumerate(texts or []):
        log = logs[at] if at < len(logs) else None
        hit = bool(hits[at]) if at < len(hits) else False
        found.append(Token(visible([text]), hit, None if log is None else 100 * exp(min(log, 0.0)), log))
    return found


def visible(texts: Iterable[str]) -> str:
    """Text with a sign for each character that has no shape of its own, or that would turn the page's text around."""
    return "".join(_sign(character) for text in texts for character in text)


def _sign(character: str) -> str:
    if character == "\n":
        return "⏎\n"
    if character == "\t":
        return "⇥\t"
    if ord(character) < 0x20:
        return chr(0x2400 + ord(character))
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") else character
