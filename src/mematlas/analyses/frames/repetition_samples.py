"""Memorized shares in P9's samples: the share of every repetition bucket, the uniform share and the normalised one.

Source: P9 (b), which reports two samples. Each has columns of its own: uniform (the plain share of the study's rows)
and duplicate-normalised (the mean of the shares of the repetition buckets, so that every bucket has the same weight).
The tables contain the latest checkpoint of each model size, and the control models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS as SAMPLE_SIZE_COLUMNS
from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.repetition_buckets import BUCKET_COLUMNS, FEW_ROWS, bucket_column
from mematlas.analyses.frames.score_blocks import in_large_parts
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
    buckets = _buckets(tables)
    counts = pl.concat(_counts_of_places(tables, buckets)).sort("place", maintain_order=True)
    frame = counts.join(buckets, on="place", maintain_order="left")
    return frame.select(*_KEYS, "bucket", "repetitions", *tables.cluster_key, "rows", "memorized")


@dataclass(frozen=True, slots=True)
class BucketShares:
    """The memorized shares of buckets and of samples.

    buckets: columns REPETITION_COLUMNS; samples: columns SAMPLE_COLUMNS.
    """

    buckets: pl.DataFrame
    samples: pl.DataFrame


def bucket_shares(tables: Tables) -> BucketShares:
    """`shares_by_repetitions` and `sample_shares` of `bucket_counts`, whose records are never in memory together."""
    buckets = _buckets(tables).with_columns(sample=pl.col("place").min().over(_KEYS))
    shares, samples = [], []
    for part in _counts_of_places(tables, buckets):
        counts = part.join(buckets.select("place", "sample", "bucket"), on="place", maintain_order="left")
        samples.append(_sample_shares(counts, ("sample",)))
        shares.append(with_shares(counts.drop_nulls("bucket").drop("sample", "bucket"), "memorized"))
    names = buckets.select(*_KEYS, "sample").unique("sample")
    return BucketShares(
        _repetition_columns(pl.concat(shares).join(buckets, on="place").sort("place")),
        pl.concat(samples).join(names, on="sample").sort("sample").select(*SAMPLE_COLUMNS),
    )


def _buckets(tables: Tables) -> pl.DataFrame:
    """The buckets of `bucket_counts`: columns of _KEY_COLUMNS, bucket, repetitions, and place, in their order."""
    keys = ["model", *CELL_KEYS, "bucket"]
    levels = _with_bucket(tables.counts_of_same_rows("context", "repetitions"))
    mean_log = (pl.col("repetitions").log(10) * pl.col("rows")).sum() / pl.col("rows").sum()
    buckets = levels.group_by(keys, maintain_order=True).agg((10**mean_log).alias("repetitions"))
    models = pl.DataFrame({"model": [*tables.by_size, *tables.control_models]}).with_row_index("order")
    buckets = buckets.join(models, on="model").join(tables.models.select("model", "parameters"), on="model")
    return buckets.sort("order", *CELL_KEYS, "bucket").with_row_index("place")


def _counts_of_places(tables: Tables, buckets: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The counts of `bucket_counts` in parts, each with all records of its models and cells: place of the bucket,
    cluster where rows come in these, rows, memorized. One number to group by: records may be as many as score lines."""
    keys = ["model", *CELL_KEYS, "bucket"]
    of_places = buckets.select(*keys, "place").with_columns(**tables.coded_keys)
    memorized = (pl.col("rows") * pl.col("recited")).sum().alias("memorized")
    parts = tables.sums_in_parts(pl.col("rows").sum(), memorized, by=("repetitions",), across="context")
    for part in in_large_parts(parts):
        places = _with_bucket(part).join(of_places, on=keys, nulls_equal=True)
        yield places.group_by("place", *tables.cluster_key).agg(pl.col("rows", "memorized").sum()).sort("place")


def _with_bucket(counts: pl.DataFrame) -> pl.DataFrame:
    """`counts` (role, repetitions, ...) with the bucket, null for control rows."""
    counts = counts.with_columns(bucket_column(counts["repetitions"]))
    return counts.with_columns(pl.when(pl.col("role") != "control").then("bucket").alias("bucket"))


def shares_by_repetitions(counts: pl.DataFrame) -> pl.DataFrame:
    """The buckets of `bucket_counts` with the share of each; columns REPETITION_COLUMNS."""
    return _repetition_columns(with_shares(counts.drop_nulls("bucket"), "memorized"))


def _repetition_columns(shares: pl.DataFrame) -> pl.DataFrame:
    return shares.with_columns((pl.col("rows") < FEW_ROWS).alias("few")).select(*REPETITION_COLUMNS)


def sample_shares(counts: pl.DataFrame) -> pl.DataFrame:
    """One record per model, role and cell, with the share of both samples and their intervals; columns SAMPLE_COLUMNS.

    Args:
        counts: one record per model, role, cell and bucket of repetitions (null: in no bucket), with columns model,
            parameters, role, context, continuation, bucket, rows, memorized; or one for each cluster of these, with a
            column cluster.
    """
    return _sample_shares(counts, _KEYS).select(*SAMPLE_COLUMNS)


def _sample_shares(counts: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
    """The shares of samples that `keys` name, with these."""
    unit = [name for name in ("cluster",) if name in counts.columns]
    sums = counts.group_by(*keys, *unit, maintain_order=True).agg(pl.sum("rows", "memorized"))
    frame = with_shares(sums, "memorized", name="uniform_share")
    means = []
    for key, group in counts.drop_nulls("bucket").sort("bucket").group_by(keys, maintain_order=True):
        mean = mean_of_shares(group["memorized"], group["rows"], group["bucket"], group["cluster"] if unit else None)
        means.append((*key, mean.estimate, mean.lower, mean.upper))
    columns = [name for name in SAMPLE_COLUMNS if name.startswith("normalised")]
    schema = {name: frame.schema[name] for name in keys} | dict.fromkeys(columns, pl.Float64)
    normalised = pl.DataFrame(means, schema=schema, orient="row")
    return frame.join(normalised, on=keys, how="left", nulls_equal=True, maintain_order="left")
