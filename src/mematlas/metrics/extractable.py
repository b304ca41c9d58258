"""Whether the whole continuation is recited: M = 1, k-extractable.

Known from either count of tokens: published scores hold matches alone, verbatim depth the verbatim length alone.
Source: P9 (a), K1: greedy f(p) = s with k context tokens.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    import polars as pl

    whole = pl.col("continuation")
    return pl.coalesce(pl.col("matches") == whole, pl.col("verbatim") == whole)


extractable = Metric(
    "extractable", ("matches", "verbatim", "continuation"), "yes or no", "higher", "P9 (a), K1", _expression
)
