"""Which rows of a study to look at: by level, role and model, in order of one of their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import polars as pl

from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.errors import OptionError, did_you_mean
from mematlas.metrics.extractable import extractable
from mematlas.metrics.levels import level

#: The levels of `mematlas.metrics.levels`, as words of a command line.
Level = Literal["very-low", "low", "medium", "high", "very-high"]
Order = Literal["m", "verbatim", "repetitions", "margin", "row"]
_SCORES: Final = ("row", "model", "role", "matches", "m", "level", "verbatim", "margin")
_COLUMNS: Final = (*_SCORES, "repetitions", "document", "source")


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Rows of one cell.

    scored: how many rows the models scored, before any was left out; rows: one record per model and row: row, model,
    role, matches, m, level, verbatim, margin, repetitions, document, source.
    """

    cell: Cell
    scored: int
    rows: "pl.DataFrame"


def select_rows(
    tables: Tables,
    cell: Cell,
    *,
    models: Sequence[str] = (),
    recited: bool = False,
    levels: Sequence[Level] = (),
    role: str | None = None,
    by: Order = "m",
    ascending: bool = False,
) -> Selection:
    """The rows that models scored in a cell; ties are in the order of row ids, unknown numbers come last.

    Args:
        models: labels; the largest of the family by default.

    Raises:
        OptionError: a model is not part of the run.
    """
    chosen = _check_models(tables, models) or [tables.by_size[-1]]
    at_cell = {"context": cell.context, "continuation": cell.continuation}
    is_scored = pl.col("matches").is_not_null() | pl.col("verbatim").is_not_null()
    scored = tables.scores.filter(pl.col("model").is_in(chosen) & is_scored, **at_cell).join(tables.rows, on="row")
    names = dict(enumerate(get_args(Level)))
    lines = scored.with_columns(
        m=pl.col("matches") / cell.continuation,
        level=level("matches", cell.continuation).replace_strict(names, return_dtype=pl.String),
    )
    if role is not None:
        lines = lines.filter(role=role)
    if recited:
        lines = lines.filter(extractable.expression())
    if levels:
        lines = lines.filter(pl.col("level").is_in(levels))
    ordered = lines.sort(by, "row", "model", descending=[not ascending, False, False], nulls_last=True)
    counted, found = pl.collect_all([scored.select(pl.len()), ordered.select(_COLUMNS)], engine="streaming")
    return Selection(cell, counted.item(), found)


def _check_models(tables: Tables, models: Sequence[str]) -> list[str]:
    labels = tables.models["model"].to_list()
    for name in models:
        if name not in labels:
            raise OptionError(
                f"--model {name}: the run has no such model.{did_you_mean(name, labels)} It has {', '.join(labels)}."
            )
    return list(models)
