"""Memorized share against model size, repetitions and context: the three laws of P9, each beside its control.

Source: P9, Figure 1 (a to c). The points are those of `samples`, the fits those of `laws`.
"""

from dataclasses import replace
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.family.scaling.laws import (
    LAWS,
    LAWS_RECIPE,
    RESIDUALS,
    RESIDUALS_RECIPE,
    fit_laws,
    law_points,
    law_residuals,
)
from mematlas.analyses.frames.copies_as_repetitions import BUCKETS_RECIPE as COPIES_RECIPE
from mematlas.analyses.frames.copies_as_repetitions import COUNTS_RECIPE as COPIES_COUNTS_RECIPE
from mematlas.analyses.frames.copies_as_repetitions import by_copies
from mematlas.analyses.frames.copies_as_repetitions import told as told_by_copies
from mematlas.analyses.frames.proportions import between, percent
from mematlas.analyses.frames.repetition_buckets import COLUMNS as BUCKET_COLUMNS
from mematlas.analyses.frames.repetition_buckets import FEW, WANTED, shortfall
from mematlas.analyses.frames.repetition_buckets import RECIPE as BUCKETS_RECIPE
from mematlas.analyses.frames.repetition_samples import (
    CELL,
    COUNTS_RECIPE,
    REPETITIONS,
    REPETITIONS_RECIPE,
    SHARES,
    SHARES_RECIPE,
    bucket_counts,
    sample_shares,
    shares_by_repetitions,
)
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.literature.published import EVIDENCE, SLOPES

_PUBLISHED: Final = {
    "law": "size or context",
    "models": "what was measured",
    "slope": "change of the share per tenfold",
    "r2": "explained share of the variance; null where not reported",
    "source": "paper and figure",
    "evidence": "; ".join(f"{label}: {meaning}" for label, meaning in EVIDENCE.items()),
}
_PUBLISHED_RECIPE: Final = "answer = pl.DataFrame(recount.SLOPES)"
_UNITS: Final = {"size": "parameters", "repetitions": "repetitions", "context": "tokens of context"}
_QUESTION: Final = "how memorization grows with size, repetitions and context"
_DEVIATIONS: Final = (
    "P9 asks for 50 tokens after contexts of 0 to 450; here the study's own grid is used.",
    f"P9 draws {WANTED:,} rows a bucket and length; here the rows are those of the study, and the duplicate-normalised "
    "share is the mean of the buckets' shares.",
    "P9 fits no alternative: the saturating law x^b / (k^b + x^b) and its comparison by leave-one-out error are ours, "
    "as is the weight of each point (its rows).",
    "Growth along each law is tested by whether the 95 % interval of its slope excludes 0; P9's numbers stand beside "
    "(table published), they are not tested.",
)


# ---------------------------------------------------------------------------------------------------------- the laws


def _told(tables: Tables, laws: pl.DataFrame, role: str = "train") -> dict[str, dict[str, Any]]:
    """law -> the fit at the reference cell that claims speak of: of all rows, in the largest model that has one."""
    cell = tables.reference
    here = laws.filter(
        pl.col("role") == role,
        pl.col("sample") != "duplicate-normalised",
        pl.col("continuation") == cell.continuation,
        pl.col("context").is_null() | (pl.col("context") == cell.context),
    )
    return {line["law"]: line for line in here.iter_rows(named=True)}


def _slope(line: dict[str, Any]) -> str:
    """A fit in words, in percentage points per tenfold."""
    where = f"{line['points']} points" + (f", {line['model']}" if line["model"] else "")
    found = f"{100 * line['slope']:+.1f} percentage points per tenfold in {_UNITS[line['law']]}"
    if line["slope_lower"] is None:
        return f"{found} ({where}, no interval)"
    ends = f"{100 * line['slope_lower']:+.1f} to {100 * line['slope_upper']:+.1f}"
    return f"{found} (95 % interval {ends}; R2 = {line['r2']:.3f}; {where})"


def _compared(told: dict[str, dict[str, Any]]) -> str:
    """Which law predicts left-out points better, as the end of the claim."""
    names = {
        better: [law for law, line in told.items() if line["better"] == better]
        for better in ("log-linear", "saturating")
    }
    words = [f"the {better} law in {' and '.join(laws)}" for better, laws in names.items() if laws]
    return f"; left-out points are predicted better by {', by '.join(words)}" if words else ""


def _trends(told: dict[str, dict[str, Any]], control: dict[str, dict[str, Any]]) -> tuple[Trend, ...]:
    found = []
    for law, name in zip(_UNITS, ANALYSIS.trends, strict=True):
        line = told.get(law)
        if line is None or line["slope_lower"] is None:
            why = "fewer than two points" if line is None else line["reason"]
            found.append(Trend(name, "cannot tell", f"no slope with an interval in {_UNITS[law]}: {why}"))
            continue
        beside = f"; control rows: {_slope(control[law])}" if law in control else ""
        test = f"{_slope(line)}; a direction is shown if the interval excludes 0{beside}"
        if line["slope_lower"] > 0:
            found.append(Trend(name, "shows", test))
        else:
            found.append(Trend(name, "contradicts" if line["slope_upper"] < 0 else "cannot tell", test))
    return tuple(found)


# ------------------------------------------------------------------------------------------------------- the finding


def _control(tables: Tables, shares: pl.DataFrame) -> str | None:
    """What rows and models that cannot have memorized anything give at the reference cell."""
    here = shares.filter(context=tables.reference.context, continuation=tables.reference.continuation)
    told = []
    for role, words in (("control", "Rows no model was trained on"), ("control model", "Models untrained on the rows")):
        lines = here.filter(role=role)
        if lines.height:
            top = lines.sort("uniform_share").row(-1, named=True)
            ends = between(top["uniform_share_lower"], top["uniform_share_upper"])
            told.append(f"{words}: {percent(top['uniform_share'])} at most ({ends}, {top['rows']:,} rows).")
    return " ".join(told) or None


def _caveats(tables: Tables, shares: pl.DataFrame, buckets: pl.DataFrame) -> tuple[str, ...]:
    few = buckets.filter("few", pl.col("rows") > 0).height
    short = buckets.filter(pl.col("shortfall") > 0).height
    said = {
        "All points of a law come from the same rows: its interval says how well the points lie on a line, not how "
        "much another sample of rows would differ.": True,
        "The sizes of some models are unknown: no law in size.": not _sized(tables),
        "No row has a number of repetitions: no law in repetitions and no duplicate-normalised share.": not len(
            buckets
        ),
        f"{short} of {len(buckets)} buckets hold fewer than the {WANTED:,} rows that P9 drew.": short,
        f"{few} of {len(buckets)} buckets hold fewer than {FEW} rows: their shares are hardly known.": few,
        "The context starts at the row's first token, so a longer one also moves the tokens to recite.": (
            len(tables.contexts) > 1 and tables.question.get("align", "start") == "start"
        ),
        "Models were not all scored on the same rows in every cell: points of a law stand on different rows.": (
            _of_other_rows(tables, shares)
        ),
        "The study has no control (rows or a model untrained on them): a floor of lucky guesses is unknown.": (
            not tables.has_control and not tables.control_models
        ),
    }
    return tuple(words for words, holds in said.items() if holds)


def _of_other_rows(tables: Tables, shares: pl.DataFrame) -> bool:
    """Whether some model lacks a cell, or rows of the reference cell, that another has."""
    train = shares.filter(role="train")
    cells = train.group_by(*CELL).agg(pl.col("rows", "model").n_unique())
    if cells.filter((pl.col("rows") > 1) | (pl.col("model") < train["model"].n_unique())).height:
        return True
    here = train.filter(context=tables.reference.context, continuation=tables.reference.continuation)
    common = tables.side_by_side(tuple(here["model"]), tables.reference, "recited").height if here.height else 0
    return common < max(here["rows"], default=0)


def _sized(tables: Tables) -> bool:
    return all(tables.parameters(model) is not None for model in tables.by_size)


def _charts(tables: Tables, laws: pl.DataFrame, control: float | None) -> tuple[Chart, ...]:
    """One chart a law and sample that has a fit of training rows."""
    fitted = set(laws.filter(role="train").select("law", "sample").iter_rows())
    charts = []
    for sample, name in (("uniform", "uniform"), ("normalised", "duplicate-normalised")):
        if ("size", name) in fitted:
            color = Axis("context", "context, tokens", "ordinal")
            charts.append(_chart("size", sample, Axis("parameters", "parameters", "log"), color))
        if ("context", name) in fitted:
            color = Axis("model", "model", "nominal")
            charts.append(_chart("context", sample, Axis("context", "context, tokens", "log"), color))
    if ("repetitions", "buckets") in fitted:
        charts.append(_repetitions_chart(tables.reference.continuation, control))
    return tuple(charts)


def _chart(law: str, sample: str, x: Axis, color: Axis) -> Chart:
    words = {
        "uniform": ("uniform sample", "rows with M = 1"),
        "normalised": ("duplicate-normalised", "rows with M = 1, mean of the buckets"),
    }
    heading, title = words[sample]
    name = f"{sample}_share"
    return Chart(
        f"{law}-{sample}",
        f"Memorized share by {'model size' if law == 'size' else law}, {heading}",
        "lines",
        "shares",
        x,
        Axis(name, title, share=True),
        color,
        f"{name}_lower",
        f"{name}_upper",
        "continuation",
        "role",
    )


def _repetitions_chart(continuation: int, control: float | None) -> Chart:
    return Chart(
        "repetitions",
        f"Memorized share by repetitions, {continuation} tokens to recite",
        "lines",
        "repetitions",
        Axis("repetitions", "repetitions in the corpus", "log"),
        Axis("share", "rows with M = 1", share=True),
        Axis("model", "model", "nominal"),
        "share_lower",
        "share_upper",
        "context",
        "role",
        reference=None if control is None else (control, "control rows"),
        where={"continuation": continuation},
    )


def _lacking(tables: Tables, shares: pl.DataFrame, told: dict[str, dict[str, Any]]) -> Finding | None:
    here = shares.filter(pl.col("role") == "train")
    if here.height and here["memorized"].sum() == 0:
        what = f"memorized rows (none of {max(here['rows']):,} rows is recited by any model)"
        remedy = "Score larger models, rows that occur more often, or shorter continuations."
        return ANALYSIS.lacking(tables, _QUESTION, what, remedy)
    if not told:
        what = "two points to lay a line through (two sizes, two buckets of repetitions or two contexts)"
        remedy = "Score models of several sizes, rows with known repetitions, or several contexts (`--context 16,32`)."
        return ANALYSIS.lacking(tables, _QUESTION, what, remedy)
    return None


def _tables(
    laws: pl.DataFrame,
    residuals: pl.DataFrame,
    shares: pl.DataFrame,
    repetitions: pl.DataFrame,
    buckets: pl.DataFrame,
) -> tuple[Table, ...]:
    lines = [[getattr(slope, name) for name in _PUBLISHED] for slope in SLOPES]
    published = pl.DataFrame(lines, [*_PUBLISHED], orient="row")
    tables = (
        Table("laws", "Laws fitted: slope per tenfold", laws, LAWS, LAWS_RECIPE),
        Table("shares", "Memorized share by size and context", shares, SHARES, SHARES_RECIPE),
        Table("repetitions", "Memorized share by repetitions", repetitions, REPETITIONS, REPETITIONS_RECIPE),
        Table("buckets", "Rows in each bucket of repetitions", buckets, BUCKET_COLUMNS, BUCKETS_RECIPE),
        Table("residuals", "Points beside their line", residuals, RESIDUALS, RESIDUALS_RECIPE),
        Table("published", "Slopes that P9 reports", published, _PUBLISHED, _PUBLISHED_RECIPE),
    )
    return tuple(table for table in tables if table.frame.height)


def _with_copies(finding: Finding, tables: Tables) -> Finding:
    """The finding of tables in which copies stand for repetitions, with that said and its recipes."""
    recipes = {BUCKETS_RECIPE: COPIES_RECIPE}
    kept = [(table, (table.recipe or "").replace(COUNTS_RECIPE, COPIES_COUNTS_RECIPE)) for table in finding.tables]
    found = tuple(replace(table, recipe=recipes.get(recipe, recipe)) for table, recipe in kept)
    return replace(finding, tables=found, caveats=(told_by_copies(tables), *finding.caveats))


def answer(tables: Tables) -> Finding:
    """`_answer`, with copies in the corpus in place of repetitions where the study records none."""
    copied = by_copies(tables) if tables.complete else None
    return _answer(tables) if copied is None else _with_copies(_answer(copied), copied)


def _answer(tables: Tables) -> Finding:
    """The three laws in every cell, each with interval, residuals, rival and control; the claim is on the reference."""
    if not tables.complete:
        remedy = "Score the rows yourself: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, _QUESTION, "scores of all rows, not of recited rows alone", remedy)
    counts = bucket_counts(tables)
    repetitions, shares, points = shares_by_repetitions(counts), sample_shares(counts), law_points(counts)
    laws, residuals = fit_laws(points), law_residuals(points)
    told = _told(tables, laws)
    if lacking := _lacking(tables, shares, told):
        return lacking
    cell, buckets = tables.reference, shortfall(tables.rows)
    best = next((told[law] for law in _UNITS if law in told and told[law]["slope_lower"] is not None), None)
    control = shares.filter(role="control", context=cell.context, continuation=cell.continuation)["uniform_share"]
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        f"At {cell} tokens the memorized share changes by "
        f"{', by '.join(_slope(told[law]) for law in _UNITS if law in told)}{_compared(told)}.",
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=None if best is None else abs(best["slope"]) / max(1e-9, best["slope_error"]),
        control=_control(tables, shares),
        tables=_tables(laws, residuals, shares, repetitions, buckets),
        charts=_charts(tables, laws, max(control, default=None)),
        trends=_trends(told, _told(tables, laws, "control")),
        caveats=_caveats(tables, shares, buckets),
        deviations=_DEVIATIONS,
    )


ANALYSIS = Analysis(
    "scaling",
    "Scaling laws",
    "P9, Figure 1",
    "two model sizes, rows with several numbers of repetitions, or two contexts; all rows scored",
    answer,
    ("log-linear-in-size", "log-linear-in-repetitions", "log-linear-in-context"),
)
