"""Score records joined with the properties of their row and model, and pairs of them, for the user's own counts.

Recipes of findings (`Table.recipe`) start here. Sources of the levels and buckets: levels.py, repetition_buckets.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.repetition_buckets import bucket_column
from mematlas.analyses.frames.same_rows import Across, keep_same_rows
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.metrics.extractable import extractable
from mematlas.metrics.levels import LEVELS, RECITED_LEVELS, level
from mematlas.metrics.memorization_score import memorization_score
from mematlas.study import Study

_KEYS: Final = ("model", "row", "context", "continuation")
_MODEL_COLUMNS: Final = ("parameters", "training_step")
#: The keys of a frame of `firm_lines`, and of the cluster of a row.
FIRM_KEYS: Final = ("model", "context", "shortest", "continuation", "cluster")
_LOG_REPETITIONS: Final = pl.col("repetitions").log(10).mean()
#: The keys of a bucket of repetitions in a frame of `lines`, of their geometric mean over it, and of the row's cluster.
BUCKET_KEYS: Final = (
    *("model", "parameters", "role", "context", "continuation", "bucket", "cluster"),
    (10 ** _LOG_REPETITIONS.over("model", "role", "context", "continuation", "bucket")).alias("repetitions"),
)
#: The keys of two models in a frame of `pairs` across models, and of the cluster of their row.
PAIR_KEYS: Final = (
    *("context", "continuation", "cluster"),
    pl.col("model").alias("smaller"),
    pl.col("model_2").alias("larger"),
)


def lines(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """One record per scored (model, row, context, continuation) of a run, the latest by default.

    What could not be scored is left out. Where only recited rows were published, every row of the study has a record
    for every model and cell: if none was published, M < 1.

    Args:
        where: only records with these values of the columns, e.g. role="train", context=32.

    Returns:
        model, row, context, continuation (tokens); matches, verbatim (tokens, null where unknown); recited (M = 1);
        score (M; null where not graded); level (its name; "M < 1" and "M = 1" where not graded); role (train, control,
        or "control model" in all records of a model that never saw the corpus); repetitions, document, source, bucket,
        cluster of the row (bucket of repetitions as in P9; null where unknown, and for control rows; cluster: rows of
        one number are not independent, see `mematlas.study.clusters`); parameters (null where
        unknown or 0) and training_step of the model; latest (whether it is the last checkpoint of its size, or a
        control model); common (whether it is a training row that all models with training rows in this cell scored).

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    cell = {name: value for name, value in where.items() if name in ("context", "continuation")}
    return _join_tables(tables, cell).filter(**where)


def same_rows(study: Study, across: Across, run: str | None = None, **where: Any) -> pl.DataFrame:
    """The records of `lines` whose row the model scored at every context, or continuation, that it scored any row at.

    Shares of them over contexts (at one continuation), or over continuations (at one context), are of the same rows.

    Args:
        across: "context" or "continuation"; where: as in `lines`.

    Raises:
        StudyError: the run is not finished.
    """
    return keep_same_rows(lines(study, run, **where).lazy(), across).collect()


def _join_tables(tables: Tables, where: dict[str, Any]) -> pl.DataFrame:
    scored = tables.scores.filter(**where) if where else tables.scores
    scored = scored.select(*_KEYS, "matches", "verbatim", extractable.expression().alias("recited"))
    scored = scored.filter(pl.col("recited").is_not_null())
    if not tables.complete:
        scored = _all_keys(tables, where).join(scored, on=_KEYS, how="left", maintain_order="left")
        scored = scored.with_columns(pl.col("recited").fill_null(False))
    models = tables.models.select("model", *_MODEL_COLUMNS).lazy()
    records = scored.join(tables.clustered_rows, on="row").join(models, on="model").collect()
    role = pl.when(pl.col("model").is_in(tables.control_models)).then(pl.lit("control model")).otherwise("role")
    latest = pl.col("model").is_in([*tables.by_size, *tables.control_models])
    records = records.with_columns(
        _score(tables),
        _level(tables),
        bucket_column(records["repetitions"]),
        role.alias("role"),
        latest.alias("latest"),
    )
    return records.with_columns(pl.when(pl.col("role") != "control").then("bucket").alias("bucket"), _common())


def _all_keys(tables: Tables, where: dict[str, Any]) -> pl.LazyFrame:
    grid = [(cell.context, cell.continuation) for cell in tables.cells]
    cells = pl.LazyFrame(grid, schema={"context": pl.Int32, "continuation": pl.Int32}, orient="row")
    models_and_rows = tables.models.lazy().select("model").join(tables.rows.select("row"), how="cross")
    return models_and_rows.join(cells.filter(**where) if where else cells, how="cross")


def _score(tables: Tables) -> pl.Expr:
    return (memorization_score.expression() if tables.graded else pl.lit(None, pl.Float64)).alias("score")


def _level(tables: Tables) -> pl.Expr:
    names = LEVELS if tables.graded else RECITED_LEVELS
    number = level() if tables.graded else pl.col("recited").cast(pl.Int8)
    return number.replace_strict(list(range(len(names))), list(names), return_dtype=pl.String).alias("level")


def _common() -> pl.Expr:
    train, cell = pl.col("role") == "train", ("context", "continuation")
    models = pl.col("model").filter(train).n_unique().over(*cell)
    return (train & ((train & pl.col("level").is_not_null()).sum().over("row", *cell) == models)).alias("common")


def pairs(study: Study, across: str, run: str | None = None, **where: Any) -> pl.DataFrame:
    """Pairs of records of a training row that differ in `across` only: "model", "context" or "continuation".

    Every two models are paired in both orders, at the cell nearest to 32 + 32 (the one that findings report) unless
    `where` names another; contexts and continuations are paired in ascending order, in every cell. Where only recited
    rows were published, pairs without a recited row are left out, because their number is not known.

    Args:
        where: as in `lines`.

    Returns:
        the columns of `lines`; `across`, matches, score, level, recited, parameters and training_step of the second
        record with the suffix "_2"; both, gained, lost (M = 1 in both, in the second only, in the first only);
        compute, across models: compute of the first relative to the second (parameters times training step where both
        have one, else parameters; null where unknown or 0).

    Raises:
        ValueError: `across` is no such column.
        StudyError: the run is not finished.
    """
    if across not in ("model", "context", "continuation"):
        raise ValueError(f"across must be model, context or continuation, not {across!r}")
    tables = read_tables(study, run)
    if across == "model":
        where = {"context": tables.reference.context, "continuation": tables.reference.continuation} | where
    first = lines(study, run, **{"role": "train"} | where).drop_nulls("level")
    second = first.select(*_KEYS, "matches", "score", "level", "recited", *_MODEL_COLUMNS)
    joined = first.join(second, on=[name for name in _KEYS if name != across], suffix="_2")
    is_pair = pl.col(across) != pl.col("model_2") if across == "model" else pl.col(across) < pl.col(f"{across}_2")
    before, after = pl.col("recited"), pl.col("recited_2")
    joined = joined.filter(is_pair, pl.lit(tables.complete) | before | after)
    return joined.with_columns(relative_compute(), both=before & after, gained=~before & after, lost=before & ~after)


def relative_compute() -> pl.Expr:
    """Compute of a pair's first model relative to the second, after the rule 6 N D (our choice; see `pairs`)."""
    size, size_2 = pl.col("parameters"), pl.col("parameters_2")
    step, step_2 = pl.col("training_step"), pl.col("training_step_2")
    has_steps = step.is_not_null() & (step_2 > 0)
    ratio = pl.when(has_steps).then(size * step / (size_2 * step_2)).otherwise(size / size_2)
    # an untrained checkpoint used no compute and cannot be drawn on a log axis
    return pl.when(ratio > 0).then(ratio).alias("compute")


def firm_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """The records of `lines` whose row the model scored at every continuation of the context.

    Returns:
        the columns of `lines`; shortest (tokens of the shortest continuation), memorized_at_shortest (M = 1 there),
        surviving (M = 1 at every continuation up to this one).
    """
    keys, length = ("model", "context", "row"), pl.col("continuation")
    scored_everywhere = pl.len().over(keys) == length.n_unique().over("model", "context")
    records = lines.with_columns(shortest=length.min().over("model", "context")).filter(scored_everywhere)
    recited = pl.col("recited").cast(pl.Int64).sort_by("continuation")
    return records.sort(*keys, "continuation").with_columns(
        memorized_at_shortest=recited.first().over(keys).cast(pl.Boolean),
        surviving=pl.col("recited").cast(pl.Int64).cum_min().over(keys).cast(pl.Boolean),
    )
