"""Memorized shares in P9's samples: the share of every repetition bucket, the uniform share and the normalised one.

Source: P9 (b), which reports two samples. Each has columns of its own: uniform (the plain share of the study's rows)
and duplicate-normalised (the mean of the shares of the repetition buckets, so that every bucket has the same weight).
The tables contain the latest checkpoint of each model size, and the control models.
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS as SAMPLE_SIZE_COLUMNS
from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.repetition_buckets import BUCKET_COLUMNS, FEW_ROWS, bucket_column
from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.estimates.stratified import mean_of_shares

CELL_KEYS: Final = ("role", "context", "continuation")
_KEY_COLUMNS: Final = {
    "model": "label of the model",
    "parameters": "number of weights",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
}
_ROWS: Final = "rows scored at every context that the model and role were scored at"
SAMPLE_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "rows": _ROWS,
    "memorized": "rows with M = 1",
    "uniform_share": "memorized / rows: the plain share of the study's rows",
    "uniform_share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "uniform_share_upper": "upper end of it",
    "clusters": SAMPLE_SIZE_COLUMNS["clusters"],
    "design_effect": f"of uniform_share: {SAMPLE_SIZE_COLUMNS['design_effect']}",
    "normalised_share": "mean of the shares of the repetition buckets; null without repetitions",
    "normalised_share_lower": "lower end of its 95 % interval, from those of the buckets and, where rows come in "
    "clusters, what buckets have in common; null where a bucket has none",
    "normalised_share_upper": "upper end of it",
}
REPETITION_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "bucket": BUCKET_COLUMNS["bucket"],
    "repetitions": "geometric mean of how often the bucket's rows occur",
    "rows": _ROWS,
    "memorized": "rows with M = 1",
    "share": "memorized / rows",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_SIZE_COLUMNS,
    "few": BUCKET_COLUMNS["few"],
}
COUNTS_RECIPE: Final = """\
cells = recount.same_rows(study, "context", latest=True).group_by(recount.BUCKET_KEYS)
counts = cells.agg(rows=pl.len(), memorized=pl.sum("recited"))
"""
SHARES_RECIPE: Final = f"{COUNTS_RECIPE}answer = recount.sample_shares(counts)"
REPETITIONS_RECIPE: Final = f'{COUNTS_RECIPE}answer = recount.with_shares(counts, "memorized")'
_KEYS: Final = tuple(_KEY_COLUMNS)


def bucket_counts(tables: Tables) -> pl.DataFrame:
    """One record per model, role, cell and bucket: columns of _KEY_COLUMNS, bucket, repetitions, rows, memorized.

    Rows are those that the model scored at every context, since shares at different contexts are compared. bucket is
    null where repetitions are unknown, and for control rows, which no model was trained on; repetitions: the geometric
    mean over the bucket. Where rows come in clusters there is one record for each of them, with its number in the
    column cluster.
    """
    keys, unit = ["model", *CELL_KEYS, "bucket"], tables.cluster_key
    levels = _with_bucket(tables.counts_of_same_rows("context", "repetitions"))
    mean_log = (pl.col("repetitions").log(10) * pl.col("rows")).sum() / pl.col("rows").sum()
    buckets = levels.group_by(keys, maintain_order=True).agg((10**mean_log).alias("repetitions"))
    models = pl.DataFrame({"model": [*tables.by_size, *tables.control_models]}).with_row_index("order")
    buckets = buckets.join(models, on="model").join(tables.models.select("model", "parameters"), on="model")
    buckets = buckets.sort("order", *CELL_KEYS, "bucket").with_row_index("place")
    memorized = (pl.col("rows") * pl.col("recited")).sum().alias("memorized")
    counts = _with_bucket(tables.sums(pl.col("rows").sum(), memorized, by=("repetitions",), across="context"))
    # one number to group and to sort by: there may be nearly as many records as score lines
    places = counts.join(buckets.select(*keys, "place"), on=keys, nulls_equal=True)
    sums = places.group_by("place", *unit).agg(pl.col("rows", "memorized").sum()).sort("place")
    frame = sums.join(buckets, on="place", maintain_order="left")
    return frame.select(*_KEYS, "bucket", "repetitions", *unit, "rows", "memorized")


def _with_bucket(counts: pl.DataFrame) -> pl.DataFrame:
    """`counts` (role, repetitions, ...) with the bucket, null for control rows."""
    counts = counts.with_columns(bucket_column(counts["repetitions"]))
    return counts.with_columns(pl.when(pl.col("role") != "control").then("bucket").alias("bucket"))


def shares_by_repetitions(counts: pl.DataFrame) -> pl.DataFrame:
    """The buckets of `bucket_counts` with the share of each; columns REPETITION_COLUMNS."""
    frame = with_shares(counts.drop_nulls("bucket"), "memorized")
    return frame.with_columns((pl.col("rows") < FEW_ROWS).alias("few")).select(*REPETITION_COLUMNS)


def sample_shares(counts: pl.DataFrame) -> pl.DataFrame:
    """One record per model, role and cell, with the share of both samples and their intervals; columns SAMPLE_COLUMNS.

    Args:
        counts: one record per model, role, cell and bucket of repetitions (null: in no bucket), with columns model,
            parameters, role, context, continuation, bucket, rows, memorized; or one for each cluster of these, with a
            column cluster.
    """
    unit = [name for name in ("cluster",) if name in counts.columns]
    sums = counts.group_by(*_KEYS, *unit, maintain_order=True).agg(pl.sum("rows", "memorized"))
    frame = with_shares(sums, "memorized", name="uniform_share")
    means = []
    for key, group in counts.drop_nulls("bucket").sort("bucket").group_by(_KEYS, maintain_order=True):
        mean = mean_of_shares(group["memorized"], group["rows"], group["bucket"], group["cluster"] if unit else None)
        means.append((*key, mean.estimate, mean.lower, mean.upper))
    columns = [name for name in SAMPLE_COLUMNS if name.startswith("normalised")]
    schema = {name: frame.schema[name] for name in _KEYS} | dict.fromkeys(columns, pl.Float64)
    normalised = pl.DataFrame(means, schema=schema, orient="row")
    return frame.join(normalised, on=_KEYS, how="left", nulls_equal=True, maintain_order="left").select(*SAMPLE_COLUMNS)
