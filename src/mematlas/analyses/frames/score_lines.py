"""The tables to count on by hand: score lines joined with what is known of their row and model, and pairs of lines.

Recipes of findings (`Table.recipe`) start here. Source of the levels and buckets: analyses/levels.py, buckets.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.levels import LEVELS, RECITED_LEVELS, level
from mematlas.analyses.frames.repetition_buckets import buckets_of
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.metrics.extractable import extractable
from mematlas.metrics.memorization_score import memorization_score
from mematlas.study import Study

_LINE: Final = ("model", "row", "context", "continuation")
_MODEL: Final = ("parameters", "training_step")


def lines(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """One line a scored (model, row, context, continuation) of a run, the latest by default.

    Lines that could not be scored are left out. Where only recited rows were published, every row of the study has a
    line of every model and cell: without a published one it has M < 1.

    Args:
        where: only lines with these values of the columns, e.g. role="train", context=32.

    Returns:
        model, row, context, continuation (tokens); matches, verbatim (tokens, null where unknown); recited (M = 1);
        score (M; null where not graded); level (its name; "M < 1" and "M = 1" where not graded); role (train, control,
        or "control model" on all lines of a model that never saw the corpus); repetitions, document, source, bucket of
        the row (bucket of repetitions as in P9; null where unknown, and of control rows); parameters (null where
        unknown or 0) and training_step of the model; latest (its last checkpoint, or a control model); common (a
        training row that all models with training rows in this cell scored).

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    cell = {name: value for name, value in where.items() if name in ("context", "continuation")}
    return _joined(tables, cell).filter(**where)


def _joined(tables: Tables, cell: dict[str, Any]) -> pl.DataFrame:
    scored = tables.scores.filter(**cell) if cell else tables.scores
    scored = scored.select(*_LINE, "matches", "verbatim", extractable.expression().alias("recited"))
    scored = scored.filter(pl.col("recited").is_not_null())
    if not tables.complete:
        scored = _every_line(tables, cell).join(scored, on=_LINE, how="left", maintain_order="left")
        scored = scored.with_columns(pl.col("recited").fill_null(False))
    models = tables.models.select("model", *_MODEL).lazy()
    found = scored.join(tables.rows, on="row").join(models, on="model").collect()
    role = pl.when(pl.col("model").is_in(tables.control_models)).then(pl.lit("control model")).otherwise("role")
    shown = pl.col("model").is_in([*tables.by_size, *tables.control_models])
    found = found.with_columns(
        _score(tables), _level(tables), buckets_of(found["repetitions"]), role.alias("role"), shown.alias("latest")
    )
    return found.with_columns(pl.when(pl.col("role") != "control").then("bucket").alias("bucket"), _common())


def _every_line(tables: Tables, cell: dict[str, Any]) -> pl.LazyFrame:
    grid = [(one.context, one.continuation) for one in tables.cells]
    cells = pl.LazyFrame(grid, schema={"context": pl.Int32, "continuation": pl.Int32}, orient="row")
    every = tables.models.lazy().select("model").join(tables.rows.select("row"), how="cross")
    return every.join(cells.filter(**cell) if cell else cells, how="cross")


def _score(tables: Tables) -> pl.Expr:
    return (memorization_score.expression() if tables.graded else pl.lit(None, pl.Float64)).alias("score")


def _level(tables: Tables) -> pl.Expr:
    names = LEVELS if tables.graded else RECITED_LEVELS
    place = level() if tables.graded else pl.col("recited").cast(pl.Int8)
    return place.replace_strict(list(range(len(names))), list(names), return_dtype=pl.String).alias("level")


def _common() -> pl.Expr:
    train, cell = pl.col("role") == "train", ("context", "continuation")
    models = pl.col("model").filter(train).n_unique().over(*cell)
    return (train & ((train & pl.col("level").is_not_null()).sum().over("row", *cell) == models)).alias("common")


def pairs(study: Study, across: str, run: str | None = None, **where: Any) -> pl.DataFrame:
    """Training rows as two lines side by side that differ in `across` alone: "model", "context" or "continuation".

    Every two models are paired in both orders, at the cell nearest to 32 + 32 (the one that findings speak of) unless
    `where` names another; contexts and continuations in ascending order, in every cell. Where only recited rows were
    published, pairs of which neither recites are left out: how many there are is not known.

    Args:
        where: as in `lines`.

    Returns:
        the columns of `lines`; `across`, matches, score, level, recited, parameters and training_step of the second
        line with "_2" behind their names; both, gained, lost (M = 1 in both, in the second only, in the first only);
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
    train = lines(study, run, **{"role": "train"} | where).drop_nulls("level")
    second = train.select(*_LINE, "matches", "score", "level", "recited", *_MODEL)
    found = train.join(second, on=[name for name in _LINE if name != across], suffix="_2")
    apart = pl.col(across) != pl.col("model_2") if across == "model" else pl.col(across) < pl.col(f"{across}_2")
    first, then = pl.col("recited"), pl.col("recited_2")
    found = found.filter(apart, pl.lit(tables.complete) | first | then)
    return found.with_columns(compute(), both=first & then, gained=~first & then, lost=first & ~then)


def compute() -> pl.Expr:
    """Compute of a pair's first model relative to the second, after the rule 6 N D (our choice; see `pairs`)."""
    size, whole = pl.col("parameters"), pl.col("parameters_2")
    step, last = pl.col("training_step"), pl.col("training_step_2")
    stepped = step.is_not_null() & (last > 0)
    ratio = pl.when(stepped).then(size * step / (whole * last)).otherwise(size / whole)
    # an untrained checkpoint took no compute: it stands on no log axis
    return pl.when(ratio > 0).then(ratio).alias("compute")


def firm_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Of `lines`, those of rows that their model scored at every continuation of the context.

    Returns:
        the columns of `lines`; shortest (tokens of the shortest continuation), memorized_at_shortest (M = 1 there),
        surviving (M = 1 at every continuation up to this one).
    """
    of_row, by_length = ("model", "context", "row"), pl.col("continuation")
    everywhere = pl.len().over(of_row) == by_length.n_unique().over("model", "context")
    kept = lines.with_columns(shortest=by_length.min().over("model", "context")).filter(everywhere)
    recited = pl.col("recited").cast(pl.Int64).sort_by("continuation")
    return kept.sort(*of_row, "continuation").with_columns(
        memorized_at_shortest=recited.first().over(of_row).cast(pl.Boolean),
        surviving=pl.col("recited").cast(pl.Int64).cum_min().over(of_row).cast(pl.Boolean),
    )
