"""Memorized and unmemorized share of rows against the context, and the rows that a longer context brings out or loses.

Source: P1, Fig. 2 (c): counts of memorized and unmemorized rows by tokens of context at a fixed continuation.
"""

from itertools import pairwise
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import (
    SHARES,
    beside_control,
    cells_of,
    in_order,
    memorized_shares,
    recited_in,
    shares_recipe,
    unevenly_scored,
)
from mematlas.analyses.frames.proportions import share_of, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.trend_tests import majority
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend

_CHANGES: Final = {
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
}
_CHANGES_RECIPE: Final = """\
cells = recount.pairs(study, "context").group_by("model", "continuation", "context", longer_context="context_2")
counts = cells.agg(pl.len().alias("rows"), pl.sum("both", "lost"), brought_out=pl.sum("gained"))
answer = recount.with_changes(counts)"""
_SHOWN: Final = 4


def _changes(tables: Tables) -> pl.DataFrame:
    """One line a model, continuation and pair of contexts; columns _CHANGES."""
    lines = []
    for model in tables.family:
        cells = cells_of(tables, model)
        for length in sorted({cell.continuation for cell in cells}):
            contexts = [cell.context for cell in cells if cell.continuation == length]
            ends = [(contexts[0], contexts[-1])] if len(contexts) > 2 else []
            for shorter, longer in [*pairwise(contexts), *ends]:
                wide = _pair(tables, model, length, shorter, longer)
                counts = wide.select((pl.col("shorter") & pl.col("longer")).sum(), _brought_out().sum(), _lost().sum())
                lines.append((model, length, shorter, longer, wide.height, *counts.row(0)))
    names = [name for name in _CHANGES if "_share" not in name]
    schema = {name: pl.String if name == "model" else pl.Int64 for name in names}
    frame = in_order(pl.DataFrame(lines, schema=schema, orient="row"), tables, "continuation", "longer_context")
    return with_changes(frame).select(*_CHANGES)


def with_changes(counts: pl.DataFrame) -> pl.DataFrame:
    """Add brought_out_share and lost_share with Wilson intervals to columns rows, both, brought_out and lost.

    Rows brought out are a share of those not memorized before, rows lost of those that were; columns as _CHANGES.
    """
    memorized = pl.col("both") + pl.col("lost")
    frame = counts.with_columns(memorized.alias("memorized"), (pl.col("rows") - memorized).alias("others"))
    frame = with_shares(frame, "brought_out", "others", "brought_out_share")
    return with_shares(frame, "lost", "memorized", "lost_share").drop("memorized", "others")


def _pair(tables: Tables, model: str, length: int, shorter: int, longer: int) -> pl.DataFrame:
    """Training rows scored at both contexts: row, shorter, longer (Boolean: memorized)."""
    cells = [Cell(shorter, length), Cell(longer, length)]
    wide = recited_in(tables, model, cells)
    return wide.rename({str(cells[0]): "shorter", str(cells[1]): "longer"})


def _brought_out() -> pl.Expr:
    return (pl.col("longer") & ~pl.col("shorter")).alias("brought_out")


def _lost() -> pl.Expr:
    return (pl.col("shorter") & ~pl.col("longer")).alias("lost")


def answer(tables: Tables) -> Finding:
    """How the memorized and unmemorized shares change with the context at each continuation.

    The claim is on the largest model, shortest and longest context, at the continuation nearest to 32 tokens.
    """
    question = "whether a longer context brings out more memorized rows"
    if not tables.complete:
        remedy = "Score all rows of a selection, recited or not: `mematlas score MODEL --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, question, "scores of all rows, not of recited rows alone", remedy)
    changes = _changes(tables)
    if not changes["rows"].sum():
        remedy = "Score rows at two contexts: `mematlas score ... --context 16,32,64`."
        return ANALYSIS.lacking(tables, question, "training rows scored at two contexts of one continuation", remedy)
    line = _spoken_of(tables, changes.filter(pl.col("rows") > 0))
    shares = memorized_shares(tables)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(line),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(line),
        control=beside_control(shares, Cell(line["longer_context"], line["continuation"])),
        tables=(
            Table("shares", "Memorized and unmemorized rows by context", shares, SHARES, shares_recipe(tables)),
            Table("changes", "Rows that a longer context brings out or loses", changes, _CHANGES, _CHANGES_RECIPE),
        ),
        charts=_charts(tables, line),
        trends=(_trend(line),),
        caveats=_caveats(tables, shares),
        deviations=_DEVIATIONS,
        rows=_worth_a_look(tables, line),
    )


def _spoken_of(tables: Tables, changes: pl.DataFrame) -> dict[str, Any]:
    """The line of the largest model at the continuation nearest to 32 tokens, and its contexts furthest apart."""
    distance = (pl.col("continuation") - 32).abs()
    here = changes.filter(distance == distance.min())
    scored = set(here["model"])
    model = [name for name in (*tables.family, *tables.by_size) if name in scored][-1]
    apart = pl.col("longer_context") - pl.col("context")
    return here.filter(model=model).sort("continuation", apart).row(-1, named=True)


def _claim(line: dict[str, Any]) -> str:
    shorter = line["both"] + line["lost"]
    longer = line["both"] + line["brought_out"]
    start = (
        f"Over {line['continuation']} tokens {line['model']} memorizes {shorter:,} of {line['rows']:,} rows with a "
        f"context of {line['context']} tokens and {longer:,} with {line['longer_context']}"
    )
    brought_out = f"{line['brought_out']:,}, {share_of(line, 'brought_out_share')}"
    out = f"the longer one brings out {brought_out} of those not memorized"
    lost = f"loses {line['lost']:,}, {share_of(line, 'lost_share')} of those that were"
    if shorter == line["rows"]:
        return (
            f"{start}; all rows were memorized before, so that there was nothing to bring out; the longer one {lost}."
        )
    if not shorter:
        return f"{start}: {out} before; no row was memorized before, so that there was nothing to lose."
    return f"{start}: {out} before, and {lost}."


def _strength(line: dict[str, Any]) -> float | None:
    """McNemar's statistic (1947): the rows won and lost, beside their standard error if nothing changed."""
    changed = line["brought_out"] + line["lost"]
    return abs(line["brought_out"] - line["lost"]) / float(changed) ** 0.5 if changed else None


def _trend(line: dict[str, Any]) -> Trend:
    test = (
        f"{line['model']} at a continuation of {line['continuation']} tokens: from {line['context']} to "
        f"{line['longer_context']} tokens of context {line['brought_out']:,} rows become memorized and "
        f"{line['lost']:,} no longer are; shown if the 95 % interval of the first among both is above one half; only "
        "the direction is tested: whether the rise is exponential cannot be told"
    )
    return Trend("recited-rows-grow-with-context", majority(line["brought_out"], line["lost"]), test)


def _charts(tables: Tables, line: dict[str, Any]) -> tuple[Chart, ...]:
    model = Axis("model", "model", "nominal")

    def lines(name: str, title: str, table: str, x: Axis, y: Axis, dash: str | None) -> Chart:
        ends = (f"{y.column}_lower", f"{y.column}_upper")
        return Chart(name, title, "lines", table, x, y, model, *ends, facet="continuation", dash=dash)

    context = Axis("context", "context, tokens")
    memorized = Axis("memorized_share", "rows with M = 1", share=True)
    found = [lines("memorized", "Memorized rows by context", "shares", context, memorized, "role")]
    if tables.graded:
        unmemorized = Axis("unmemorized_share", "rows with M = 0", share=True)
        found.append(lines("unmemorized", "Unmemorized rows by context", "shares", context, unmemorized, "role"))
    if line["brought_out_share"] is None:
        return tuple(found)
    pair = {name: line[name] for name in ("continuation", "context", "longer_context")}
    title = f"Rows that {pair['longer_context']} tokens of context bring out, beside {pair['context']}"
    share = Axis("brought_out_share", "of rows not memorized before", share=True)
    ends = ("brought_out_share_lower", "brought_out_share_upper")
    return (*found, Chart("brought_out", title, "bars", "changes", model, share, None, *ends, where=pair))


def _caveats(tables: Tables, shares: pl.DataFrame) -> tuple[str, ...]:
    found = []
    if tables.question.get("align", "start") == "start":
        found.append(
            "Contexts begin with the row, so a longer one also moves the continuation to later tokens: what changes is "
            "the context and the text to recite. `--align end` keeps the text."
        )
    if unevenly_scored(shares, "continuation"):
        found.append(
            "Not all rows were scored at every context: the shares of the contexts are of different rows; those of "
            "rows brought out and lost are of the same."
        )
    if not tables.has_control:
        found.append("The study has no control rows: a floor of lucky guesses is unknown.")
    return tuple(found)


def _worth_a_look(tables: Tables, line: dict[str, Any]) -> dict[int, str]:
    """The first rows that the longer context brings out, and loses, with a word why."""
    pair = (line["context"], line["longer_context"])
    wide = _pair(tables, line["model"], line["continuation"], *pair)
    found: dict[int, str] = {}
    for changed, (with_, without) in ((_brought_out(), pair[::-1]), (_lost(), pair)):
        why = f"memorized by {line['model']} with {with_} tokens of context, not with {without}"
        found |= dict.fromkeys(wide.filter(changed)["row"].head(_SHOWN).to_list(), why)
    return found


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
    answer,
    ("recited-rows-grow-with-context",),
)
