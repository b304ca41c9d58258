"""The memorized share against training step: how rows are learned, and forgotten again, by the checkpoints of a size.

Source: our choice, beside K1, which counts the memorized rows of checkpoints of Pythia 12B.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS as SAMPLE_SIZE_COLUMNS
from mematlas.analyses.frames.proportions import format_percent, format_share, with_shares
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Axis, Chart

STEP_COLUMNS: Final = {
    "series": "label of the last checkpoint of the size",
    "model": "label of the checkpoint",
    "parameters": "number of weights",
    "training_step": "optimizer steps until the checkpoint",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "share": "memorized / rows",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_SIZE_COLUMNS,
}
STEPS_RECIPE: Final = """\
keys = ["model", "parameters", "training_step", "role", "context", "continuation", "cluster"]
checkpoints = recount.lines(study).drop_nulls(["training_step", "parameters"]).group_by(keys)
answer = recount.with_shares(checkpoints.agg(rows=pl.len(), memorized=pl.sum("recited")), "memorized")"""
_KEYS: Final = ("model", "role", "context", "continuation")


def step_shares(tables: Tables) -> pl.DataFrame:
    """The memorized share of each checkpoint, role and cell, for each size that has several; columns STEP_COLUMNS."""
    series = {model: checkpoints[-1] for checkpoints in tables.by_step for model in checkpoints}
    memorized = (pl.col("rows") * pl.col("recited")).sum().alias("memorized")

    def shares_of(sums: pl.DataFrame) -> pl.DataFrame:
        return with_shares(sums, "memorized")

    of_series = pl.col("model").is_in(list(series))
    shares = tables.reduced_sums(shares_of, pl.col("rows").sum(), memorized, where=of_series)
    models = tables.models.select("model", "parameters", "training_step")
    shares = in_model_order(shares, tables).join(models, on="model", maintain_order="left")
    last = pl.col("model").replace_strict(series, return_dtype=pl.String).alias("series")
    return shares.with_columns(last).sort("parameters", *_KEYS[1:], "training_step").select(*STEP_COLUMNS)


def headline_steps(tables: Tables, steps: pl.DataFrame) -> list[dict[str, Any]]:
    """The training rows of the largest size at the reference cell, by ascending step; [] for fewer than two steps."""
    cell = tables.reference
    records = steps.filter(role="train", context=cell.context, continuation=cell.continuation)
    records = records.filter(pl.col("training_step").n_unique().over("series") > 1)
    largest = records.filter(pl.col("parameters") == pl.col("parameters").max())
    return largest.sort("training_step").to_dicts()


def format_steps(records: list[dict[str, Any]]) -> str:
    """Format `headline_steps` as a clause: the first and the last step, and the largest share where it is another."""
    first, last = records[0], records[-1]
    best = max(records, key=lambda record: float(record["share"]))
    rows = (
        f"{first['rows']:,} rows" if first["rows"] == last["rows"] else f"{first['rows']:,} and {last['rows']:,} rows"
    )
    peak = ""
    if best["share"] > max(first["share"], last["share"]):
        peak = f", with {format_percent(best['share'])} at step {best['training_step']:,}"
    return (
        f"the share of {rows} that the checkpoints of {last['series']} memorize goes from "
        f"{format_share(first, 'share')} at step {first['training_step']:,} to {format_share(last, 'share')} at step "
        f"{last['training_step']:,}{peak}"
    )


def steps_chart(continuation: int) -> Chart:
    """One line per size and role, one panel per context."""
    return Chart(
        "steps",
        f"Memorized share by training step, {continuation} tokens to recite",
        "lines",
        "steps",
        Axis("training_step", "training step"),
        Axis("share", "rows with M = 1", share=True),
        Axis("series", "size (last checkpoint)", "nominal"),
        "share_lower",
        "share_upper",
        "context",
        "role",
        where={"continuation": continuation},
    )
