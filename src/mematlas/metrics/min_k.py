"""Min-K%: mean log-probability of the 20 % least likely tokens of a row, from teacher-forced signals.

Source: K6, 2310.16789. At least one token is used (our choice). For other K see
`stats.classification.membership.min_k_mean`.
"""

from typing import TYPE_CHECKING, Final

from mematlas.metrics.base import Metric

if TYPE_CHECKING:
    import polars as pl

SHARE: Final = 0.2  # K6


def min_k_mean(values: "pl.Expr", share: float = SHARE) -> "pl.Expr":
    """Mean of the lowest int(share * entries), at least one, of the entries of a list that are not null."""
    measured = values.list.drop_nulls().list.sort()
    return measured.list.head((measured.list.len() * share + 1e-9).floor().clip(1).cast(int)).list.mean()


def _expression() -> "pl.Expr":
    import polars as pl

    return min_k_mean(pl.col("log_probability").cast(pl.List(pl.Float64)))


min_k = Metric("min_k", ("log_probability",), "nats a token", "higher", "K6 (Min-K%)", _expression)
