"""Mean length of the runs of consecutive hits in teacher-forced signals, in tokens.

Source: P8, A.3: the run length of consecutive memorized tokens, averaged; 1101110 has (2 + 3) / 2 = 2.5.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    """From teacher-forced signals cut to a cell; the first token, which has no prediction, is left out.

    Null if a hit is not measured, and if there is no hit and so no run.
    """
    import polars as pl

    width = pl.col("context") + pl.col("continuation") - 1
    hits = pl.col("hit").list.slice(1).cast(pl.List(pl.Int8))
    total = hits.list.sum()
    measured = (hits.list.len() == width) & (total + (1 - hits).list.sum() == width)
    # a run starts where a hit follows a miss, or at the first position
    runs = hits.list.eval(pl.element().diff().clip(lower_bound=0)).list.sum() + hits.list.first()
    return pl.when(measured & (total > 0)).then(total / runs)


memory_unit_length = Metric(
    "memory_unit_length", ("hit", "context", "continuation"), "tokens", "higher", "P8, A.3", _expression
)
