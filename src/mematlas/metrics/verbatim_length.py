"""Continuation tokens recited before the first miss.

Source: P1, P9: greedy matched prefix.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    import polars as pl

    return pl.col("verbatim")


verbatim_length = Metric("verbatim_length", ("verbatim",), "tokens, 0 to L", "higher", "P1, P9", _expression)
