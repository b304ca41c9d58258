"""Min-K%++: Min-K% of z-scores: each token's log-probability, standardized over the vocabulary.

Source: K6, 2404.02936. A token whose variance is 0 is left out (our choice).
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric
from mematlas.metrics.min_k import min_k_mean

if TYPE_CHECKING:
    import polars as pl

_NEEDS = ("log_probability", "mean_log_probability", "variance_log_probability")


def _expression() -> "pl.Expr":
    import polars as pl

    value, mean, variance = (pl.col(name).cast(pl.List(pl.Float64)) for name in _NEEDS)
    deviation = variance.list.eval(pl.when(pl.element() > 0).then(pl.element().sqrt()))
    return min_k_mean((value - mean) / deviation)


min_k_plus_plus = Metric("min_k_plus_plus", _NEEDS, "standard deviations", "higher", "K6 (Min-K%++)", _expression)
