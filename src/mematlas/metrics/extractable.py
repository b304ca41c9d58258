"""Whether the whole continuation is recited: M = 1, k-extractable.

Source: P9 (a), K1: greedy f(p) = s with k context tokens.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    import polars as pl

    return pl.col("verbatim") == pl.col("continuation")


extractable = Metric("extractable", ("verbatim", "continuation"), "yes or no", "higher", "P9 (a), K1", _expression)
