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
