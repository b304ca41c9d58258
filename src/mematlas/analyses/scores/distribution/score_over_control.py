"""Mean M, and its difference from the mean M of control rows (column excess).

Frequent tokens that are right by luck give M a floor, which the difference removes: 0.015 to 0.04 on real models.
Source: M as in P1, section 3; the control and the difference are our choice.
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import KEYS, ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.estimates.resampling import bootstrap_mean, bootstrap_mean_difference

MEAN_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows with a graded M",
    "mean": "mean M of the rows",
    "mean_lower": "lower end of its 95 % bootstrap interval; null for one row, or rows that are all the same",
    "mean_upper": "upper end of it",
    "control_rows": "control rows of the same model and cell; null where there is none, and on lines of a control",
    "control_mean": "their mean M",
    "excess": "mean - control_mean",
    "excess_lower": "lower end of its 95 % bootstrap interval, both groups of rows resampled",
    "excess_upper": "upper end of it",
}
MEANS_RECIPE: Final = """\
graded = recount.lines(study).drop_nulls("score")
counts = graded.group_by("model", "role", "context", "continuation", "score").agg(rows=pl.len())
answer = recount.mean_scores(counts)"""
_NUMBER_TYPES = {name: pl.Int64 if name.endswith("rows") else pl.Float64 for name in MEAN_COLUMNS if name not in KEYS}

GroupKey = tuple[str, str, int, int]


def mean_scores_of_study(tables: Tables) -> pl.DataFrame:
    """The `mean_scores` of every model, role and cell with graded rows, models in the order given."""
    graded = tables.counts().filter(pl.lit(tables.graded), pl.col("matches").is_not_null())
    score = (pl.col("matches") / pl.col("continuation")).alias("score")
    return in_model_order(mean_scores(graded.group_by(*KEYS, score).agg(pl.col("rows").sum())), tables)


def mean_scores(counts: pl.DataFrame) -> pl.DataFrame:
    """Mean M of each model, role and cell; for training rows also its difference from the control of the same cell.

    Args:
        counts: model, role, context, continuation, score, rows (the number of rows with this score).

    Returns:
        columns MEAN_COLUMNS.
    """
    cells = counts.group_by(*KEYS).agg("score", "rows")
    scores: dict[GroupKey, tuple[list[float], list[int]]] = {record[:4]: record[4:] for record in cells.iter_rows()}
    means = {key: bootstrap_mean(*counts) for key, counts in scores.items()}
    records = []
    for key, mean in means.items():
        control = (key[0], "control", *key[2:])
        record = [mean.count, mean.estimate, mean.lower, mean.upper]
        if key[1] == "train" and control in scores:
            excess = bootstrap_mean_difference(
                *scores[key], other_values=scores[control][0], other_counts=scores[control][1]
            )
            record += [excess.other_count, means[control].estimate, excess.estimate, excess.lower, excess.upper]
        records.append(record + [None] * (len(_NUMBER_TYPES) - len(record)))
    return cells.select(*KEYS).hstack(pl.DataFrame(records, schema=_NUMBER_TYPES, orient="row"))
