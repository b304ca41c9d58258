"""Shares with their intervals: as columns, and formatted for sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mematlas.stats.estimates.intervals import wilson_bounds


def with_shares(
    frame: pl.DataFrame, hits: str | Sequence[str], count: str = "rows", name: str = "share"
) -> pl.DataFrame:
    """Add `name`, `name`_lower and `name`_upper: hits / count with its Wilson 95 % interval.

    They are null where count is 0 and where hits or count is null. With several columns of hits, each share is named
    `hits`_share.

    Raises:
        ValueError: hits is not between 0 and count in some record.
    """
    if not isinstance(hits, str):
        for column in hits:
            frame = with_shares(frame, column, count, f"{column}_share")
        return frame
    known = pl.col(hits).is_not_null() & pl.col(count).is_not_null()
    counts = frame.select(hits=pl.when(known).then(hits).otherwise(0), count=pl.when(known).then(count).otherwise(0))
    columns = wilson_bounds(counts["hits"], counts["count"])
    return frame.with_columns(
        pl.Series(column, values, dtype=pl.Float64).fill_nan(None)
        for column, values in zip((name, f"{name}_lower", f"{name}_upper"), columns, strict=True)
    )


def format_percent(share: Any, digits: int = 1) -> str:
    """Format a share (a number or None) for a sentence."""
    return "not measured" if share is None else f"{100 * share:.{digits}f} %"


def format_share(record: Mapping[str, Any], name: str) -> str:
    """Format the share `name` of a record of `with_shares` with its interval, for a sentence."""
    return f"{format_percent(record[name])} ({format_interval(record[f'{name}_lower'], record[f'{name}_upper'])})"


def format_interval(lower: float | None, upper: float | None, digits: int = 1) -> str:
    """Format an interval of shares for a sentence."""
    if lower is None or upper is None:
        return "no interval"
    return f"{100 * lower:.{digits}f} to {100 * upper:.{digits}f} %"
