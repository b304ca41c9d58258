"""Scores of rows in models trained on different subsets of them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.analyses.training.checkpoint_scores import one_trainings
from mematlas.study import Study


def subset_scores(study: Study, run: str | None = None) -> pl.DataFrame:
    """One record per model and training row at the reference cell, of models of which it is known what they were
    trained on.

    Returns:
        model, row; trained (whether the model was shown the row); score (M: right tokens / continuation; 1 or 0 for
        recited or not where M is not graded); source (of the row); group (lowest id of the rows of the same text) and
        copies (their number, the row included; null where the tokens of rows are not known). Sorted by row and model.

    Raises:
        StudyError: the run is not finished.
    """
    return subset_scores_of(read_tables(study, run))


def subset_scores_of(tables: Tables) -> pl.DataFrame:
    """As `subset_scores`, from tables; without exposures no records."""
    cell = tables.reference
    exposures = known_exposures(tables)
    models = set(exposures["model"])
    value = pl.col("matches") / pl.col("continuation") if tables.graded else pl.col("recited").cast(pl.Float64)
    scored = tables.scored_rows("source").filter(
        pl.col("model").is_in(models), role="train", context=cell.context, continuation=cell.continuation
    )
    lines = scored.select("model", "row", value.alias("score"), "source").collect(engine="streaming")
    if not tables.complete:
        lines = _with_rows_not_recited(lines, models)
    lines = lines.join(exposures.select("model", "row", trained=pl.col("times") > 0), on=["model", "row"], how="left")
    rows = lines["row"].unique().sort()
    texts = tables.texts(rows).rename({"text": "group", "rows_of_text": "copies"})
    return (
        lines.with_columns(pl.col("trained").fill_null(False), pl.col("score").cast(pl.Float64))
        .join(texts, on="row", how="left")
        .select("model", "row", "trained", "score", "source", "group", "copies")
        .sort("row", "model")
    )


def known_exposures(tables: Tables) -> pl.DataFrame:
    """model, row, times of the family's models, of a training the last checkpoint alone: the others are no other one.

    Several tables of one model and row are added.
    """
    if tables.exposures is None:
        return pl.DataFrame(schema={"model": pl.String, "row": pl.Int64, "times": pl.Int64})
    earlier = {model for training in one_trainings(tables) for model in training[:-1]}
    of_family = tables.exposures.filter(pl.col("model").is_in(set(tables.family) - earlier))
    return of_family.group_by("model", "row").agg(pl.sum("times")).collect(engine="streaming")


def _with_rows_not_recited(lines: pl.DataFrame, models: set[str]) -> pl.DataFrame:
    """`lines` with a score of 0 of each model for rows that only others recite: only recited rows were published."""
    pairs = lines.select("row", "source").unique().join(pl.DataFrame({"model": sorted(models)}), how="cross")
    joined = pairs.join(lines.select("model", "row", "score"), on=["model", "row"], how="left")
    return joined.with_columns(pl.col("score").fill_null(0.0)).select("model", "row", "score", "source")


@dataclass(frozen=True, slots=True)
class SubsetArrays:
    """The records of `subset_scores` as arrays.

    rows: row, source, group, copies of each column, sorted by row; members, scores: shape (models, rows).
    """

    rows: pl.DataFrame
    members: NDArray[np.bool_]
    scores: NDArray[np.float64]


def subset_arrays(lines: pl.DataFrame) -> SubsetArrays:
    """Membership and scores as matrices; NaN and not trained where the model has no score of the row."""
    rows = lines.select("row", "source", "group", "copies").unique("row").sort("row")
    models = lines["model"].unique().sort()
    places = (
        models.to_frame("model")
        .with_row_index("line")
        .join(lines, on="model", how="inner")
        .join(rows.select("row").with_row_index("column"), on="row", how="inner")
    )
    members = np.zeros((len(models), rows.height), bool)
    scores = np.full(members.shape, np.nan)
    at = places["line"].to_numpy(), places["column"].to_numpy()
    members[at], scores[at] = places["trained"].to_numpy(), places["score"].to_numpy()
    return SubsetArrays(rows, members, scores)
