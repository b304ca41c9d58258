"""Whether the whole continuation is recited: M = 1, k-extractable.

Computed from either token count: published scores have only `matches`, and `--depth verbatim` only `verbatim`.
Source: P9 (a), K1: greedy f(p) = s with k context tokens.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    import polars as pl

    length = pl.col("continuation")
    return pl.coalesce(pl.col("matches") == length, pl.col("verbatim") == length)


extractable = Metric(
    "extractable", ("matches", "verbatim", "continuation"), "yes or no", "higher", "P9 (a), K1", _expression
)
