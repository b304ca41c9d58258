"""A page of the table of rows, and how the selected rows are distributed over matches."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.explorer.lines import Lines, View
from mematlas.explorer.texts import Texts
from mematlas.types import Ids

#: The columns of a page and of an exported table, without texts.
COLUMNS: Final = (
    *("row", "role", "source", "document", "repetitions", "copies", "kind"),
    *("matches", "verbatim", "m", "level", "margin", "change", "risk"),
)


def records(lines: Lines, view: View, positions: Ids) -> pl.DataFrame:
    """COLUMNS of these rows, in their order; what is not known is null."""
    chosen, kinds = np.asarray(positions), lines.feature_kinds
    scores = lines.scores(view.model, view)[chosen]
    m = pl.col("matches") / view.continuation
    frame = lines.rows[chosen].with_columns(scores).with_columns(m=m, level=lines.level_of(view.continuation))
    change = pl.lit(None, pl.Float64)
    if view.compare is not None:
        change = (pl.lit(lines.scores(view.compare, view)["matches"][chosen]) - pl.col("matches")) / view.continuation
    frame = frame.with_columns(change=change)
    absent = {"copies": pl.Int64, "kind": pl.String, "risk": pl.Float32}
    for name, has in (("copies", "copies" in kinds), ("kind", "texts" in kinds), ("risk", lines.has_predictions)):
        values = lines.columns(view, [name])[name][chosen] if has else pl.lit(None, absent[name])
        frame = frame.with_columns(values.alias(name))
    return frame.select(COLUMNS)


def page(lines: Lines, texts: Texts, view: View, positions: Ids) -> list[dict[str, Any]]:
    """The records of these rows, with the texts of their windows."""
    windows = texts.windows(positions, view)
    found = records(lines, view, positions)
    return [
        record | {"context_text": context, "true_text": true}
        for record, (context, true) in zip(found.iter_rows(named=True), windows, strict=True)
    ]


def strip(lines: Lines, view: View, positions: Ids) -> list[dict[str, Any]]:
    """How many of these rows have each number of matches, 0 to the continuation, and how many were not scored.

    Where matches are not known: how many are of each level.
    """
    by = "matches" if lines.is_graded else "level"
    values_of_all = lines.columns(view, [by])[by]
    chosen = values_of_all if len(positions) == len(values_of_all) else values_of_all[np.asarray(positions)]
    numbers = dict(chosen.value_counts(name="n").iter_rows())
    values: Iterable[Any] = range(view.continuation + 1) if by == "matches" else lines.levels
    bins = [{by: value, "n": numbers.get(value, 0)} for value in values]
    return bins + ([{by: None, "n": numbers[None]}] if None in numbers else [])
