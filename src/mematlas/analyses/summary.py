"""What a study says in a few numbers: by model, role and cell, or by how often rows were shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mematlas.metrics import METRICS
from mematlas.stats.estimates.intervals import wilson
from mematlas.study import Study

if TYPE_CHECKING:
    import polars as pl


def summarize(study: Study, by: Sequence[str] = ("model", "role", "context", "continuation")) -> "pl.DataFrame":
    """One line a group of the latest run, in the order models were given.

    Columns beside `by`: rows (scored), missing (not scored), mean_score (mean M; null in verbatim depth), mean_verbatim
    (tokens), recited (rows with M = 1), share (of scored rows recited whole; null where only recited rows were
    published) with lower and upper (Wilson 95 %).
    `by` may name any column of scores/, rows/ and models/.
    """
    import polars as pl

    metric = {name: METRICS.load(name).expression() for name in METRICS}
    models = study.models().with_row_index("_order")
    lines = study.scores(partial=True).join(study.rows(), on="row").join(models, on="model")
    asked = study.run().question
    graded, complete = asked["depth"] == "graded", asked.get("complete", True)
    recited = metric["extractable"]
    frame = (
        lines.group_by(*by, maintain_order=True)
        .agg(
            pl.col("_order").min(),
            recited.is_not_null().sum().alias("rows"),
            recited.is_null().sum().alias("missing"),
            (metric["memorization_score"].mean() if graded and complete else pl.lit(None, pl.Float64)).alias(
                "mean_score"
            ),
            metric["verbatim_length"].mean().alias("mean_verbatim"),
            recited.sum().alias("recited"),
        )
        .sort("_order", *[name for name in by if name != "model"], maintain_order=True)
        .drop("_order")
    )
    known = ((hits, count) if complete else (0, 0) for hits, count in frame.select("recited", "rows").iter_rows())
    shares = [wilson(hits, count) for hits, count in known]
    return frame.with_columns(
        pl.Series("share", [share.estimate for share in shares], dtype=pl.Float64),
        pl.Series("lower", [share.lower for share in shares], dtype=pl.Float64),
        pl.Series("upper", [share.upper for share in shares], dtype=pl.Float64),
    )
