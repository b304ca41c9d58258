"""How many rows are memorized except for a few tokens, by several definitions, compared with verbatim and the control.

Source: P2, granularity axis: approximate memorization, e.g. BLEU > 0.75 or a token Levenshtein distance. The numbers
are computed in similarity.py and tables.py.
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
    compare_models,
    has_texts,
)
from mematlas.analyses.extraction.approximate.tables import (
    Frames,
    approximate_frames,
    approximate_tables,
    count_definitions,
)
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.proportions import format_share
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count, join_with_and
from mematlas.findings.finding import Axis, Chart, Finding
from mematlas.metrics.similarity import BLEU_ORDER
from mematlas.stats.estimates.intervals import standard_error

_EXAMPLES_PER_KIND: Final = 4
_QUESTION: Final = "how many rows are memorized but for a few tokens"
_DEVIATIONS: Final = (
    "P2 gives BLEU > 0.75 and a token Levenshtein distance as examples of approximate memorization and names neither "
    "tokens nor smoothing nor a threshold of the distance: edit distance <= 0.1, LCS share >= 0.9 and M >= 0.9 are our "
    "choice.",
    "BLEU is sacrebleu's on token ids, of 1- to 4-grams of one row, without smoothing: it is 0 where no 4-gram agrees.",
    "A row counts as shifted if M < 0.6 though the edit similarity is >= 0.8, two score levels above (our choice).",
)
_ROLE: Final = Axis("role", "rows", "nominal")
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Headline:
    """The subject of the finding and the numbers it cites.

    model: the largest with training rows; rows: some of its rows, each with the reason why it is listed; left_out:
    scored rows that lack one of the two texts; unequal: rows whose score differs from that of the recorded text.
    """

    cell: Cell
    model: str
    frames: Frames
    rows: dict[int, str]
    left_out: int
    unequal: int

    def record(self, table: str, role: str, **where: str) -> Record | None:
        records = self.frames[table].filter(model=self.model, role=role, **where)
        return next(records.iter_rows(named=True), None)

    def excess(self, definition: str) -> Record | None:
        records = self.frames["excesses"].filter(model=self.model, definition=definition)
        return next(records.iter_rows(named=True), None)


def _example_rows(tables: Tables, similarities: pl.DataFrame) -> dict[int, str]:
    """Training rows with shifted tokens, and others that are close but not verbatim, the closest first."""
    not_recited = similarities.filter(~pl.col("recited"), role="train").sort("edits", "row")
    not_recited = tables.one_per_text(not_recited)
    is_close = 10 * pl.col("edits") <= pl.col("continuation")
    shifted = not_recited.filter("shifted").head(_EXAMPLES_PER_KIND)
    close = not_recited.filter(is_close, ~pl.col("shifted")).head(_EXAMPLES_PER_KIND)
    reasons = {
        row: f"{model}: {matches} of {length} positions agree, yet {edits} edits make the text right: a shift"
        for model, row, matches, length, edits in _edit_records(shifted)
    }
    return reasons | {
        row: f"{model}: not verbatim, yet {edits} edit{'s' * (edits != 1)} in {length} tokens would make it so"
        for model, row, _, length, edits in _edit_records(close)
    }


def _edit_records(similarities: pl.DataFrame) -> list[tuple[Any, ...]]:
    return similarities.select("model", "row", "matches", "continuation", "edits").rows()


def _headline(tables: Tables, cell: Cell) -> _Headline | None:
    """The headline; None if no model of the family has a training row with both texts."""
    counts: list[Frames] = []
    examples: dict[str, dict[int, str]] = {}
    left_out, unequal = 0, 0
    for similarities, without_text in compare_models(tables, cell):
        left_out, unequal = left_out + without_text, unequal + similarities.filter("unequal").height
        if similarities.height:
            counts.append(count_definitions(tables, similarities))
        if similarities["role"].eq("train").any():
            examples[similarities["model"][0]] = _example_rows(tables, similarities)
    model = next((model for model in [*reversed(tables.by_size), *reversed(tables.family)] if model in examples), None)
    if model is None:
        return None
    return _Headline(cell, model, approximate_frames(tables, counts), examples[model], left_out, unequal)


# ----------------------------------------------------------------------------------------------------- the sentences


def _claim(headline: _Headline) -> str:
    verbatim, edit = (
        headline.record("definitions", "train", definition=VERBATIM),
        headline.record("added", "train", definition=EDIT),
    )
    assert verbatim is not None
    assert edit is not None
    excess = headline.excess(EDIT)
    control_text = "" if excess is None else f" (control: {excess['control_added']:,} of {excess['control_rows']:,})"
    additions = [
        f"{name} adds {record['added']:,}"
        for name in (BLEU, POSITIONS)
        if (record := headline.record("added", "train", definition=name))
    ]
    return (
        f"At {headline.cell} tokens {headline.model} recites {format_share(verbatim, 'share')} of {verbatim['rows']:,} "
        f"training rows verbatim; {EDIT} adds {edit['added']:,}, {format_share(edit, 'share')}{control_text}; "
        f"{join_with_and(additions)}."
    )


def _headline_text(headline: _Headline) -> str:
    """Whether a few edits make more rows memorized than among control rows, by the interval of the difference."""
    added, excess = headline.record("added", "train", definition=EDIT), headline.excess(EDIT)
    assert added is not None
    if excess is None:
        return f"Allowing a few wrong tokens adds {added['added']:,} of {format_count(added['rows'])}"
    return by_interval(
        excess["excess_lower"],
        excess["excess_upper"],
        "More rows are memorized if a few wrong tokens are allowed",
        "Allowing a few wrong tokens adds fewer training than control rows",
        "Allowing a few wrong tokens adds no clear number of rows",
    )


def _sentence(headline: _Headline) -> str:
    """The share recited verbatim, and the share that a few edits add."""
    verbatim = headline.record("definitions", "train", definition=VERBATIM)
    added = headline.record("added", "train", definition=EDIT)
    assert verbatim is not None
    assert added is not None
    start = f"{headline.model} recites {format_share(verbatim, 'share')} of {format_count(verbatim['rows'])} verbatim"
    return f"{start}; {EDIT} adds {format_share(added, 'share')}."


def _control(headline: _Headline) -> str | None:
    """The share of control rows that each definition calls memorized, as a sentence; None without control rows."""
    records = [record for name in DEFINITIONS if (record := headline.record("definitions", "control", definition=name))]
    if not records:
        return None
    parts = [f"{format_share(record, 'share')} by {record['definition']}" for record in records[1:]]
    called = f"Called memorized: {', '.join(parts[:2])}. {', '.join(parts[2:])}."
    return (
        f"Of {records[0]['rows']:,} rows no model was trained on, {headline.model} recites "
        f"{format_share(records[0], 'share')} verbatim. {called}"
    )


def _shift_sentence(headline: _Headline) -> str:
    """How many rows have a low M although their tokens are nearly right."""
    record = headline.record("shifted", "train")
    assert record is not None
    if not record["missed"]:
        return (
            f"Every training row of {headline.model} has M >= 0.6: no row has the true words at other positions only."
        )
    return (
        f"M compares position by position: of the {record['missed']:,} training rows of {headline.model} with M < 0.6, "
        f"{record['shifted']:,} have nearly the true words at other positions (edit similarity >= 0.8), "
        f"{format_share(record, 'share')} of all {record['rows']:,} rows."
    )


def _caveats(headline: _Headline) -> tuple[str, ...]:
    length, allowed_edits = headline.cell.continuation, headline.cell.continuation // 10
    caveats = {
        _shift_sentence(headline): True,
        f"At {length} tokens edit distance <= 0.1 allows no edit: it is the verbatim definition.": not allowed_edits,
        f"At {length} tokens edit distance <= 0.1 allows {allowed_edits} edit{'s' * (allowed_edits != 1)}; a shift by "
        "one token takes two, as the greedy text ends with the continuation.": allowed_edits,
        f"A continuation of {length} tokens has no {BLEU_ORDER}-gram: BLEU is not measured.": length < BLEU_ORDER,
        f"{headline.left_out:,} scored rows (over all models) have no recorded greedy text or no known tokens and are "
        "left out.": headline.left_out,
        f"{headline.unequal:,} rows (over all models) have another M in the scores than their recorded text gives; M "
        "here is that of the scores.": headline.unequal,
        "The study has no control rows: how many rows would be called memorized by chance or for their templates is "
        "unknown.": not headline.frames["excesses"].height,
    }
    return tuple(text for text, applies in caveats.items() if applies)


# -------------------------------------------------------------------------------------------------------- the charts


def _charts(headline: _Headline) -> tuple[Chart, ...]:
    subject = f"{headline.model}, {headline.cell} tokens"
    interval = ("share_lower", "share_upper")
    shares = Chart(
        "definitions",
        f"Rows called memorized, {subject}",
        "bars",
        "definitions",
        Axis("definition", "definition", "nominal"),
        Axis("share", "rows called memorized", share=True),
        _ROLE,
        *interval,
        where={"model": headline.model},
    )
    by_level = Chart(
        "means",
        f"Mean similarity of greedy text and truth, {subject}",
        "lines",
        "means",
        Axis("level", "score level of the row (M)", "ordinal"),
        Axis("mean", "mean similarity, 0 to 1", bounds=(0, 1)),
        _ROLE,
        "mean_lower",
        "mean_upper",
        facet="measure",
        where={"model": headline.model},
    )
    return (shares, *_by_size(headline), by_level)


def _by_size(headline: _Headline) -> tuple[Chart, ...]:
    added = headline.frames["added"].filter("latest", role="train").drop_nulls("parameters")
    if added["parameters"].n_unique() < 2:
        return ()
    x, y = Axis("parameters", "parameters", "log"), Axis("share", "rows added to the verbatim ones", share=True)
    title, interval = f"Rows that each definition adds, {headline.cell} tokens", ("share_lower", "share_upper")
    return (
        Chart("added", title, "lines", "added", x, y, _ROLE, *interval, facet="definition", where={"latest": True}),
    )


# ------------------------------------------------------------------------------------------------------- the finding


def _insufficient_data(tables: Tables, cell: Cell | None) -> Finding | None:
    if not tables.complete or cell is None:
        remedy = "Score rows of a corpus, recited or not: `mematlas score MODEL ... --corpus PATH --signals free`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, "scores of all rows of a selection", remedy)
    if "free" not in tables.signals:
        remedy = "Score with `--signals free`, then make row features: `mematlas features STUDY`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, "the greedy texts", remedy)
    if not has_texts(tables):
        remedy = "Make them: `mematlas features STUDY`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, "the tokens of its rows", remedy)
    return None


def compute(tables: Tables) -> Finding:
    """Rows that each definition calls memorized at the cell nearest to 32 + 32; claims are about the largest model."""
    cell = nearest_cell(tables)
    missing_finding = _insufficient_data(tables, cell)
    if missing_finding or cell is None:
        return missing_finding or ANALYSIS.insufficient_data(tables, _QUESTION, "scored rows", "Score rows.")
    headline = _headline(tables, cell)
    if headline is None:
        remedy = "Score rows that are long enough: `mematlas score ... --signals free`, then `mematlas features STUDY`."
        return ANALYSIS.insufficient_data(
            tables, _QUESTION, "training rows whose greedy text and tokens are known", remedy
        )
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(headline),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(headline.excess(EDIT)),
        control=_control(headline),
        tables=approximate_tables(headline.frames),
        charts=_charts(headline),
        caveats=_caveats(headline),
        deviations=_DEVIATIONS,
        rows=headline.rows,
        headline=_headline_text(headline),
        sentence=_sentence(headline),
    )


def _strength(excess: Record | None) -> float | None:
    """The added share in excess of the control's / its standard error; None where no interval is known."""
    if excess is None or excess["excess_lower"] is None:
        return None
    return abs(excess["excess"]) / standard_error(excess["excess_lower"], excess["excess_upper"])


ANALYSIS: Final = Analysis(
    "approximate",
    "Approximate memorization",
    "P2, granularity axis",
    "signals `free` (`mematlas score ... --signals free`) and row features (`mematlas features STUDY`)",
    compute,
    granularity="approximate",
)
