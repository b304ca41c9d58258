"""Memorized shares as P9 samples them: one a repetition bucket, and two kinds of mean over the buckets.

Source: P9 (b). Two samples are kept apart in columns of their own, as P9 keeps two samples apart: uniform (the plain
share of the study's rows) and duplicate-normalised (the mean of the shares of the repetition buckets, so that each
bucket weighs the same). One model a size stands in, the latest checkpoint of each, and the controls.
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.repetition_buckets import COLUMNS as BUCKET_COLUMNS
from mematlas.analyses.frames.repetition_buckets import FEW, buckets_of
from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.estimates.stratified import mean_of_shares

CELL: Final = ("role", "context", "continuation")
_PLACE: Final = {
    "model": "label of the model",
    "parameters": "number of weights",
    "role": "train: rows of the corpus; control: rows no model was trained on; control model: untrained on the corpus",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
}
SHARES: Final = {
    **_PLACE,
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "uniform_share": "memorized / rows: the plain share of the study's rows",
    "uniform_share_lower": "lower end of its Wilson 95 % interval",
    "uniform_share_upper": "upper end of it",
    "normalised_share": "mean of the shares of the repetition buckets; null without repetitions",
    "normalised_share_lower": "lower end of its 95 % interval, from the buckets' Wilson intervals",
    "normalised_share_upper": "upper end of it",
}
REPETITIONS: Final = {
    **_PLACE,
    "bucket": BUCKET_COLUMNS["bucket"],
    "repetitions": "geometric mean of how often the bucket's rows occur",
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "share": "memorized / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
    "few": BUCKET_COLUMNS["few"],
}
COUNTS_RECIPE: Final = """\
cells = recount.lines(study, latest=True).group_by("model", "parameters", "role", "context", "continuation", "bucket")
counts = cells.agg(rows=pl.len(), memorized=pl.sum("recited"), repetitions=10 ** pl.col("repetitions").log(10).mean())
"""
SHARES_RECIPE: Final = f"{COUNTS_RECIPE}answer = recount.sample_shares(counts)"
REPETITIONS_RECIPE: Final = f'{COUNTS_RECIPE}answer = recount.with_shares(counts, "memorized")'
_KEYS: Final = tuple(_PLACE)


def bucket_counts(tables: Tables) -> pl.DataFrame:
    """One line a model, role, cell and bucket that holds rows: columns of _PLACE, bucket, repetitions, rows, memorized.

    bucket is null where repetitions are unknown, and of control rows, which were never seen.
    """
    known = tables.counts("repetitions")
    known = known.with_columns(buckets_of(known["repetitions"]))
    known = known.with_columns(pl.when(pl.col("role") != "control").then("bucket").alias("bucket"))
    spread = (pl.col("repetitions").log(10) * pl.col("rows")).sum() / pl.col("rows").sum()
    grouped = known.group_by("model", *CELL, "bucket", maintain_order=True).agg(
        (10**spread).alias("repetitions"),
        pl.col("rows").sum(),
        (pl.col("rows") * pl.col("recited")).sum().alias("memorized"),
    )
    shown = pl.DataFrame({"model": [*tables.by_size, *tables.control_models]}).with_row_index("order")
    frame = grouped.join(shown, on="model").join(tables.models.select("model", "parameters"), on="model")
    return frame.sort("order", *CELL, "bucket").select(*_KEYS, "bucket", "repetitions", "rows", "memorized")


def shares_by_repetitions(counts: pl.DataFrame) -> pl.DataFrame:
    """The buckets of `bucket_counts` with the share of each; columns REPETITIONS."""
    frame = with_shares(counts.drop_nulls("bucket"), "memorized")
    return frame.with_columns((pl.col("rows") < FEW).alias("few")).select(*REPETITIONS)


def sample_shares(counts: pl.DataFrame) -> pl.DataFrame:
    """One line a model, role and cell, with the share of both samples and their intervals; columns SHARES.

    Args:
        counts: one line a model, role, cell and bucket of repetitions (null: in none): model, parameters, role,
            context, continuation, bucket, rows, memorized.
    """
    sums = counts.group_by(_KEYS, maintain_order=True).agg(pl.sum("rows", "memorized"))
    frame = with_shares(sums, "memorized", name="uniform_share")
    lines = []
    for key, group in counts.drop_nulls("bucket").sort("bucket").group_by(_KEYS, maintain_order=True):
        mean = mean_of_shares(group["memorized"], group["rows"])
        lines.append((*key, mean.estimate, mean.lower, mean.upper))
    names = [name for name in SHARES if name.startswith("normalised")]
    schema = {name: frame.schema[name] for name in _KEYS} | dict.fromkeys(names, pl.Float64)
    normalised = pl.DataFrame(lines, schema=schema, orient="row")
    return frame.join(normalised, on=_KEYS, how="left", nulls_equal=True, maintain_order="left").select(*SHARES)
