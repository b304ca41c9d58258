"""Mean M beside that of control rows: lucky frequent tokens give M a floor, which the excess takes away.

Source: M as P1, section 3; the control and the difference are our choice: on real models the floor is 0.015 to 0.04.
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import KEYS, ROLE, in_order
from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.estimates.resampling import difference_of_counts, mean_of_counts

MEANS: Final = {
    "model": "label of the model",
    "role": ROLE,
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
RECIPE: Final = """\
graded = recount.lines(study).drop_nulls("score")
counts = graded.group_by("model", "role", "context", "continuation", "score").agg(rows=pl.len())
answer = recount.mean_scores(counts)"""
_NUMBERS = {name: pl.Int64 if name.endswith("rows") else pl.Float64 for name in MEANS if name not in KEYS}

Key = tuple[str, str, int, int]


def means(tables: Tables) -> pl.DataFrame:
    """`mean_scores` of every model, role and cell with graded rows, models in the order given."""
    graded = tables.counts().filter(pl.lit(tables.graded), pl.col("matches").is_not_null())
    score = (pl.col("matches") / pl.col("continuation")).alias("score")
    return in_order(mean_scores(graded.group_by(*KEYS, score).agg(pl.col("rows").sum())), tables)


def mean_scores(counts: pl.DataFrame) -> pl.DataFrame:
    """Mean M of each model, role and cell from `counts` (model, role, context, continuation, score, rows: how many have
    this score), that of training rows beside the control rows of the same model and cell; columns MEANS."""
    cells = counts.group_by(*KEYS).agg("score", "rows")
    scores: dict[Key, tuple[list[float], list[int]]] = {line[:4]: line[4:] for line in cells.iter_rows()}
    means = {key: mean_of_counts(*counts) for key, counts in scores.items()}
    lines = []
    for key, mean in means.items():
        control = (key[0], "control", *key[2:])
        line = [mean.count, mean.estimate, mean.lower, mean.upper]
        if key[1] == "train" and control in scores:
            excess = difference_of_counts(
                *scores[key], other_values=scores[control][0], other_counts=scores[control][1]
            )
            line += [excess.other_count, means[control].estimate, excess.estimate, excess.lower, excess.upper]
        lines.append(line + [None] * (len(_NUMBERS) - len(line)))
    return cells.select(*KEYS).hstack(pl.DataFrame(lines, schema=_NUMBERS, orient="row"))
