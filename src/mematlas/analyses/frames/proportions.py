"""Shares with their intervals, as columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mematlas.stats.estimates.intervals import wilson_bounds


def with_shares(
    frame: pl.DataFrame, hits: str | Sequence[str], count: str = "rows", name: str = "share"
) -> pl.DataFrame:
    """Add `name`, `name`_lower and `name`_upper: hits / count with its Wilson 95 % interval.

    They are null where count is 0, and where either number is. Of several hits the shares are called `hits`_share.

    Raises:
        ValueError: somewhere hits is not between 0 and count.
    """
    if not isinstance(hits, str):
        for one in hits:
            frame = with_shares(frame, one, count, f"{one}_share")
        return frame
    known = pl.col(hits).is_not_null() & pl.col(count).is_not_null()
    found = frame.select(hits=pl.when(known).then(hits).otherwise(0), count=pl.when(known).then(count).otherwise(0))
    columns = wilson_bounds(found["hits"], found["count"])
    return frame.with_columns(
        pl.Series(title, values, dtype=pl.Float64).fill_nan(None)
        for title, values in zip((name, f"{name}_lower", f"{name}_upper"), columns, strict=True)
    )


def percent(share: Any, digits: int = 1) -> str:
    """A share (a number, or None) for a sentence."""
    return "not measured" if share is None else f"{100 * share:.{digits}f} %"


def share_of(line: Mapping[str, Any], name: str) -> str:
    """The share `name` of a line that `with_shares` made, with its interval, for a sentence."""
    return f"{percent(line[name])} ({between(line[f'{name}_lower'], line[f'{name}_upper'])})"


def between(lower: float | None, upper: float | None, digits: int = 1) -> str:
    """An interval of shares for a sentence."""
    if lower is None or upper is None:
        return "no interval"
    return f"{100 * lower:.{digits}f} to {100 * upper:.{digits}f} %"
