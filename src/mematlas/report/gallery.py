"""The gallery: rows as text, with the true and the generated continuation token by token."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.display import show_invisible
from mematlas.report.occurrences import Key, read_gallery_table, read_occurrences
from mematlas.report.tables import format_value

MAX_ENTRIES: Final = 60
_COLUMNS: Final[dict[str, Any]] = {
    "row": pl.Int64,
    "why": pl.String,
    "source": pl.String,
    "repetitions": pl.Int64,
    "rows_of_text": pl.Int64,
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
    """text: with symbols for invisible characters; hit: recited; percent: probability of the true token, if known."""

    text: str
    hit: bool
    percent: float | None = None
    log_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row under one model: its record in the gallery table, its prompt as text, and both continuations by token.

    first_of_row: no earlier entry shows the same row; occurrences: a sentence about where else in the corpus the
    continuation occurs, None if it was not looked up.
    """

    record: dict[str, Any]
    first_of_row: bool
    prompt: str
    true: list[Token]
    generated: list[Token]
    occurrences: str | None = None

    @property
    def is_recited(self) -> bool:
        return bool(self.record["matches"] == self.record["continuation"])

    @property
    def facts(self) -> list[str]:
        """What is known of the row, and why it is shown, in short clauses."""
        record = self.record
        times, copies = record["repetitions"], record["rows_of_text"] or 1
        facts = [
            *str(record["why"]).split("; "),
            f"{record['model']}, {record['context']} + {record['continuation']} tokens",
            f"{format_value(record['matches'])} of {record['continuation']} tokens right",
            f"{format_value(record['verbatim'])} before the first miss",
            f"shown {times} time{'s' * (times != 1)} in training" if times is not None else "",
            f"x{copies:,}: one of {copies:,} rows with this text" if copies > 1 else "",
            record["source"] or "",
        ]
        return [fact for fact in facts if fact]


def read_gallery(study: Path, run_key: str) -> list[Entry] | None:
    """The first MAX_ENTRIES entries of STUDY/gallery/gallery.parquet; None without that file or for another run.

    Raises:
        StudyError: the file is damaged or lacks a column.
    """
    table = read_gallery_table(study / "gallery" / "gallery.parquet", run_key, _COLUMNS, added=("rows_of_text",))
    if table is None:
        return None
    table = table.head(MAX_ENTRIES)
    occurrences = read_occurrences(study, run_key)
    first_of_row = table["row"].is_first_distinct()
    return [
        _entry(record, first, occurrences)
        for record, first in zip(table.iter_rows(named=True), first_of_row, strict=True)
    ]


def _entry(record: dict[str, Any], first_of_row: bool, occurrences: Mapping[Key, str]) -> Entry:
    hits, log_probabilities = record["hit"] or [], record["log_probability"] or []
    prompt = show_invisible(record["context_tokens"] or [])
    true = _tokens(record["true_tokens"], hits, log_probabilities)
    generated = _tokens(record["generated_tokens"], hits, [])
    key = (record["row"], record["context"], record["continuation"])
    return Entry(record, first_of_row, prompt, true, generated, occurrences.get(key))


def _tokens(texts: list[str] | None, hits: list[bool | None], log_probabilities: list[float | None]) -> list[Token]:
    tokens = []
    for i, text in enumerate(texts or []):
        log_p = log_probabilities[i] if i < len(log_probabilities) else None
        hit = bool(hits[i]) if i < len(hits) else False
        tokens.append(Token(show_invisible([text]), hit, None if log_p is None else 100 * exp(min(log_p, 0.0)), log_p))
    return tokens
