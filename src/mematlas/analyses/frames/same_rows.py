"""Rows that a model scored at every context, or continuation, of a line: what a line over lengths must be drawn from.

Longer contexts and continuations need longer rows. A line through shares of whatever rows each length has would mix the
effect of the length with that of the rows, and could rise where no row ever does.
"""

from typing import Final, Literal

import polars as pl

Across = Literal["context", "continuation"]
OTHER: Final[dict[Across, str]] = {"context": "continuation", "continuation": "context"}


def line_keys(across: Across) -> tuple[str, ...]:
    """The columns that name a line over `across`."""
    return ("model", "role", OTHER[across])


def keep_same_rows(records: pl.LazyFrame, across: Across) -> pl.LazyFrame:
    """The records whose row was scored at every length of its line.

    A line is a model and role over `across` at one context or continuation; it has the lengths at which it has records.

    Args:
        records: one per model, role, row, context and continuation with a score.
    """
    keys = line_keys(across)
    lengths = records.group_by(*keys).agg(pl.col(across).n_unique().alias("lengths"))
    scored = records.group_by(*keys, "row").agg(pl.len().alias("scored"))
    kept = scored.join(lengths, on=keys).filter(pl.col("scored") == pl.col("lengths"))
    return records.join(kept, on=[*keys, "row"], how="semi")


def all_rows_are_scored(rows: pl.LazyFrame, counts: pl.DataFrame) -> bool:
    """Whether every model scored all rows in each cell that it scored any in, by the counts of scored rows."""
    sizes = dict(rows.group_by("role").len().collect().iter_rows())
    sizes["control model"] = sum(sizes.values())
    cells = counts.group_by("model", "role", "context", "continuation").agg(pl.col("rows").sum())
    return all(count == sizes.get(role) for role, count in cells.select("role", "rows").iter_rows())


def join_models(rows: pl.LazyFrame, scored: pl.LazyFrame, models: tuple[str, ...], value: str) -> pl.DataFrame:
    """One record per row, ascending, with the `value` of each model in a column of its name; null where it has none.

    Args:
        rows: row; scored: model, row, value, one record per model and row.
    """
    joined, known = rows.select("row"), scored.filter(pl.col(value).is_not_null())
    for model in models:
        values = known.filter(model=model).select("row", pl.col(value).alias(model))
        joined = joined.join(values, on="row", how="left")
    return joined.collect(engine="streaming").sort("row")
