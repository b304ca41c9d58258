"""Memorized share of rows that have exact copies, only near-copies, or neither among the study's training rows."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.copies import counts_by_near_copies, near_group
from mematlas.analyses.frames.memorized_shares import KEYS, ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, with_shares
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Table

_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "copies": "among the study's other training rows: exact, only near (Jaccard similarity of 5-token pieces of .8 or "
    "more), none",
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "share": "memorized / rows",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_RECIPE: Final = """\
near = study.features("near").select("row", "near_copies", "exact")
lines = recount.lines(study).filter(pl.col("role") != "control").join(near, on="row")
answer = recount.with_shares(recount.near_counts(lines), "memorized")"""


def near_counts(score_rows: pl.DataFrame) -> pl.DataFrame:
    """Rows and memorized rows by their copies among the study's training rows.

    Args:
        score_rows: model, role, context, continuation, recited, maybe cluster; and near_copies and exact, or copies and
            the number of `rows` alike. Records of rows that were not compared are left out.

    Returns:
        model, role, context, continuation, copies, maybe cluster, rows, memorized.
    """
    is_counted = "rows" in score_rows.columns
    if not is_counted:
        score_rows = score_rows.with_columns(copies=near_group(), rows=pl.lit(1, pl.Int64))
    unit = ["cluster"] if "cluster" in score_rows.columns else []
    return (
        score_rows.drop_nulls("copies")
        .group_by(*KEYS, "copies", *unit)
        .agg(pl.col("rows").sum(), memorized=(pl.col("recited").cast(pl.Int64) * pl.col("rows")).sum())
        .sort(*KEYS, "copies", *unit)
    )


def near_tables(tables: Tables) -> tuple[Table, ...]:
    """The table `near` of the finding `repetition`; none of a study without near-copies."""
    if "near" not in tables.features:
        return ()
    counts = counts_by_near_copies(tables).filter(pl.col("role") != "control")
    shares = in_model_order(with_shares(near_counts(counts), "memorized"), tables, "copies").select(*_COLUMNS)
    title = "Memorized share by exact and near-copies among the training rows"
    return (Table("near", title, shares, _COLUMNS, _RECIPE),) if shares.height else ()
