"""Series of models for the user's own counts: neighbouring models, and the models that memorize each row."""

import polars as pl

from mematlas.analyses.frames.model_series import Series, model_series
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.study import Study


def steps(study: Study, run: str | None = None) -> pl.DataFrame:
    """The models of each series (by size, by training step) in order, each with a neighbour.

    Returns:
        series (its name), step (position of the model, from 1), short (its short name), model (its label), model_2 (the
        next model; for the last model the previous one), next (whether model_2 is the next).

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    records = []
    for series in model_series(tables, tables.reference):
        neighbours = (*series.models[1:], series.models[-2])
        for step, (model, neighbour) in enumerate(zip(series.models, neighbours, strict=True), 1):
            is_next = step < len(series.models)
            records.append((series.name, step, series.short_name(model), model, neighbour, is_next))
    schema = {"series": pl.String, "step": pl.Int64, "short": pl.String, "model": pl.String, "model_2": pl.String}
    return pl.DataFrame(records, schema={**schema, "next": pl.Boolean}, orient="row")


def memorizers(study: Study, run: str | None = None) -> pl.DataFrame:
    """The models that memorize each training row that all models of a series scored, at the cell nearest to 32 + 32.

    Where only recited rows were published, rows that no model of the series recites are left out.

    Returns:
        series, context, continuation, row, cluster (as in `lines`); models (labels of those with M = 1, in order),
        members (their number), of_members (number of models in the series), last (whether the last model memorizes the
        row), last_name ("largest", "latest" or "last").

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    cell, frames = tables.reference, []
    for series in model_series(tables, cell):
        wide = tables.side_by_side(series.models, cell, "recited")
        if not tables.complete:
            wide = wide.filter(pl.any_horizontal(series.models))
        constants = {"series": series.name, "context": cell.context, "continuation": cell.continuation}
        keys = [pl.lit(value).alias(name) for name, value in constants.items()]
        clustered = tables.clustered_rows.select("row", "cluster").collect()
        wide = wide.join(clustered, on="row", maintain_order="left")
        frames.append(wide.select(*keys, "row", "cluster", *memorizer_columns(series)))
    return pl.concat(frames)


def memorizer_columns(series: Series) -> list[pl.Expr]:
    """Columns models, members, of_members, last, last_name from one Boolean column per model of the series."""
    labels = [pl.when(model).then(pl.lit(model)) for model in series.models]
    return [
        pl.concat_list(labels).list.drop_nulls().alias("models"),
        pl.sum_horizontal(pl.col(model).cast(pl.Int64) for model in series.models).alias("members"),
        pl.lit(len(series.models), pl.Int64).alias("of_members"),
        pl.col(series.models[-1]).alias("last"),
        pl.lit(series.last_qualifier).alias("last_name"),
    ]


def overlap_sets(weight: pl.Expr | None = None) -> list[list[pl.Expr]]:
    """The aggregations of `memorizers` for each set of rows: set, rows (of the set), of (rows that its share is of).

    Args:
        weight: the number of rows that a record represents; 1 by default.
    """
    weight = pl.lit(1) if weight is None else weight
    by_last, last_qualifier = pl.col("last"), pl.first("last_name")
    by_any, by_all = pl.col("members") > 0, pl.col("members") == pl.col("of_members")
    by_others = pl.col("members") > by_last.cast(pl.Int64)
    sets = [
        (pl.lit("any, of rows scored"), by_any, pl.col("members") >= 0),
        (pl.lit("all, of any"), by_all, by_any),
        (pl.format("{} only, of any", last_qualifier), by_last & ~by_others, by_any),
        (pl.format("forgotten by {}, of others", last_qualifier), by_others & ~by_last, by_others),
    ]
    return [
        [
            name.alias("set"),
            (in_set.cast(pl.Int64) * weight).sum().alias("rows"),
            (in_base.cast(pl.Int64) * weight).sum().alias("of"),
        ]
        for name, in_set, in_base in sets
    ]
