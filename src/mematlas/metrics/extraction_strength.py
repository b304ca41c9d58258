"""How much of the continuation its own beginning brings out: 1 - k / L, 0 to 1.

Source: K12. k is the smallest number of true tokens of the continuation after which every most probable token is the
true one; L is the continuation's length. 1: the context alone is enough, M = 1; 0: the last token is missed. The open
code stops at k = L - 1 where nothing matches, and so gives 1 / L; here that is 0, as its formula says.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    """Over signals along the truth that are cut to a cell; null where a hit of the continuation is not known."""
    import polars as pl

    length = pl.col("continuation")
    hits = pl.col("hit").list.slice("context", length).cast(pl.List(pl.Int8))
    known = (hits.list.len() == length) & (hits.list.sum() + (1 - hits).list.sum() == length)
    last_hits = pl.when(hits.list.sum() == length).then(length).otherwise(hits.list.reverse().list.arg_min())
    return pl.when(known).then(last_hits / length)


extraction_strength = Metric(
    "extraction_strength", ("hit", "context", "continuation"), "share of the continuation", "higher", "K12", _expression
)
