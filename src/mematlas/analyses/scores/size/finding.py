"""Memorized and unmemorized share of rows against model size.

Source: P1, Fig. 2 (a): counts of memorized (M = 1) and unmemorized (M = 0) rows by model size, 70M to 12B.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import (
    SHARES,
    beside_control,
    memorized_shares,
    nearest_cell,
    shares_recipe,
)
from mematlas.analyses.frames.proportions import share_of
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.scores.size.level_growth import TREND, fastest_trend
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.intervals import standard_error

_GROWTH: Final = "recited-rows-grow-with-size"
_COLUMNS: Final = {"parameters": "number of weights", **SHARES}
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


def answer(tables: Tables) -> Finding:
    """How the memorized and unmemorized shares change with model size, in every cell; the claim is on the reference."""
    cell, frame = nearest_cell(tables), _shares(tables)
    ends = [] if cell is None else _ends(frame.filter(context=cell.context, continuation=cell.continuation))
    if cell is None or len(ends) < 2 or not tables.complete:
        wanted = "two models of different, known size" if tables.complete else "scores of all rows"
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, "whether memorization grows with model size", wanted, remedy)
    smallest, largest = ends
    errors = [standard_error(line["memorized_share_lower"], line["memorized_share_upper"]) for line in ends]
    recipe = shares_recipe(tables, "parameters")
    effect = largest["memorized_share"] - smallest["memorized_share"]
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        f"At {cell} tokens the memorized share is {share_of(smallest, 'memorized_share')} in {smallest['model']} and "
        f"{share_of(largest, 'memorized_share')} in {largest['model']} "
        f"({smallest['rows']:,} and {largest['rows']:,} rows).",
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(effect) / sum(error**2 for error in errors) ** 0.5,
        control=beside_control(memorized_shares(tables), cell),
        tables=(Table("shares", "Memorized and unmemorized rows by model size", frame, _COLUMNS, recipe),),
        charts=(_CHART,),
        trends=(_trend(smallest, largest), fastest_trend(tables, smallest["model"], largest["model"], cell)),
        caveats=() if tables.has_control else ("The study has no control rows: a floor of lucky guesses is unknown.",),
    )


def _shares(tables: Tables) -> pl.DataFrame:
    """Shares of the models whose size is known, one a size, and of the control models."""
    sizes = tables.models.select("model", "parameters").drop_nulls()
    drawn = [*tables.by_size, *tables.control_models]
    return sizes.join(memorized_shares(tables).filter(pl.col("model").is_in(drawn)), on="model").select(*_COLUMNS)


def _ends(here: pl.DataFrame) -> list[dict[str, Any]]:
    """The lines of the smallest and the largest model in one cell; fewer than two where sizes do not differ."""
    train = here.filter(role="train").sort("parameters")
    return [train.row(0, named=True), train.row(-1, named=True)] if train["parameters"].n_unique() > 1 else []


def _trend(smallest: dict[str, Any], largest: dict[str, Any]) -> Trend:
    """Growth is shown, or contradicted, where the intervals of the smallest and the largest model do not overlap."""
    test = (
        f"memorized share {share_of(smallest, 'memorized_share')} in the smallest model, "
        f"{share_of(largest, 'memorized_share')} in the largest; "
        "a direction is shown if the 95 % intervals are apart"
    )
    if largest["memorized_share_lower"] > smallest["memorized_share_upper"]:
        return Trend(_GROWTH, "shows", test)
    if largest["memorized_share_upper"] < smallest["memorized_share_lower"]:
        return Trend(_GROWTH, "contradicts", test)
    return Trend(_GROWTH, "cannot tell", test)


ANALYSIS = Analysis(
    "size",
    "Model size",
    "P1, Figure 2 (a)",
    "two models of different, known size; all rows scored",
    answer,
    (_GROWTH, TREND),
)
