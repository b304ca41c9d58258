"""Memorized and unmemorized share of rows against the context, and the rows memorized only with the longer or shorter.

Source: P1, Fig. 2 (c): counts of memorized and unmemorized rows by tokens of context at a fixed continuation.
"""

from itertools import pairwise
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import (
    control_sentence,
    in_model_order,
    memorized_shares,
    recited_by_cell,
    scored_cells,
    share_columns_across,
    shares_recipe,
)
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, Share, format_share, share_columns
from mematlas.analyses.frames.rows_left_out import left_out_sentences
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_verdict, format_count
from mematlas.analyses.trend_tests import clustered_majority_verdict
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend

_CHANGE_COLUMNS: Final = {
    "model": "label of the model",
    "continuation": "tokens to recite",
    "context": "tokens of the shorter context",
    "longer_context": "tokens of the longer context: the next of the grid, and the longest beside the shortest",
    "rows": "training rows scored at both",
    "both": "rows memorized at both",
    "brought_out": "rows memorized at the longer context only",
    "lost": "rows memorized at the shorter context only",
    "brought_out_share": "brought_out / rows not memorized at the shorter context; null where there are none",
    "brought_out_share_lower": "lower end of its Wilson 95 % interval",
    "brought_out_share_upper": "upper end of its Wilson 95 % interval",
    "lost_share": "lost / rows memorized at the shorter context; null where there are none",
    "lost_share_lower": "lower end of its Wilson 95 % interval",
    "lost_share_upper": "upper end of its Wilson 95 % interval",
    "brought_out_clusters": f"of brought_out_share: {SAMPLE_COLUMNS['clusters']}",
    "brought_out_design_effect": f"of brought_out_share: {SAMPLE_COLUMNS['design_effect']}",
    "lost_clusters": "of lost_share",
    "lost_design_effect": "of lost_share",
}
_CHANGES_RECIPE: Final = """\
pairs = recount.pairs(study, "context").rename({"context_2": "longer_context"})
cells = pairs.group_by("model", "continuation", "context", "longer_context", "cluster")
answer = recount.with_changes(cells.agg(pl.sum("both", "lost"), brought_out=pl.sum("gained"), rows=pl.len()))"""
_EXAMPLES_PER_KIND: Final = 4


def _changes(tables: Tables) -> pl.DataFrame:
    """One record per model, continuation and pair of contexts; columns _CHANGE_COLUMNS."""
    records = []
    for model in tables.family:
        cells = scored_cells(tables, model)
        for length in sorted({cell.continuation for cell in cells}):
            contexts = [cell.context for cell in cells if cell.continuation == length]
            ends = [(contexts[0], contexts[-1])] if len(contexts) > 2 else []
            for shorter, longer in [*pairwise(contexts), *ends]:
                counts = _change_counts(tables, model, length, shorter, longer)
                keys = {"continuation": length, "context": shorter, "longer_context": longer}
                labels = [pl.lit(value, pl.Int64).alias(name) for name, value in keys.items()]
                records.append(counts.select(pl.lit(model).alias("model"), *labels, pl.all()))
    if not records:
        return pl.DataFrame(schema=dict.fromkeys(_CHANGE_COLUMNS, pl.Int64))
    frame = in_model_order(pl.concat(records), tables, "continuation", "longer_context")
    return with_changes(frame).select(*_CHANGE_COLUMNS)


def _change_counts(tables: Tables, model: str, length: int, shorter: int, longer: int) -> pl.DataFrame:
    """Rows memorized at both contexts, at the longer only, at the shorter only, and all; in each cluster, if any."""
    both = (pl.col("shorter") & pl.col("longer")).alias("both")
    sums = [flag.sum().cast(pl.Int64) for flag in (both, _is_brought_out(), _is_lost())]
    wide = _memorized_at_both(tables, model, length, shorter, longer)
    return tables.sum_by_cluster(wide, pl.len().cast(pl.Int64).alias("rows"), *sums)


def with_changes(counts: pl.DataFrame) -> pl.DataFrame:
    """Add brought_out_share and lost_share with intervals to columns rows, both, brought_out, lost (and cluster).

    brought_out_share is relative to the rows not memorized at the shorter context, lost_share to those that were;
    columns as _CHANGE_COLUMNS.
    """
    memorized = pl.col("both") + pl.col("lost")
    frame = counts.with_columns(memorized.alias("memorized"), (pl.col("rows") - memorized).alias("others"))
    shares = [
        Share(hits, count, f"{hits}_share", f"{hits}_clusters", f"{hits}_design_effect")
        for hits, count in (("brought_out", "others"), ("lost", "memorized"))
    ]
    return share_columns(frame, shares, ("rows", "both")).drop("memorized", "others")


def _memorized_at_both(tables: Tables, model: str, length: int, shorter: int, longer: int) -> pl.DataFrame:
    """Training rows scored at both contexts: row, shorter, longer (Boolean: memorized)."""
    cells = [Cell(shorter, length), Cell(longer, length)]
    wide = recited_by_cell(tables, model, cells)
    return wide.rename({str(cells[0]): "shorter", str(cells[1]): "longer"})


def _is_brought_out() -> pl.Expr:
    return (pl.col("longer") & ~pl.col("shorter")).alias("brought_out")


def _is_lost() -> pl.Expr:
    return (pl.col("shorter") & ~pl.col("longer")).alias("lost")


def compute(tables: Tables) -> Finding:
    """Compute how the memorized and unmemorized shares change with the context at each continuation.

    The claim is on the largest model, its shortest and longest context, at the continuation nearest to 32 tokens.
    """
    question = "whether a longer context brings out more memorized rows"
    if not tables.complete:
        remedy = "Score all rows of a selection, recited or not: `mematlas score MODEL --corpus PATH --study FOLDER`."
        return ANALYSIS.insufficient_data(tables, question, "scores of all rows, not of recited rows alone", remedy)
    changes = _changes(tables)
    if not changes["rows"].sum():
        remedy = "Score rows at two contexts: `mematlas score ... --context 16,32,64`."
        return ANALYSIS.insufficient_data(
            tables, question, "training rows scored at two contexts of one continuation", remedy
        )
    headline = _headline_record(tables, changes.filter(pl.col("rows") > 0))
    trend = _trend(tables, headline)
    shares, columns = memorized_shares(tables, "context"), share_columns_across("context")
    recipe = shares_recipe(tables, across="context")
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(headline),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(headline),
        control=control_sentence(shares, Cell(headline["longer_context"], headline["continuation"])),
        tables=(
            Table("shares", "Memorized and unmemorized rows by context", shares, columns, recipe),
            Table(
                "changes", "Rows that a longer context brings out or loses", changes, _CHANGE_COLUMNS, _CHANGES_RECIPE
            ),
        ),
        charts=_charts(tables, headline),
        trends=(trend,),
        caveats=_caveats(tables),
        deviations=_DEVIATIONS,
        rows=_example_rows(tables, headline),
        headline=by_verdict(
            trend.verdict,
            "A longer context brings out more rows",
            "A longer context loses more rows than it brings out",
            "A longer context makes no clear difference",
        ),
        sentence=_sentence(headline),
    )


def _headline_record(tables: Tables, changes: pl.DataFrame) -> dict[str, Any]:
    """The record of the largest model at the continuation nearest to 32 tokens, with its contexts furthest apart."""
    distance = (pl.col("continuation") - 32).abs()
    candidates = changes.filter(distance == distance.min())
    scored = set(candidates["model"])
    model = [name for name in (*tables.family, *tables.by_size) if name in scored][-1]
    difference = pl.col("longer_context") - pl.col("context")
    return candidates.filter(model=model).sort("continuation", difference).row(-1, named=True)


def _claim(headline: dict[str, Any]) -> str:
    shorter = headline["both"] + headline["lost"]
    longer = headline["both"] + headline["brought_out"]
    start = (
        f"Over {headline['continuation']} tokens {headline['model']} memorizes {shorter:,} of {headline['rows']:,} "
        f"rows with a context of {headline['context']} tokens and {longer:,} with {headline['longer_context']}"
    )
    brought_out = f"{headline['brought_out']:,}, {format_share(headline, 'brought_out_share')}"
    out = f"the longer one brings out {brought_out} of those not memorized"
    lost = f"loses {headline['lost']:,}, {format_share(headline, 'lost_share')} of those that were"
    if shorter == headline["rows"]:
        return (
            f"{start}; all rows were memorized before, so that there was nothing to bring out; the longer one {lost}."
        )
    if not shorter:
        return f"{start}: {out} before; no row was memorized before, so that there was nothing to lose."
    return f"{start}: {out} before, and {lost}."


def _sentence(headline: dict[str, Any]) -> str:
    """The share of rows that the longer context brings out, and the number that it loses."""
    memorized = headline["both"] + headline["lost"]
    others = format_count(headline["rows"] - memorized, "unrecited row")
    start = f"With {headline['longer_context']} instead of {headline['context']} tokens {headline['model']}"
    gains = f"gains {format_share(headline, 'brought_out_share')} of {others}"
    loses = f"loses {headline['lost']:,} of {memorized:,} recited"
    if memorized == headline["rows"]:
        return f"{start} {loses}; there was nothing to gain."
    return f"{start} {gains} and {loses}." if memorized else f"{start} {gains}."


def _strength(headline: dict[str, Any]) -> float | None:
    """McNemar's statistic (1947): rows gained minus rows lost, over the standard error if nothing had changed."""
    changed = headline["brought_out"] + headline["lost"]
    return abs(headline["brought_out"] - headline["lost"]) / float(changed) ** 0.5 if changed else None


def _trend(tables: Tables, headline: dict[str, Any]) -> Trend:
    test = (
        f"{headline['model']}, {headline['continuation']} tokens to recite: from {headline['context']} to "
        f"{headline['longer_context']} tokens of context {headline['brought_out']:,} rows become memorized and "
        f"{headline['lost']:,} no longer are. Shown if the 95 % interval of the first among both is above one half. "
        "Only the direction is tested: whether the rise is exponential cannot be told"
    )
    where = (headline["model"], headline["continuation"], headline["context"], headline["longer_context"])
    verdict = clustered_majority_verdict(_change_counts(tables, *where), "brought_out", "lost")
    return Trend("recited-rows-grow-with-context", verdict, test)


def _charts(tables: Tables, headline: dict[str, Any]) -> tuple[Chart, ...]:
    model = Axis("model", "model", "nominal")

    def line_chart(name: str, title: str, table: str, x: Axis, y: Axis, dash: str | None) -> Chart:
        bounds = (f"{y.column}_lower", f"{y.column}_upper")
        return Chart(name, title, "lines", table, x, y, model, *bounds, facet="continuation", dash=dash)

    context = Axis("context", "context, tokens")
    memorized = Axis("memorized_share", "rows with M = 1", share=True)
    charts = [line_chart("memorized", "Memorized rows by context", "shares", context, memorized, "role")]
    if tables.graded:
        unmemorized = Axis("unmemorized_share", "rows with M = 0", share=True)
        charts.append(line_chart("unmemorized", "Unmemorized rows by context", "shares", context, unmemorized, "role"))
    if headline["brought_out_share"] is None:
        return tuple(charts)
    pair = {name: headline[name] for name in ("continuation", "context", "longer_context")}
    title = f"Rows that {pair['longer_context']} tokens of context bring out, beside {pair['context']}"
    share = Axis("brought_out_share", "of rows not memorized before", share=True)
    bounds = ("brought_out_share_lower", "brought_out_share_upper")
    return (*charts, Chart("brought_out", title, "bars", "changes", model, share, None, *bounds, where=pair))


def _caveats(tables: Tables) -> tuple[str, ...]:
    caveats = []
    if tables.settings.get("align", "start") == "start":
        caveats.append(
            "Contexts begin with the row, so a longer one also moves the continuation to later tokens: what changes is "
            "the context and the text to recite. `--align end` keeps the text."
        )
    caveats += left_out_sentences(tables, "context")
    if not tables.has_control:
        caveats.append("The study has no control rows: a floor of lucky guesses is unknown.")
    return tuple(caveats)


def _example_rows(tables: Tables, headline: dict[str, Any]) -> dict[int, str]:
    """The first rows that only the longer context, or only the shorter one, makes the model recite, with the reason."""
    contexts = (headline["context"], headline["longer_context"])
    wide = _memorized_at_both(tables, headline["model"], headline["continuation"], *contexts)
    rows: dict[int, str] = {}
    for changed, (with_, without) in ((_is_brought_out(), contexts[::-1]), (_is_lost(), contexts)):
        reason = f"memorized by {headline['model']} with {with_} tokens of context, not with {without}"
        examples = tables.one_per_text(wide.filter(changed))
        rows |= dict.fromkeys(examples["row"].head(_EXAMPLES_PER_KIND).to_list(), reason)
    return rows


_DEVIATIONS: Final = (
    "P1 counts all rows of the training stream; these are the rows of the study, as shares with Wilson intervals.",
    "P1 does not follow single rows from one context to the next; the rows brought out and lost are ours.",
    "P1 calls the rise with context about exponential; only its direction is tested.",
)
ANALYSIS: Final = Analysis(
    "context",
    "Length of the context",
    "P1, Figure 2 (c)",
    "scores of all rows at two contexts of one continuation",
    compute,
    ("recited-rows-grow-with-context",),
)
