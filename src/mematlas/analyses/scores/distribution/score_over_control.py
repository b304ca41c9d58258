"""Mean M, and its difference from the mean M of control rows (column excess).

Frequent tokens that are right by luck give M a floor, which the difference removes: 0.015 to 0.04 on real models.
Source: M as in P1, section 3; the control and the difference are our choice.
"""

from collections.abc import Iterable
from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import KEYS, ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS
from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.estimates.mean_scores import clustered_mean_score, mean_score, mean_score_difference

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


_CLUSTER_SUMS: Final = ("rows", "ones", "zeros", "total")


def mean_scores_of_study(tables: Tables) -> pl.DataFrame:
    """The `mean_scores` of every model, role and cell with graded rows, models in the order given."""
    graded, score = pl.lit(tables.graded) & pl.col("matches").is_not_null(), pl.col("matches") / pl.col("continuation")
    counts = tables.counts().filter(graded).group_by(*KEYS, score.alias("score")).agg(pl.col("rows").sum())
    # whole matches are summed, not scores, so that the order of rows makes no difference to the last digit
    total = (pl.col("rows") * pl.col("matches")).sum() / pl.col("continuation").first()
    clustered = tables.clusters is not None
    sums = tables.sums_in_parts(*_cluster_sums(score, total), where=graded) if clustered else ()
    return in_model_order(_mean_scores(counts, sums), tables)


def mean_scores(counts: pl.DataFrame) -> pl.DataFrame:
    """Mean M of each model, role and cell; for training rows also its difference from the control of the same cell.

    Args:
        counts: model, role, context, continuation, score, rows (the number of rows with this score), and cluster where
            rows come in clusters.

    Returns:
        columns MEAN_COLUMNS.
    """
    if "cluster" not in counts.columns:
        return _mean_scores(counts, ())
    score = pl.col("score")
    sums = counts.group_by(*KEYS, "cluster").agg(*_cluster_sums(score, (pl.col("rows") * score).sum()))
    return _mean_scores(counts.group_by(*KEYS, "score").agg(pl.col("rows").sum()), [sums])


def _cluster_sums(score: pl.Expr, total: pl.Expr) -> list[pl.Expr]:
    """Of a cluster: its rows, those of score 1 and of score 0, and `total`, the sum of all scores."""
    rows = pl.col("rows")
    values = (rows.sum(), (rows * (score == 1)).sum(), (rows * (score == 0)).sum(), total)
    return [value.cast(pl.Float64).alias(name) for value, name in zip(values, _CLUSTER_SUMS, strict=True)]


def _mean_scores(counts: pl.DataFrame, sums: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """`mean_scores` from the counts of scores, and the sums of each cluster where rows come in clusters, in parts."""
    means = {
        key: mean_score(group["score"].to_numpy(), group["rows"].to_numpy())
        for key, group in counts.sort(*KEYS, "score").group_by(*KEYS, maintain_order=True)
    }
    for part in sums:
        for key, group in part.sort("cluster").group_by(*KEYS, maintain_order=True):
            if group.height < means[key].count:
                means[key] = clustered_mean_score(*(group[name].to_numpy() for name in _CLUSTER_SUMS))
    records = []
    for key, mean in means.items():
        control = means.get((key[0], "control", *key[2:])) if key[1] == "train" else None
        compared: list[float | None] = [None] * 5
        reason = mean.reason
        if control is not None:
            excess = mean_score_difference(mean, control)
            compared = [excess.other_count, control.estimate, excess.estimate, excess.lower, excess.upper]
            reason = reason or excess.reason
        records.append([*key, mean.count, mean.estimate, mean.lower, mean.upper, *compared, mean.clusters, reason])
    schema = {name: counts.schema[name] for name in KEYS} | _TYPES
    return pl.DataFrame(records, schema=schema, orient="row").select(*MEAN_COLUMNS)
