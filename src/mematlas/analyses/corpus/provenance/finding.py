"""Whether the continuations that models recite stand elsewhere in the corpus, and control rows that do.

Source: our choice. P9 and K2 count how often a row stands in the corpus; here recited rows are put beside those that
the same model does not recite, and a control row that stands in the corpus is named: it is no control.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.corpus.provenance.other_occurrences import (
    KINDS,
    copies_of,
    counts,
    places,
    recited_with_copies,
    scopes,
)
from mematlas.analyses.corpus.provenance.tables import contrasts_of, provenance_tables, shares_of
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.proportions import share_of
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Axis, Chart, Finding
from mematlas.stats.estimates.intervals import standard_error

_SHOWN: Final = 3  # rows worth a look, of each kind
_QUESTION: Final = "where recited continuations stand in the corpus"
_DEVIATIONS: Final = (
    "A continuation stands at another place if all its tokens stand there in the same order; copies that differ in a "
    "token, or were cut into other tokens, are not found.",
    "The interval of the difference is Newcombe's (1998), made from the two Wilson intervals.",
)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the claim speaks of, and the numbers that it is made from.

    control: control rows with their continuation in the corpus, and all whose copies are known.
    """

    cell: Cell
    scope: str
    model: str
    shares: pl.DataFrame
    contrasts: pl.DataFrame
    control: tuple[int, int]

    def share(self, role: str, kind: str) -> dict[str, Any] | None:
        """The line of the shares, if there is one."""
        return next(self._here(self.shares).filter(role=role, kind=kind).iter_rows(named=True), None)

    @property
    def contrast(self) -> dict[str, Any] | None:
        return next(self._here(self.contrasts).filter(role="train").iter_rows(named=True), None)

    @property
    def leak(self) -> str | None:
        """Loudly, what is wrong with the control; None where nothing is."""
        leaking, rows = self.control
        words = f"the control leaks: {leaking:,} of {rows:,} control rows have their continuation in the corpus"
        return words if leaking else None

    def _here(self, frame: pl.DataFrame) -> pl.DataFrame:
        cell = {"context": self.cell.context, "continuation": self.cell.continuation}
        return frame.filter(model=self.model, scope=self.scope, **cell)


# ------------------------------------------------------------------------------------------------------- the numbers


def _control_rows(tables: Tables, cell: Cell, scope: str) -> tuple[int, int]:
    """Control rows whose continuation stands in the corpus, recited or not, and all whose copies are known."""
    here = copies_of(tables).filter(context=cell.context, continuation=cell.continuation)
    copies = tables.rows.filter(role="control").join(here, on="row").select(copies=places(tables, scope)).drop_nulls()
    leaking, rows = copies.select(leaking=(pl.col("copies") > 0).sum(), rows=pl.len()).collect().row(0)
    return leaking, rows


def _model(shares: pl.DataFrame, tables: Tables, cell: Cell, scope: str) -> str | None:
    """The largest model of the family that recites training rows of the cell, of which places are known."""
    where = {"role": "train", "kind": KINDS[0], "scope": scope}
    here = shares.filter(context=cell.context, continuation=cell.continuation, **where)
    return next((model for model in reversed(tables.by_size) if model in set(here["model"])), None)


def _rows(told: _Told, tables: Tables) -> dict[int, str]:
    """Recited rows worth a look: those that stand at most other places, some that stand nowhere else, and leaks."""
    cell = {"context": told.cell.context, "continuation": told.cell.continuation}
    recited = recited_with_copies(tables, model=told.model, **cell).with_columns(copies=places(tables, told.scope))
    known = recited.select("row", "role", "repetitions", "copies").drop_nulls("copies")
    train, by_id = known.filter(role="train"), {"nulls_last": True, "maintain_order": True}
    most = train.filter(pl.col("copies") > 0).sort(-pl.col("copies"), "row").head(_SHOWN)
    alone = train.filter(copies=0).sort("repetitions", "row", **by_id).head(_SHOWN)
    leaks = known.filter(pl.col("copies") > 0, role="control").sort("row").head(_SHOWN)
    found = {
        row: f"recited by {told.model}; its continuation stands at {copies:,} other place{'s' * (copies > 1)}"
        for row, copies in most.select("row", "copies").collect().iter_rows()
    }
    unique = f"recited by {told.model}; its continuation stands nowhere else in the corpus"
    leak = f"recited by {told.model}; a control row that stands in the corpus"
    found |= dict.fromkeys(alone.collect()["row"], unique)
    return found | dict.fromkeys(leaks.collect()["row"], leak)


# ------------------------------------------------------------------------------------------------------- the finding


def _claim(told: _Told) -> str:
    recited, other, contrast = told.share("train", KINDS[0]), told.share("train", KINDS[1]), told.contrast
    assert recited is not None
    said = (
        f"Of the {recited['rows']:,} training rows that {told.model} recites at {told.cell} tokens, "
        f"{share_of(recited, 'share')} have a continuation that stands elsewhere in the corpus too "
        f"(within {told.scope})"
    )
    if other is not None and contrast is not None:
        ends = f"{100 * contrast['difference_lower']:+.1f} to {100 * contrast['difference_upper']:+.1f}"
        said += (
            f", against {share_of(other, 'share')} of the {other['rows']:,} that it does not recite: a difference of "
            f"{100 * contrast['difference']:+.1f} percentage points (95 % interval {ends})"
        )
    return f"{said}; {told.leak}." if told.leak else f"{said}."


def _control(told: _Told) -> str | None:
    """What control rows show, as sentences; None without control rows whose copies are known."""
    leaking, rows = told.control
    if not rows:
        return None
    does = {KINDS[0]: "recites", KINDS[1]: "does not recite"}
    lines = [(does[kind], told.share("control", kind)) for kind in KINDS]
    if not leaking:
        recited = lines[0][1]["rows"] if lines[0][1] else 0
        return (
            f"None of {rows:,} rows no model was trained on has its continuation in the corpus (within {told.scope}); "
            f"{told.model} recites {recited:,} of them."
        )
    ends = [f"{share_of(line, 'share')} of the {line['rows']:,} that {told.model} {do}" for do, line in lines if line]
    return f"{told.leak[0].upper()}{told.leak[1:]} (within {told.scope}): {' and '.join(ends)}." if told.leak else None


def _caveats(told: _Told, tables: Tables, counted: pl.DataFrame) -> tuple[str, ...]:
    here = counted.filter(model=told.model, role="train", scope=told.scope, kind=KINDS[0])
    here = here.filter(context=told.cell.context, continuation=told.cell.continuation)
    unknown = here.filter(pl.col("others").is_null())["rows"].sum()
    leaking, rows = told.control
    said = {
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
    return tuple(words for words, holds in said.items() if holds)


def _chart(told: _Told) -> Chart:
    return Chart(
        "elsewhere",
        f"Training rows that stand elsewhere in the corpus too, at {told.cell} tokens (within {told.scope})",
        "bars",
        "shares",
        Axis("model", "model", "nominal"),
        Axis("share", "rows that stand elsewhere", share=True),
        Axis("kind", "by that model", "nominal"),
        "share_lower",
        "share_upper",
        where={
            "role": "train",
            "context": told.cell.context,
            "continuation": told.cell.continuation,
            "scope": told.scope,
        },
    )


def _lacking(tables: Tables, cell: Cell | None, known: tuple[str, ...]) -> Finding | None:
    if not known:
        what = "a count of each continuation's copies in the corpus"
        return ANALYSIS.lacking(tables, _QUESTION, what, "Make row features: `mematlas features STUDY`.")
    if cell is None:
        remedy = "Score rows of the corpus that are long enough for context and continuation."
        return ANALYSIS.lacking(tables, _QUESTION, "scored training rows", remedy)
    return None


def _nothing_recited(tables: Tables, cell: Cell, control: tuple[int, int]) -> Finding:
    what = f"recited training rows at {cell} tokens whose places in the corpus are known"
    remedy = "Score larger models, rows that occur more often, or shorter continuations."
    found = ANALYSIS.lacking(tables, _QUESTION, what, remedy)
    leaking, rows = control
    leak = f"The control leaks: {leaking:,} of {rows:,} control rows have their continuation in the corpus."
    return replace(found, caveats=(leak,)) if leaking else found


def answer(tables: Tables) -> Finding:
    """Recited beside other rows in every cell and scope; the claim is on the largest model in the reference cell."""
    cell, known = nearest_cell(tables), scopes(tables)
    lacking = _lacking(tables, cell, known)
    if lacking or cell is None:
        return lacking or ANALYSIS.lacking(tables, _QUESTION, "scored rows", "Score rows.")
    counted, control = counts(tables), _control_rows(tables, cell, known[0])
    shares = shares_of(counted, tables)
    model = _model(shares, tables, cell, known[0])
    if model is None:
        return _nothing_recited(tables, cell, control)
    told = _Told(cell, known[0], model, shares, contrasts_of(shares), control)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(told),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(told.contrast),
        control=_control(told),
        tables=provenance_tables(tables, counted, shares, told.contrasts),
        charts=(_chart(told),),
        caveats=_caveats(told, tables, counted),
        deviations=_DEVIATIONS,
        rows=_rows(told, tables),
    )


def _strength(contrast: dict[str, Any] | None) -> float | None:
    if contrast is None:
        return None
    error = standard_error(contrast["difference_lower"], contrast["difference_upper"])
    return abs(contrast["difference"]) / error if error else None


ANALYSIS = Analysis(
    "provenance",
    "Where recited rows stand in the corpus",
    "our choice",
    "row features (copies in the corpus)",
    answer,
)
