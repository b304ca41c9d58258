"""Scores of rows in checkpoints of one training, with the checkpoint by which each row had been shown first."""

from itertools import pairwise
from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.study import Study

_SCHEMA: Final = {
    "parameters": pl.Int64,
    "step": pl.Int64,
    "row": pl.Int64,
    "first": pl.Int64,
    "times": pl.Int64,
    "score": pl.Float64,
    "cluster": pl.Int64,
}


def checkpoint_scores(study: Study, run: str | None = None) -> pl.DataFrame:
    """One record per row and checkpoint at the reference cell, of sizes whose checkpoints are of one training.

    Returns:
        parameters, step (of the checkpoint), row; first (step of the first checkpoint by which the row had been shown,
        null if it never was); times (showings by the last checkpoint); score (M: right tokens / continuation; 1 or 0
        for recited or not where M is not graded); cluster (a document, or copies). Rows are those that all checkpoints
        of a size scored, control rows included. Sorted by parameters, row and step.

    Raises:
        StudyError: the run is not finished.
    """
    return checkpoint_scores_of(read_tables(study, run))


def checkpoint_scores_of(tables: Tables) -> pl.DataFrame:
    """As `checkpoint_scores`, from tables; without exposures no records."""
    trainings = one_trainings(tables)
    if not trainings or not tables.complete:
        return pl.DataFrame(schema=_SCHEMA)
    assert tables.exposures is not None, "one_trainings reads it"
    cell = tables.reference
    models = tables.models.filter(pl.col("model").is_in([model for series in trainings for model in series]))
    value = pl.col("matches") / pl.col("continuation") if tables.graded else pl.col("recited").cast(pl.Float64)
    scored = tables.scored_rows("cluster").filter(context=cell.context, continuation=cell.continuation)
    lines = scored.select("model", "row", "cluster", value.cast(pl.Float64).alias("score")).collect(engine="streaming")
    lines = lines.join(models.select("model", "parameters", step="training_step"), on="model", how="inner")
    checkpoints = pl.col("step").n_unique()
    lines = lines.filter(checkpoints.over("parameters", "row") == checkpoints.over("parameters"))
    shown = tables.exposures.filter(pl.col("times") > 0).group_by("model", "row").agg(pl.sum("times")).collect()
    shown = shown.join(models.select("model", "parameters", step="training_step"), on="model", how="inner")
    cohorts = shown.group_by("parameters", "row").agg(first=pl.col("step").min(), times=pl.col("times").max())
    lines = lines.join(cohorts, on=["parameters", "row"], how="left").with_columns(pl.col("times").fill_null(0))
    return lines.select(*_SCHEMA).cast(_SCHEMA).sort("parameters", "row", "step")  # type: ignore[arg-type]


def one_trainings(tables: Tables) -> list[tuple[str, ...]]:
    """The sizes of which all checkpoints are of one training, each as its models by step.

    They are if it is known when rows were shown first, every checkpoint was shown all that the one before it was, for
    the first time in the same steps, and the last was shown more than the first.
    """
    if tables.exposures is None or not tables.by_step:
        return []
    exposures = tables.exposures.group_by("model", "row").agg(pl.sum("times"), pl.min("first_step"))
    known = exposures.collect(engine="streaming")
    shown = known.filter(pl.col("times") > 0).partition_by("model", as_dict=True)
    models, trainings, nothing = set(known["model"]), [], known.clear()
    for series in tables.by_step:
        members = tuple(model for model in series if model in models)
        rows = [shown.get((model,), nothing) for model in members]
        steps = {tables.training_step(model) for model in members}
        if len(members) > 1 and len(steps) == len(members) and _go_on(rows):
            trainings.append(members)
    return trainings


def _go_on(shown: list[pl.DataFrame]) -> bool:
    """Whether each of these records (row, first_step) has all of the one before it; steps that are null are unknown."""
    key = ["row", "first_step"]
    keeps = all(before.join(after, on=key, how="anti").is_empty() for before, after in pairwise(shown))
    return keeps and not shown[-1]["first_step"].null_count() and shown[-1].height > shown[0].height
