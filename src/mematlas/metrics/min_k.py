"""Min-K%: mean log-probability of the 20 % of a row's tokens that the model found least likely; of truth signals.

Source: K6, 2310.16789. At least one token (our choice); `stats.classification.membership.lowest_mean` has any K.
"""

from typing import TYPE_CHECKING, Final

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl

SHARE: Final = 0.2  # K6


def lowest_mean(values: "pl.Expr", share: float = SHARE) -> "pl.Expr":
    """The mean of the lowest `share` of a list's entries that are not null, int(share * entries) of them or one."""
    known = values.list.drop_nulls().list.sort()
    return known.list.head((known.list.len() * share + 1e-9).floor().clip(1).cast(int)).list.mean()


def _expression() -> "pl.Expr":
    import polars as pl

    return lowest_mean(pl.col("log_probability").cast(pl.List(pl.Float64)))


min_k = Metric("min_k", ("log_probability",), "nats a token", "higher", "K6 (Min-K%)", _expression)
