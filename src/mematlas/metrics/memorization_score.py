"""Share of continuation positions where greedy decoding gives the true token, position by position.

Source: P1 (a): M(X, Y) = (1/n) sum_i 1[x_i = y_i].
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    import polars as pl

    return pl.col("matches") / pl.col("continuation")


memorization_score = Metric(
    "memorization_score", ("matches", "continuation"), "share, 0 to 1", "higher", "P1 (a)", _expression
)
