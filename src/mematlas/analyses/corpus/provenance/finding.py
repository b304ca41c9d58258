"""Whether the continuations that models recite also occur elsewhere in the corpus, and control rows that do.

Source: our choice. P9 and K2 count how often a row occurs in the corpus; here recited rows are compared with those that
the same model does not recite, and control rows that occur in the corpus are listed: they are not a valid control.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import LONGER_ROWS, MORE_RECITED_ROWS, Analysis
from mematlas.analyses.corpus.provenance.other_occurrences import (
    KINDS,
    continuation_copies,
    occurrence_counts,
    other_occurrences,
    recited_rows_with_copies,
    scopes,
)
from mematlas.analyses.corpus.provenance.tables import (
    elsewhere_counts,
    elsewhere_shares,
    provenance_tables,
    recited_contrasts,
)
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.proportions import format_share
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count, format_points, verb
from mematlas.findings.finding import Axis, Chart, Finding
from mematlas.stats.estimates.intervals import standard_error

_EXAMPLES_PER_KIND: Final = 3
_QUESTION: Final = "where recited continuations stand in the corpus"
_DEVIATIONS: Final = (
    "A continuation stands at another place if all its tokens stand there in the same order; copies that differ in a "
    "token, or were cut into other tokens, are not found.",
    "The interval of the difference is Newcombe's (1998), made from the two Wilson intervals.",
)


@dataclass(frozen=True, slots=True)
class _Headline:
    """The subject of the claim and the numbers it cites.

    control: number of control rows whose continuation is in the corpus, and of all whose copies are known.
    """

    cell: Cell
    scope: str
    model: str
    shares: pl.DataFrame
    contrasts: pl.DataFrame
    control: tuple[int, int]

    def share(self, role: str, kind: str) -> dict[str, Any] | None:
        """The record of `shares`; None if there is none."""
        return next(self._at_cell(self.shares).filter(role=role, kind=kind).iter_rows(named=True), None)

    @property
    def contrast(self) -> dict[str, Any] | None:
        return next(self._at_cell(self.contrasts).filter(role="train").iter_rows(named=True), None)

    @property
    def leak(self) -> str | None:
        """A warning that the control leaks; None if it does not."""
        leaking, rows = self.control
        message = f"the control leaks: {leaking:,} of {rows:,} control rows have their continuation in the corpus"
        return message if leaking else None

    def _at_cell(self, table: pl.DataFrame) -> pl.DataFrame:
        cell = {"context": self.cell.context, "continuation": self.cell.continuation}
        return table.filter(model=self.model, scope=self.scope, **cell)


# ------------------------------------------------------------------------------------------------------- the numbers


def _control_rows(tables: Tables, cell: Cell, scope: str) -> tuple[int, int]:
    """Number of control rows whose continuation is in the corpus, recited or not, and of all whose copies are known."""
    copies_at_cell = continuation_copies(tables).filter(context=cell.context, continuation=cell.continuation)
    control_copies = (
        tables.rows.filter(role="control")
        .join(copies_at_cell, on="row")
        .select(copies=other_occurrences(tables, scope))
        .drop_nulls()
    )
    leaking, rows = control_copies.select(leaking=(pl.col("copies") > 0).sum(), rows=pl.len()).collect().row(0)
    return leaking, rows


def _headline_model(shares: pl.DataFrame, tables: Tables, cell: Cell, scope: str) -> str | None:
    """The largest model of the family that recites training rows of the cell with known occurrences."""
    filters = {"role": "train", "kind": KINDS[0], "scope": scope}
    recited_shares = shares.filter(context=cell.context, continuation=cell.continuation, **filters)
    return next((model for model in reversed(tables.by_size) if model in set(recited_shares["model"])), None)


def _example_rows(headline: _Headline, tables: Tables) -> dict[int, str]:
    """Recited example rows: those with the most other occurrences, some without any, and leaked control rows."""
    cell = {"context": headline.cell.context, "continuation": headline.cell.continuation}
    recited = recited_rows_with_copies(tables, model=headline.model, **cell).with_columns(
        copies=other_occurrences(tables, headline.scope)
    )
    recited = recited.select("row", "role", "repetitions", "copies").drop_nulls("copies").sort("row")
    known_rows = tables.one_per_text(recited.collect(), headline.cell)
    train_rows, sort_options = known_rows.filter(role="train"), {"nulls_last": True, "maintain_order": True}
    most_frequent = train_rows.filter(pl.col("copies") > 0).sort(-pl.col("copies"), "row").head(_EXAMPLES_PER_KIND)
    unique = train_rows.filter(copies=0).sort("repetitions", "row", **sort_options).head(_EXAMPLES_PER_KIND)
    leaked_rows = known_rows.filter(pl.col("copies") > 0, role="control").sort("row").head(_EXAMPLES_PER_KIND)
    reasons = {
        row: f"recited by {headline.model}; its continuation stands at {copies:,} other place{'s' * (copies > 1)}"
        for row, copies in most_frequent.select("row", "copies").iter_rows()
    }
    unique_reason = f"recited by {headline.model}; its continuation stands nowhere else in the corpus"
    leak_reason = f"recited by {headline.model}; a control row that stands in the corpus"
    reasons |= dict.fromkeys(unique["row"], unique_reason)
    return reasons | dict.fromkeys(leaked_rows["row"], leak_reason)


# ------------------------------------------------------------------------------------------------------- the finding


def _claim(headline: _Headline) -> str:
    recited, not_recited, contrast = (
        headline.share("train", KINDS[0]),
        headline.share("train", KINDS[1]),
        headline.contrast,
    )
    assert recited is not None
    text = (
        f"Of the {recited['rows']:,} training rows that {headline.model} recites at {headline.cell} tokens, "
        f"{format_share(recited, 'share')} have a continuation that stands elsewhere in the corpus too "
        f"(within {headline.scope})"
    )
    if not_recited is not None and contrast is not None:
        interval = "no interval: the rows of one side are of a single document"
        if contrast["difference_lower"] is not None:
            ends = f"{100 * contrast['difference_lower']:+.1f} to {100 * contrast['difference_upper']:+.1f}"
            interval = f"95 % interval {ends}"
        text += (
            f", against {format_share(not_recited, 'share')} of the {not_recited['rows']:,} that it does not recite: "
            "a difference of "
            f"{100 * contrast['difference']:+.1f} percentage points ({interval})"
        )
    return f"{text}; {headline.leak}." if headline.leak else f"{text}."


def _headline_text(headline: _Headline) -> str:
    """Whether recited rows stand elsewhere more often than others, by the interval of the difference."""
    recited, contrast = headline.share("train", KINDS[0]), headline.contrast
    assert recited is not None
    if contrast is None:
        of = format_count(recited["rows"], "recited row")
        return f"Standing elsewhere in the corpus too: {recited['elsewhere']:,} of {of}"
    more, less = (f"Recited rows stand elsewhere in the corpus {word} often than others" for word in ("more", "less"))
    unclear = "Recited rows do not clearly differ from others in copies elsewhere"
    return by_interval(contrast["difference_lower"], contrast["difference_upper"], more, less, unclear)


def _sentence(headline: _Headline) -> str:
    """The share of recited rows that stand elsewhere, and its difference from that of the others."""
    recited, others, contrast = headline.share("train", KINDS[0]), headline.share("train", KINDS[1]), headline.contrast
    assert recited is not None
    rows = recited["rows"]
    start = (
        f"{format_share(recited, 'share')} of {format_count(rows)} recited by {headline.model} {verb(rows, 'stand')}"
    )
    if contrast is None or others is None:
        return f"{start} elsewhere."
    return f"{start} elsewhere, {format_points(contrast, 'difference')} against {others['rows']:,} others."


def _control(headline: _Headline) -> str | None:
    """The results for control rows, as sentences; None without control rows whose copies are known."""
    leaking, rows = headline.control
    if not rows:
        return None
    verbs = {KINDS[0]: "recites", KINDS[1]: "does not recite"}
    records = [(verbs[kind], headline.share("control", kind)) for kind in KINDS]
    if not leaking:
        recited_count = records[0][1]["rows"] if records[0][1] else 0
        return (
            f"None of {rows:,} rows no model was trained on has its continuation in the corpus (within "
            f"{headline.scope}); "
            f"{headline.model} recites {recited_count:,} of them."
        )
    parts = [
        f"{format_share(record, 'share')} of the {record['rows']:,} that {headline.model} {verb} do."
        for verb, record in records
        if record
    ]
    return (
        f"{headline.leak[0].upper()}{headline.leak[1:]} (within {headline.scope}). {' '.join(parts)}"
        if headline.leak
        else None
    )


def _caveats(headline: _Headline, tables: Tables, counts: pl.DataFrame) -> tuple[str, ...]:
    recited_counts = counts.filter(model=headline.model, role="train", scope=headline.scope, kind=KINDS[0])
    recited_counts = recited_counts.filter(context=headline.cell.context, continuation=headline.cell.continuation)
    unknown = recited_counts.filter(pl.col("others").is_null())["rows"].sum()
    leaking, rows = headline.control
    caveats = {
        f"The control leaks: {leaking:,} of {rows:,} control rows have their continuation in the corpus, so that what "
        "models do with the control is no floor.": leaking,
        f"{unknown:,} more recited rows are left out: their places were not counted, or they cross the end of a "
        "document.": unknown,
        "Only recited rows were published: how many of the others stand elsewhere is unknown.": not tables.complete,
        "The corpus was counted in the order of training: a place counts as often as training showed its row.": (
            tables.facts.get("ordered", False)
        ),
        "Rows that are recited and rows that are not differ in more than their copies, such as their kind of text: the "
        "difference is no effect of copies alone.": tables.complete,
        "The study has no control rows: how many of a foreign text's continuations stand in the corpus is unknown.": (
            not tables.has_control
        ),
    }
    return tuple(text for text, applies in caveats.items() if applies)


def _chart(headline: _Headline) -> Chart:
    return Chart(
        "elsewhere",
        f"Training rows that stand elsewhere in the corpus too, at {headline.cell} tokens (within {headline.scope})",
        "bars",
        "shares",
        Axis("model", "model", "nominal"),
        Axis("share", "rows that stand elsewhere", share=True),
        Axis("kind", "by that model", "nominal"),
        "share_lower",
        "share_upper",
        where={
            "role": "train",
            "context": headline.cell.context,
            "continuation": headline.cell.continuation,
            "scope": headline.scope,
        },
    )


def _insufficient_data(tables: Tables, cell: Cell | None, known_scopes: tuple[str, ...]) -> Finding | None:
    if not known_scopes:
        what = "a count of each continuation's copies in the corpus"
        return ANALYSIS.insufficient_data(tables, _QUESTION, what, "Make row features: `mematlas features STUDY`.")
    if cell is None:
        return ANALYSIS.insufficient_data(tables, _QUESTION, "scored training rows", LONGER_ROWS)
    return None


def _nothing_recited(tables: Tables, cell: Cell, control: tuple[int, int]) -> Finding:
    missing = f"recited training rows at {cell} tokens whose places in the corpus are known"
    finding = ANALYSIS.insufficient_data(tables, _QUESTION, missing, MORE_RECITED_ROWS)
    leaking, rows = control
    leak = f"The control leaks: {leaking:,} of {rows:,} control rows have their continuation in the corpus."
    return replace(finding, caveats=(leak,)) if leaking else finding


def compute(tables: Tables) -> Finding:
    """Recited compared with other rows in every cell and scope; the claim is about the largest model near 32 + 32."""
    cell, known_scopes = nearest_cell(tables), scopes(tables)
    missing_finding = _insufficient_data(tables, cell, known_scopes)
    if missing_finding or cell is None:
        return missing_finding or ANALYSIS.insufficient_data(tables, _QUESTION, "scored rows", "Score rows.")
    counts, control = occurrence_counts(tables), _control_rows(tables, cell, known_scopes[0])
    elsewhere = elsewhere_counts(counts, tables)
    shares = elsewhere_shares(elsewhere, tables)
    model = _headline_model(shares, tables, cell, known_scopes[0])
    if model is None:
        return _nothing_recited(tables, cell, control)
    headline = _Headline(cell, known_scopes[0], model, shares, recited_contrasts(elsewhere, tables), control)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(headline),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(headline.contrast),
        control=_control(headline),
        tables=provenance_tables(tables, counts, shares, headline.contrasts),
        charts=(_chart(headline),),
        caveats=_caveats(headline, tables, counts),
        deviations=_DEVIATIONS,
        rows=_example_rows(headline, tables),
        headline=_headline_text(headline),
        sentence=_sentence(headline),
    )


def _strength(contrast: dict[str, Any] | None) -> float | None:
    if contrast is None or contrast["difference_lower"] is None:
        return None
    error = standard_error(contrast["difference_lower"], contrast["difference_upper"])
    return abs(contrast["difference"]) / error if error else None


ANALYSIS = Analysis(
    "provenance",
    "Where recited rows stand in the corpus",
    "our choice",
    "row features (copies in the corpus)",
    compute,
)
