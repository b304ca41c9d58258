"""The fields by which rows are filtered and sorted: what the page offers, and what a request may name."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import polars as pl

from mematlas.errors.remedies import command_line
from mematlas.explorer.lines import KINDS, ROLES, Lines

Type = Literal["choice", "integer", "number", "text"]

#: More different sources than these are searched for by a part of the name, not chosen from a list.
MOST_CHOICES: Final = 50


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    type: a choice is one or several of `choices`; integer and number have a smallest and a largest value; a text
    contains what was given, in upper or lower case. minimum, maximum: of the study's rows, None where this would have
    to be computed; unavailable: None, or why the study does not have the field, and what would add it.
    """

    name: str
    label: str
    type: Type
    meaning: str
    choices: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    unavailable: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def fields_of(lines: Lines) -> dict[str, Field]:
    """The fields of a study by name."""
    return {field.name: field for field in (*_fields_of_rows(lines), *_fields_of_scores(lines))}


def _fields_of_rows(lines: Lines) -> list[Field]:
    features = reason_without_features(lines)
    copies = None if "copies" in lines.feature_kinds else features
    kinds = None if "texts" in lines.feature_kinds else features
    template = "whether the window repeats a template, or counts up or down"
    return [
        _integer(lines, "row", "the row's id in the corpus"),
        Field("role", "role", "choice", "rows of the corpus, or of the control, which no model saw", ROLES),
        _source(lines),
        _integer(lines, "document", "number of the row's document in its source"),
        _integer(lines, "repetitions", "how often the row was shown in training"),
        Field("copies", "copies", "integer", "exact copies in the corpus, itself among them", unavailable=copies),
        Field("kind", "kind of text", "choice", template, KINDS, unavailable=kinds),
    ]


def _fields_of_scores(lines: Lines) -> list[Field]:
    longest = max(lines.grid.continuations)
    right, verbatim = "tokens of the continuation that are right", "tokens recited before the first miss"
    predicted, unpredicted = "share of tokens that a predictor expected", reason_without_predictions(lines)
    closest, change = "logits between the two likeliest tokens where it was closest", "M of the second model minus M"
    ungraded = None if lines.is_graded else "it is only known whether the whole continuation is recited"
    return [
        Field("matches", "matches", "integer", right, None, 0, longest, ungraded),
        Field("verbatim", "verbatim", "integer", verbatim, None, 0, longest),
        Field("level", "level", "choice", "of M, the share of the tokens that are right", lines.levels),
        Field("recited", "recited", "choice", "whether the whole continuation is recited", ("yes", "no")),
        Field("margin", "margin", "number", closest),
        Field("change", "change", "number", change, None, -1, 1, ungraded or _no_change(lines)),
        Field("risk", "predicted risk", "number", predicted, None, 0, 1, unpredicted),
    ]


def reason_without_features(lines: Lines) -> str | None:
    """None, or why the study has no row features."""
    if lines.feature_kinds:
        return None
    if "imported" in lines.settings:
        return "published scores come without the corpus, so that nothing is known of the rows' texts"
    return f"not computed yet; `{command_line('features', lines.study.folder)}` does"


def reason_without_predictions(lines: Lines) -> str | None:
    """None, or why nothing is predicted."""
    if lines.has_predictions:
        return None
    if "imported" in lines.settings:
        return "published scores come without the hidden states that predictors read"
    return f"no predictors were fitted; `{command_line('fit', lines.study.folder)}` does, to runs with --signals hidden"


def _no_change(lines: Lines) -> str | None:
    return "the study has a single model; score a second one to compare" if len(lines.models) < 2 else None


def _integer(lines: Lines, name: str, meaning: str) -> Field:
    low, high = lines.rows.select(pl.min(name).alias("low"), pl.max(name).alias("high")).row(0)
    return Field(name, name, "integer", meaning, None, low, high, "not known for any row" if low is None else None)


def _source(lines: Lines) -> Field:
    names = lines.sources
    if not len(names):
        return Field("source", "source", "text", "file or collection", unavailable="not known for any row")
    if len(names) > MOST_CHOICES:
        return Field("source", "source", "text", "a part of the name of the file or collection")
    return Field("source", "source", "choice", "file or collection", tuple(names))
