"""Memorized shares as P9 samples them: one a repetition bucket, and two kinds of mean over the buckets.

Source: P9 (b). Two samples are kept apart in columns of their own, as P9 keeps two samples apart: uniform (the plain
share of the study's rows) and duplicate-normalised (the mean of the shares of the repetition buckets, so that each
bucket weighs the same). One model a size stands in, the latest checkpoint of each, and the controls.
"""

from typing import Final

import polars as pl

from mematlas.analyses.buckets import COLUMNS as BUCKET_COLUMNS
from mematlas.analyses.buckets import FEW, with_bucket
from mematlas.analyses.shares import with_shares
from mematlas.analyses.tables import Tables
from mematlas.stats.stratified import mean_of_shares

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
SHARES_RECIPE: Final = """\
known = study.scores().with_columns(recited=pl.coalesce("matches", "verbatim") == pl.col("continuation"))
scored = known.filter(pl.col("recited").is_not_null()).join(study.rows(), on="row")
answer = scored.group_by("model", "role", "context", "continuation").agg(
    rows=pl.len(), memorized=pl.col("recited").sum())"""
REPETITIONS_RECIPE: Final = """\
known = study.scores().with_columns(recited=pl.coalesce("matches", "verbatim") == pl.col("continuation"))
seen = study.rows().filter(pl.col("role") == "train", pl.col("repetitions") >= 1)
seen = seen.with_columns(bucket=(4 * pl.col("repetitions").log(2) + 1e-9).floor().cast(pl.Int64))
answer = known.filter(pl.col("recited").is_not_null()).join(seen, on="row").group_by(
    "model", "context", "continuation", "bucket").agg(rows=pl.len(), memorized=pl.col("recited").sum())"""


def shares_by_repetitions(tables: Tables) -> pl.DataFrame:
    """One line a model, role, cell and bucket that holds rows; control rows were never seen, so they have none."""
    known = with_bucket(tables.counts("repetitions")).filter(pl.col("role") != "control")
    spread = (pl.col("repetitions").log(10) * pl.col("rows")).sum() / pl.col("rows").sum()
    grouped = known.group_by("model", *CELL, "bucket", maintain_order=True).agg(
        (10**spread).alias("repetitions"),
        pl.col("rows").sum(),
        (pl.col("rows") * pl.col("recited")).sum().alias("memorized"),
    )
    frame = with_shares(_shown(tables, grouped).sort("order", *CELL, "bucket"), "memorized")
    return frame.with_columns((pl.col("rows") < FEW).alias("few")).select(*REPETITIONS)


def shares_by_cell(tables: Tables, repetitions: pl.DataFrame) -> pl.DataFrame:
    """One line a model, role and cell, with the share of both samples."""
    uniform = tables.counts("repetitions").group_by("model", *CELL, maintain_order=True)
    frame = uniform.agg(pl.col("rows").sum(), (pl.col("rows") * pl.col("recited")).sum().alias("memorized"))
    frame = with_shares(_shown(tables, frame).sort("order", *CELL), "memorized", name="uniform_share")
    lines = []
    for key, group in repetitions.group_by("model", *CELL, maintain_order=True):
        mean = mean_of_shares(group["memorized"], group["rows"])
        lines.append((*key, mean.estimate, mean.lower, mean.upper))
    names = [name for name in SHARES if name.startswith("normalised")]
    schema = {name: frame.schema[name] for name in ("model", *CELL)} | dict.fromkeys(names, pl.Float64)
    normalised = pl.DataFrame(lines, schema=schema, orient="row")
    return frame.join(normalised, on=("model", *CELL), how="left", maintain_order="left").select(*SHARES)


def _shown(tables: Tables, frame: pl.DataFrame) -> pl.DataFrame:
    """The latest checkpoint of each size and the controls, with their parameters and their order."""
    shown = pl.DataFrame({"model": [*tables.by_size, *tables.control_models]}).with_row_index("order")
    return frame.join(shown, on="model").join(tables.models.select("model", "parameters"), on="model")
