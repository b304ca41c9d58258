"""Memorized and unmemorized share of rows against model size.

Source: P1, Fig. 2 (a): counts of memorized (M = 1) and unmemorized (M = 0) rows by model size, 70M to 12B.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.distinct_texts import format_texts, text_records, text_shares
from mematlas.analyses.frames.memorized_shares import (
    SHARE_COLUMNS,
    control_sentence,
    memorized_shares,
    nearest_cell,
    shares_recipe,
)
from mematlas.analyses.frames.proportions import format_share
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_verdict, format_sizes
from mematlas.analyses.scores.size.level_growth import FASTEST_GROWTH_TREND, fastest_growth_trend
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.intervals import standard_error

_GROWTH_TREND: Final = "recited-rows-grow-with-size"
_COLUMNS: Final = {"parameters": "number of weights", **SHARE_COLUMNS}
_CHART: Final = Chart(
    "memorized",
    "Memorized share of rows by model size",
    "lines",
    "shares",
    Axis("parameters", "parameters", "log"),
    Axis("memorized_share", "rows with M = 1", share=True),
    Axis("continuation", "continuation, tokens", "ordinal"),
    "memorized_share_lower",
    "memorized_share_upper",
    "context",
    "role",
)


def compute(tables: Tables) -> Finding:
    """Compute how the memorized and unmemorized shares change with model size in every cell.

    The claim is on the cell nearest to 32 + 32.
    """
    cell, shares = nearest_cell(tables), _shares_by_size(tables)
    ends = []
    if cell is not None:
        ends = _smallest_and_largest(shares.filter(context=cell.context, continuation=cell.continuation))
    if cell is None or len(ends) < 2 or not tables.complete:
        missing = "two models of different, known size" if tables.complete else "scores of all rows"
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.insufficient_data(tables, "whether memorization grows with model size", missing, remedy)
    smallest, largest = ends
    errors = [standard_error(record["memorized_share_lower"], record["memorized_share_upper"]) for record in ends]
    recipe = shares_recipe(tables, "parameters")
    growth = _growth_trend(smallest, largest)
    effect = largest["memorized_share"] - smallest["memorized_share"]
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, smallest, largest, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(effect) / sum(error**2 for error in errors) ** 0.5,
        control=control_sentence(memorized_shares(tables), cell),
        tables=(Table("shares", "Memorized and unmemorized rows by model size", shares, _COLUMNS, recipe),),
        charts=(_CHART,),
        trends=(
            growth,
            fastest_growth_trend(tables, smallest["model"], largest["model"], cell),
        ),
        caveats=() if tables.has_control else ("The study has no control rows: a floor of lucky guesses is unknown.",),
        headline=_headline(growth.verdict, smallest, largest),
        sentence=_sentence(tables, smallest, largest, cell),
    )


def _claim(tables: Tables, smallest: dict[str, Any], largest: dict[str, Any], cell: Cell) -> str:
    """The shares of the smallest and the largest model: of distinct texts, where rows are copies."""
    records = text_records(text_shares(tables), *((record["model"], cell) for record in (smallest, largest)))
    if records is not None:
        first, last = (f"{record['model']} recites {format_texts(record)}" for record in records)
        return f"At {cell} tokens {first}, {last}."
    return (
        f"At {cell} tokens the memorized share is {format_share(smallest, 'memorized_share')} in {smallest['model']} "
        f"and {format_share(largest, 'memorized_share')} in {largest['model']} "
        f"({smallest['rows']:,} and {largest['rows']:,} rows)."
    )


def _headline(growth: Verdict, smallest: dict[str, Any], largest: dict[str, Any]) -> str:
    """What the verdict on growth says, if any row is recited at all."""
    if not smallest["memorized"] + largest["memorized"]:
        return "Neither the smallest nor the largest model recites a row"
    more, fewer = (f"Bigger models recite {quantity} rows" for quantity in ("more", "fewer"))
    return by_verdict(growth, more, fewer, "Size makes no clear difference to how many rows are recited")


def _sentence(tables: Tables, smallest: dict[str, Any], largest: dict[str, Any], cell: Cell) -> str:
    """The two shares and the number of rows, or of distinct texts, where rows are copies."""
    ends = (smallest, largest)
    records, share, noun = (
        text_records(text_shares(tables), *((record["model"], cell) for record in ends)),
        "share",
        "text",
    )
    if records is None:
        records, share, noun = list(ends), "memorized_share", "row"
    first, last = (f"{format_share(record, share)} by {record['model']}" for record in records)
    return f"Recited: {first} and {last}, of {format_sizes([record[f'{noun}s'] for record in records], noun)}."


def _shares_by_size(tables: Tables) -> pl.DataFrame:
    """The shares of one model per known size, and of the control models."""
    sizes = tables.models.select("model", "parameters").drop_nulls()
    models = [*tables.by_size, *tables.control_models]
    return sizes.join(memorized_shares(tables).filter(pl.col("model").is_in(models)), on="model").select(*_COLUMNS)


def _smallest_and_largest(shares: pl.DataFrame) -> list[dict[str, Any]]:
    """The records of the smallest and the largest model in one cell; [] where sizes do not differ."""
    train = shares.filter(role="train").sort("parameters")
    return [train.row(0, named=True), train.row(-1, named=True)] if train["parameters"].n_unique() > 1 else []


def _growth_trend(smallest: dict[str, Any], largest: dict[str, Any]) -> Trend:
    """The verdict on growth: shown or contradicted if the intervals of smallest and largest model do not overlap."""
    test = (
        f"memorized share {format_share(smallest, 'memorized_share')} in the smallest model, "
        f"{format_share(largest, 'memorized_share')} in the largest. "
        "A direction is shown if the 95 % intervals are apart"
    )
    if largest["memorized_share_lower"] > smallest["memorized_share_upper"]:
        return Trend(_GROWTH_TREND, "shows", test)
    if largest["memorized_share_upper"] < smallest["memorized_share_lower"]:
        return Trend(_GROWTH_TREND, "contradicts", test)
    return Trend(_GROWTH_TREND, "cannot tell", test)


ANALYSIS = Analysis(
    "size",
    "Model size",
    "P1, Figure 2 (a)",
    "two models of different, known size; all rows scored",
    compute,
    (_GROWTH_TREND, FASTEST_GROWTH_TREND),
)
