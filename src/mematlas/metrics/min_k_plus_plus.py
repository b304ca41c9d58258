"""Min-K%++: as Min-K%, on how many standard deviations each log-probability lies from its mean over the vocabulary.

Source: K6, 2404.02936. A token whose variance is 0 is left out (our choice).
"""

from typing import TYPE_CHECKING

from mematlas.metrics.base import Metric
from mematlas.metrics.min_k import lowest_mean

if TYPE_CHECKING:
    import polars as pl

_NEEDS = ("log_probability", "mean_log_probability", "variance_log_probability")


def _expression() -> "pl.Expr":
    import polars as pl

    own, mean, variance = (pl.col(name).cast(pl.List(pl.Float64)) for name in _NEEDS)
    spread = variance.list.eval(pl.when(pl.element() > 0).then(pl.element().sqrt()))
    return lowest_mean((own - mean) / spread)


min_k_plus_plus = Metric("min_k_plus_plus", _NEEDS, "standard deviations", "higher", "K6 (Min-K%++)", _expression)
