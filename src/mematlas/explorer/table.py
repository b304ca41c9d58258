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
    """COLUMNS of these rows, in their order; what is not known is null. Only the files with these rows are read."""
    chosen = np.asarray(positions)
    scores = lines.scores(view.model, view)[chosen]
    m = pl.col("matches") / view.continuation
    frame = lines.rows[chosen].with_columns(scores).with_columns(m=m, level=lines.level_of(view.continuation))
    change = pl.lit(None, pl.Float64)
    if view.compare is not None:
        change = (pl.lit(lines.scores(view.compare, view)["matches"][chosen]) - pl.col("matches")) / view.continuation
    frame = frame.with_columns(change=change)
    for name, table in (("copies", "copies"), ("kind", "texts")):
        frame = frame.with_columns(_feature(lines, view, chosen, name, table))
    if lines.study.has_predictions(lines.run.key):
        frame = frame.with_columns(lines.columns(view, ["risk"])["risk"][chosen])
    else:
        frame = frame.with_columns(risk=pl.lit(None, pl.Float32))
    return frame.select(COLUMNS)


def _feature(lines: Lines, view: View, positions: Ids, name: str, table: str) -> pl.Series:
    """A feature of these rows."""
    if table not in lines.feature_kinds:
        return pl.Series(name, [None] * len(positions), pl.Int64 if name == "copies" else pl.String)
    found = lines.read(lines.features_folder(table), positions)
    found = found.filter(context=view.context, continuation=view.continuation).unique("row", keep="first")
    ids = pl.DataFrame({"row": lines.rows["row"][positions]})
    return ids.join(found.select("row", lines.feature(name)), on="row", how="left", maintain_order="left")[name]


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
    scores = lines.scores(view.model, view)[np.asarray(positions)]
    by = "matches" if lines.is_graded else "level"
    counted = scores.with_columns(level=lines.level_of(view.continuation))[by].value_counts(name="n")
    numbers = dict(counted.iter_rows())
    values: Iterable[Any] = range(view.continuation + 1) if by == "matches" else lines.levels
    bins = [{by: value, "n": numbers.get(value, 0)} for value in values]
    return bins + ([{by: None, "n": numbers[None]}] if None in numbers else [])
