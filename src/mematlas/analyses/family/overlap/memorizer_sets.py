"""Series of models to count on by hand: which models stand side by side, and which of them memorize each row."""

import polars as pl

from mematlas.analyses.frames.model_series import Series, series
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.study import Study


def steps(study: Study, run: str | None = None) -> pl.DataFrame:
    """The models of each series (by size, by training step) beside a neighbour, in order.

    Returns:
        series (its name), step (place of the model, from 1), short (its short name), model (its label), model_2 (the
        next one; of the last model the one before), next (whether model_2 is the next).

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    lines = []
    for one in series(tables, tables.reference):
        neighbours = (*one.members[1:], one.members[-2])
        for step, (model, other) in enumerate(zip(one.members, neighbours, strict=True), 1):
            lines.append((one.name, step, one.short_name(model), model, other, step < len(one.members)))
    names = {"series": pl.String, "step": pl.Int64, "short": pl.String, "model": pl.String, "model_2": pl.String}
    return pl.DataFrame(lines, schema={**names, "next": pl.Boolean}, orient="row")


def memorizers(study: Study, run: str | None = None) -> pl.DataFrame:
    """Who memorizes each training row that all models of a series scored, at the cell nearest to 32 + 32.

    Where only recited rows were published, rows that no model of the series recites are left out.

    Returns:
        series, context, continuation, row; models (labels of those with M = 1, in order), members (how many),
        of_members (models in the series), last (whether the last one does), last_name ("largest", "latest" or "last").

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    cell, found = tables.reference, []
    for one in series(tables, cell):
        wide = tables.side_by_side(one.members, cell, "recited")
        if not tables.complete:
            wide = wide.filter(pl.any_horizontal(one.members))
        place = {"series": one.name, "context": cell.context, "continuation": cell.continuation}
        keys = [pl.lit(value).alias(name) for name, value in place.items()]
        found.append(wide.select(*keys, "row", *of_members(one)))
    return pl.concat(found)


def of_members(one: Series) -> list[pl.Expr]:
    """Columns models, members, of_members, last, last_name from one Boolean column a model of the series."""
    labels = [pl.when(model).then(pl.lit(model)) for model in one.members]
    return [
        pl.concat_list(labels).list.drop_nulls().alias("models"),
        pl.sum_horizontal(pl.col(model).cast(pl.Int64) for model in one.members).alias("members"),
        pl.lit(len(one.members), pl.Int64).alias("of_members"),
        pl.col(one.members[-1]).alias("last"),
        pl.lit(one.last_name).alias("last_name"),
    ]


def overlap_sets(weight: pl.Expr | None = None) -> list[list[pl.Expr]]:
    """What to aggregate `memorizers` by for each set of rows: set, rows (of the set), of (rows its share is of).

    Args:
        weight: rows that a line stands for; one unless given.
    """
    by_any, last, one = pl.col("members") > 0, pl.col("last"), pl.lit(1) if weight is None else weight
    by_all, others = pl.col("members") == pl.col("of_members"), pl.col("members") > last.cast(pl.Int64)
    name = pl.first("last_name")
    sets = [
        (pl.lit("any, of rows scored"), by_any, pl.col("members") >= 0),
        (pl.lit("all, of any"), by_all, by_any),
        (pl.format("{} only, of any", name), last & ~others, by_any),
        (pl.format("forgotten by {}, of others", name), others & ~last, others),
    ]
    return [
        [
            called.alias("set"),
            (rows.cast(pl.Int64) * one).sum().alias("rows"),
            (of.cast(pl.Int64) * one).sum().alias("of"),
        ]
        for called, rows, of in sets
    ]
