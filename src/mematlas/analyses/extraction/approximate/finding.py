"""How many rows are memorized but for a few tokens, by several definitions, beside the verbatim ones and the control.

Source: P2, granularity axis: approximate memorization, e.g. BLEU > 0.75 or a token Levenshtein distance. The numbers
are made in similar.py and approximate_tables.py.
"""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.extraction.approximate.similarity import (
    BLEU,
    DEFINITIONS,
    EDIT,
    POSITIONS,
    VERBATIM,
    has_texts,
    measured,
)
from mematlas.analyses.extraction.approximate.tables import Frames, approximate_frames, approximate_tables, counted
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.proportions import share_of
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import listed
from mematlas.findings.finding import Axis, Chart, Finding
from mematlas.metrics.similarity import BLEU_ORDER
from mematlas.stats.estimates.intervals import standard_error

_SHOWN: Final = 4  # rows worth a look, of each kind
_QUESTION: Final = "how many rows are memorized but for a few tokens"
_DEVIATIONS: Final = (
    "P2 gives BLEU > 0.75 and a token Levenshtein distance as examples of approximate memorization and names neither "
    "tokens nor smoothing nor a threshold of the distance: edit distance <= 0.1, LCS share >= 0.9 and M >= 0.9 are our "
    "choice.",
    "BLEU is sacrebleu's on token ids, of 1- to 4-grams of one row, without smoothing: it is 0 where no 4-gram agrees.",
    "A row counts as shifted if M < 0.6 though the edit similarity is >= 0.8, two score levels above (our choice).",
)
_ROLE: Final = Axis("role", "rows", "nominal")
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Told:
    """What the finding speaks of. model: the largest with training rows; rows: some of its rows, with a word why;
    left_out: scored rows without one of the two texts; unequal: rows whose score is not that of the recorded text."""

    cell: Cell
    model: str
    frames: Frames
    rows: dict[int, str]
    left_out: int
    unequal: int

    def line(self, table: str, role: str, **where: str) -> Line | None:
        found = self.frames[table].filter(model=self.model, role=role, **where)
        return next(found.iter_rows(named=True), None)

    def excess(self, definition: str) -> Line | None:
        found = self.frames["excesses"].filter(model=self.model, definition=definition)
        return next(found.iter_rows(named=True), None)


def _rows(lines: pl.DataFrame) -> dict[int, str]:
    """Training rows whose words are shifted, and others that are not verbatim though close, the closest first."""
    train, by_edits = lines.filter(~pl.col("recited"), role="train"), ("edits", "row")
    close = 10 * pl.col("edits") <= pl.col("continuation")
    shifted = train.filter("shifted").sort(by_edits).head(_SHOWN)
    near = train.filter(close, ~pl.col("shifted")).sort(by_edits).head(_SHOWN)
    words = {
        row: f"{model}: {matches} of {length} positions agree, yet {edits} edits make the text right: a shift"
        for model, row, matches, length, edits in _numbers(shifted)
    }
    return words | {
        row: f"{model}: not verbatim, yet {edits} edit{'s' * (edits != 1)} in {length} tokens would make it so"
        for model, row, _, length, edits in _numbers(near)
    }


def _numbers(lines: pl.DataFrame) -> list[tuple[Any, ...]]:
    return lines.select("model", "row", "matches", "continuation", "edits").rows()


def _told(tables: Tables, cell: Cell) -> _Told | None:
    """None where no model of the family has a training row with both texts."""
    parts: list[Frames] = []
    rows: dict[str, dict[int, str]] = {}
    left_out, unequal = 0, 0
    for lines, lacking in measured(tables, cell):
        left_out, unequal = left_out + lacking, unequal + lines.filter("unequal").height
        if lines.height:
            parts.append(counted(lines))
        if lines["role"].eq("train").any():
            rows[lines["model"][0]] = _rows(lines)
    model = next((one for one in [*reversed(tables.by_size), *reversed(tables.family)] if one in rows), None)
    if model is None:
        return None
    return _Told(cell, model, approximate_frames(tables, parts), rows[model], left_out, unequal)


# --------------------------------------------------------------------------------------------------------- the words


def _claim(told: _Told) -> str:
    verbatim, edit = (
        told.line("definitions", "train", definition=VERBATIM),
        told.line("added", "train", definition=EDIT),
    )
    assert verbatim is not None
    assert edit is not None
    excess = told.excess(EDIT)
    beside = "" if excess is None else f" (control: {excess['control_added']:,} of {excess['control_rows']:,})"
    others = [
        f"{name} adds {line['added']:,}"
        for name in (BLEU, POSITIONS)
        if (line := told.line("added", "train", definition=name))
    ]
    return (
        f"At {told.cell} tokens {told.model} recites {share_of(verbatim, 'share')} of {verbatim['rows']:,} training "
        f"rows verbatim; {EDIT} adds {edit['added']:,}, {share_of(edit, 'share')}{beside}; {listed(others)}."
    )


def _control(told: _Told) -> str | None:
    """What each definition calls memorized among control rows; None without any."""
    lines = [line for name in DEFINITIONS if (line := told.line("definitions", "control", definition=name))]
    if not lines:
        return None
    said = [f"{share_of(line, 'share')} by {line['definition']}" for line in lines[1:]]
    return (
        f"Of {lines[0]['rows']:,} rows no model was trained on, {told.model} recites {share_of(lines[0], 'share')} "
        f"verbatim; called memorized are {listed(said)}."
    )


def _shift(told: _Told) -> str:
    """How many rows M calls badly known though their words are nearly right."""
    line = told.line("shifted", "train")
    assert line is not None
    if not line["missed"]:
        return f"Every training row of {told.model} has M >= 0.6: no row has the true words at other positions only."
    return (
        f"M compares position by position: of the {line['missed']:,} training rows of {told.model} with M < 0.6, "
        f"{line['shifted']:,} have nearly the true words at other positions (edit similarity >= 0.8), "
        f"{share_of(line, 'share')} of all {line['rows']:,} rows."
    )


def _caveats(told: _Told) -> tuple[str, ...]:
    length, allowed = told.cell.continuation, told.cell.continuation // 10
    said = {
        _shift(told): True,
        f"At {length} tokens edit distance <= 0.1 allows no edit: it is the verbatim definition.": not allowed,
        f"At {length} tokens edit distance <= 0.1 allows {allowed} edit{'s' * (allowed != 1)}; a shift by one token "
        "takes two, as the greedy text ends with the continuation.": allowed,
        f"A continuation of {length} tokens has no {BLEU_ORDER}-gram: BLEU is not measured.": length < BLEU_ORDER,
        f"{told.left_out:,} scored rows (over all models) have no recorded greedy text or no known tokens and are left "
        "out.": told.left_out,
        f"{told.unequal:,} rows (over all models) have another M in the scores than their recorded text gives; M here "
        "is that of the scores.": told.unequal,
        "The study has no control rows: how many rows would be called memorized by chance or for their templates is "
        "unknown.": not told.frames["excesses"].height,
    }
    return tuple(words for words, holds in said.items() if holds)


# -------------------------------------------------------------------------------------------------------- the charts


def _charts(told: _Told) -> tuple[Chart, ...]:
    own = f"{told.model}, {told.cell} tokens"
    ends = ("share_lower", "share_upper")
    shares = Chart(
        "definitions",
        f"Rows called memorized, {own}",
        "bars",
        "definitions",
        Axis("definition", "definition", "nominal"),
        Axis("share", "rows called memorized", share=True),
        _ROLE,
        *ends,
        where={"model": told.model},
    )
    by_level = Chart(
        "means",
        f"Mean similarity of greedy text and truth, {own}",
        "lines",
        "means",
        Axis("level", "score level of the row (M)", "ordinal"),
        Axis("mean", "mean similarity, 0 to 1"),
        _ROLE,
        "mean_lower",
        "mean_upper",
        facet="measure",
        where={"model": told.model},
    )
    return (shares, *_by_size(told), by_level)


def _by_size(told: _Told) -> tuple[Chart, ...]:
    known = told.frames["added"].filter("latest", role="train").drop_nulls("parameters")
    if known["parameters"].n_unique() < 2:
        return ()
    x, y = Axis("parameters", "parameters", "log"), Axis("share", "rows added to the verbatim ones", share=True)
    title, ends = f"Rows that each definition adds, {told.cell} tokens", ("share_lower", "share_upper")
    return (Chart("added", title, "lines", "added", x, y, _ROLE, *ends, facet="definition", where={"latest": True}),)


# ------------------------------------------------------------------------------------------------------- the finding


def _lacking(tables: Tables, cell: Cell | None) -> Finding | None:
    if not tables.complete or cell is None:
        remedy = "Score rows of a corpus, recited or not: `mematlas score MODEL ... --corpus PATH --signals free`."
        return ANALYSIS.lacking(tables, _QUESTION, "scores of all rows of a selection", remedy)
    if "free" not in tables.signals:
        remedy = "Score with `--signals free`, then make row features: `mematlas features STUDY`."
        return ANALYSIS.lacking(tables, _QUESTION, "the greedy texts", remedy)
    if not has_texts(tables):
        remedy = "Make them: `mematlas features STUDY`."
        return ANALYSIS.lacking(tables, _QUESTION, "the tokens of its rows", remedy)
    return None


def answer(tables: Tables) -> Finding:
    """Rows that each definition calls memorized at the cell nearest to 32 + 32; the claim is on the largest model."""
    cell = nearest_cell(tables)
    lacking = _lacking(tables, cell)
    if lacking or cell is None:
        return lacking or ANALYSIS.lacking(tables, _QUESTION, "scored rows", "Score rows.")
    told = _told(tables, cell)
    if told is None:
        remedy = "Score with `--signals free` rows that are long enough, then `mematlas features STUDY`."
        return ANALYSIS.lacking(tables, _QUESTION, "training rows whose greedy text and tokens are known", remedy)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(told),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(told.excess(EDIT)),
        control=_control(told),
        tables=approximate_tables(told.frames),
        charts=_charts(told),
        caveats=_caveats(told),
        deviations=_DEVIATIONS,
        rows=told.rows,
    )


def _strength(excess: Line | None) -> float | None:
    """The share added over the control's / its standard error."""
    if excess is None:
        return None
    return abs(excess["excess"]) / standard_error(excess["excess_lower"], excess["excess_upper"])


ANALYSIS: Final = Analysis(
    "approximate",
    "Approximate memorization",
    "P2, granularity axis",
    "signals `free` (`mematlas score --signals free`) and row features (`mematlas features`)",
    answer,
    granularity="approximate",
)
