"""Summary statistics of a study: by model, role and cell, or by any other columns, e.g. repetitions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mematlas.metrics import METRICS
from mematlas.stats.estimates.intervals import wilson
from mematlas.study import Study

if TYPE_CHECKING:
    import polars as pl


def summarize(study: Study, by: Sequence[str] = ("model", "role", "context", "continuation")) -> "pl.DataFrame":
    """One record per group of the latest run, in the order in which the models were given.

    Columns besides `by`: rows (scored), missing (not scored), mean_score (mean M; null in verbatim depth),
    mean_verbatim (tokens), recited (rows with M = 1), share (recited / rows; null where only recited rows were
    published) with lower and upper (Wilson 95 %).
    `by` may name any column of scores/, rows/ and models/.
    """
    import polars as pl

    metrics = {name: METRICS.load(name).expression() for name in METRICS}
    models = study.models().with_row_index("_order")
    records = study.scores(partial=True).join(study.rows(), on="row").join(models, on="model")
    settings = study.run().settings
    graded, complete = settings["depth"] == "graded", settings.get("complete", True)
    recited = metrics["extractable"]
    summary = (
        records.group_by(*by, maintain_order=True)
        .agg(
            pl.col("_order").min(),
            recited.is_not_null().sum().alias("rows"),
            recited.is_null().sum().alias("missing"),
            (metrics["memorization_score"].mean() if graded and complete else pl.lit(None, pl.Float64)).alias(
                "mean_score"
            ),
            metrics["verbatim_length"].mean().alias("mean_verbatim"),
            recited.sum().alias("recited"),
        )
        .sort("_order", *[name for name in by if name != "model"], maintain_order=True)
        .drop("_order")
    )
    counts = ((hits, count) if complete else (0, 0) for hits, count in summary.select("recited", "rows").iter_rows())
    shares = [wilson(hits, count) for hits, count in counts]
    return summary.with_columns(
        pl.Series("share", [share.estimate for share in shares], dtype=pl.Float64),
        pl.Series("lower", [share.lower for share in shares], dtype=pl.Float64),
        pl.Series("upper", [share.upper for share in shares], dtype=pl.Float64),
    )
