"""Mean M, and its difference from the mean M of control rows (column excess).

Frequent tokens that are right by luck give M a floor, which the difference removes: 0.015 to 0.04 on real models.
Source: M as in P1, section 3; the control and the difference are our choice.
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import KEYS, ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS
from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.estimates.mean_scores import mean_score, mean_score_difference

MEAN_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows with a graded M",
    "mean": "mean M of the rows",
    "mean_lower": "lower end of its 95 % interval (Wilson and Student, joined); null below 12 documents",
    "mean_upper": "upper end of it",
    "control_rows": "control rows of the same model and cell; null where there is none, and on lines of a control",
    "control_mean": "their mean M",
    "excess": "mean - control_mean",
    "excess_lower": "lower end of its 95 % interval, from those of both means; null below 12 documents in either",
    "excess_upper": "upper end of it",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "reason": "why an interval is null",
}
MEANS_RECIPE: Final = """\
graded = recount.lines(study).drop_nulls("score")
counts = graded.group_by("model", "role", "context", "continuation", "score", "cluster").agg(rows=pl.len())
answer = recount.mean_scores(counts)"""
_TYPES: Final = {
    name: pl.Int64 if name.endswith(("rows", "clusters")) else pl.String if name == "reason" else pl.Float64
    for name in MEAN_COLUMNS
    if name not in KEYS
}


def mean_scores_of_study(tables: Tables) -> pl.DataFrame:
    """The `mean_scores` of every model, role and cell with graded rows, models in the order given."""
    graded = tables.counts(*tables.cluster_key).filter(pl.lit(tables.graded), pl.col("matches").is_not_null())
    score = (pl.col("matches") / pl.col("continuation")).alias("score")
    return in_model_order(
        mean_scores(graded.group_by(*KEYS, score, *tables.cluster_key).agg(pl.col("rows").sum())), tables
    )


def mean_scores(counts: pl.DataFrame) -> pl.DataFrame:
    """Mean M of each model, role and cell; for training rows also its difference from the control of the same cell.

    Args:
        counts: model, role, context, continuation, score, rows (the number of rows with this score), and cluster where
            rows come in clusters.

    Returns:
        columns MEAN_COLUMNS.
    """
    columns = [name for name in ("score", "rows", "cluster") if name in counts.columns]
    cells = counts.group_by(*KEYS).agg(*columns)
    means = {record[:4]: mean_score(*record[4:]) for record in cells.iter_rows()}
    records = []
    for key, mean in means.items():
        control = means.get((key[0], "control", *key[2:])) if key[1] == "train" else None
        compared: list[float | None] = [None] * 5
        reason = mean.reason
        if control is not None:
            excess = mean_score_difference(mean, control)
            compared = [excess.other_count, control.estimate, excess.estimate, excess.lower, excess.upper]
            reason = reason or excess.reason
        records.append([mean.count, mean.estimate, mean.lower, mean.upper, *compared, mean.clusters, reason])
    return cells.select(*KEYS).hstack(pl.DataFrame(records, schema=_TYPES, orient="row"))
