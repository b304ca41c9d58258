"""Mean log-probability of a row's tokens, that is minus its loss, from teacher-forced signals.

Source: Yeom et al. 2018; the baseline of K6.
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl


def _expression() -> "pl.Expr":
    import polars as pl

    return pl.col("log_probability").cast(pl.List(pl.Float64)).list.mean()


mean_log_probability = Metric(
    "mean_log_probability", ("log_probability",), "nats a token", "higher", "K6 (loss)", _expression
)
