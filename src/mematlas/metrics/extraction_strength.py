"""Extraction strength 1 - k / L, 0 to 1: how little of the continuation must be given for the rest to be recited.

Source: K12. k is the smallest number of true tokens of the continuation after which all top-1 predictions are correct;
L is the length of the continuation. 1: the context alone suffices, M = 1; 0: the last token is missed. If nothing
matches, the published code stops at k = L - 1 and gives 1 / L; here it is 0, as the formula says.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    """From teacher-forced signals cut to a cell; null if a hit of the continuation is not measured."""
    import polars as pl

    length = pl.col("continuation")
    hits = pl.col("hit").list.slice("context", length).cast(pl.List(pl.Int8))
    measured = (hits.list.len() == length) & (hits.list.sum() + (1 - hits).list.sum() == length)
    final_hits = pl.when(hits.list.sum() == length).then(length).otherwise(hits.list.reverse().list.arg_min())
    return pl.when(measured).then(final_hits / length)


extraction_strength = Metric(
    "extraction_strength", ("hit", "context", "continuation"), "share of the continuation", "higher", "K12", _expression
)
