"""The tables and charts of the finding `counterfactual`, each table with its recipe."""

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from mematlas.analyses.training.counterfactual import records
from mematlas.findings.finding import Axis, Chart, Table

_Frame = Callable[[pl.DataFrame], pl.DataFrame]

#: Table -> its title, its columns, and the function that computes it from the scores.
_TABLES: Final[Mapping[str, tuple[str, Mapping[str, str], _Frame]]] = {
    "mem": ("Counterfactual memorization of every row", records.MEM_COLUMNS, records.row_memorization),
    "by_copies": ("Memorization by copies", records.COPY_COLUMNS, records.memorization_by_copies),
    "simplicity": (
        "Memorization and simplicity of rows",
        records.SIMPLICITY_COLUMNS,
        records.memorization_by_simplicity,
    ),
    "null": ("True and permuted membership", records.NULL_COLUMNS, records.permuted_membership),
    "convergence": ("Agreement of disjoint groups", records.CONVERGENCE_COLUMNS, records.memorization_convergence),
    "influence": ("Influences of rows on other rows", records.INFLUENCE_COLUMNS, records.row_influence),
    "histogram": ("Pairs of rows by influence", records.HISTOGRAM_COLUMNS, records.influence_histogram),
}


def counterfactual_frames(lines: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The data frame of each table, from the records of `subset_scores`."""
    return {name: compute(lines) for name, (_, _, compute) in _TABLES.items()}


def counterfactual_tables(frames: Mapping[str, pl.DataFrame]) -> tuple[Table, ...]:
    """The tables that are not empty."""
    return tuple(
        Table(name, title, frames[name], columns, f"answer = recount.{compute.__name__}(recount.subset_scores(study))")
        for name, (title, columns, compute) in _TABLES.items()
        if frames[name].height
    )


def counterfactual_charts(frames: Mapping[str, pl.DataFrame]) -> tuple[Chart, ...]:
    """The charts of the tables that have something to draw."""
    memorization = Axis("mem", "counterfactual memorization")
    outside = Axis("out", "mean score of models not trained on the row", share=True)
    inside = Axis("in", "mean score of models trained on it", share=True)
    copies = Axis("copies", "rows of the same text", "ordinal") if frames["mem"]["copies"].is_not_null().any() else None
    value = Axis("value", "counterfactual memorization")
    interval = ("value_lower", "value_upper")
    candidates = [
        Chart(
            "in-out", "Scores in models trained on a row and in others", "points", "mem", outside, inside, copies,
            where={"charted": "yes"}, diagonal="the same in both",
        ),
        Chart(
            "simplicity", "Memorization by simplicity", "points", "simplicity",
            Axis("simplicity", "simplicity: mean score of all models", share=True), memorization,
            Axis("what", "shown", "nominal"),
        ),
        *(
            Chart(
                f"copies-{number}" if number else "copies", f"Memorization by copies: {source}", "lines", "by_copies",
                Axis("copies", "rows of the same text", "log"), value, Axis("what", "shown", "nominal"), *interval,
                where={"source": source},
            )
            for number, source in enumerate(frames["by_copies"]["source"].unique().sort().head(_MAX_SOURCES))
        ),
        Chart(
            "convergence", "Agreement of disjoint groups of models on the order of rows", "lines", "convergence",
            Axis("models", "models in a group", "log"), Axis("correlation", "Spearman's correlation", bounds=(-1, 1)),
            lower="correlation_lower", upper="correlation_upper",
        ),
        Chart(
            "influence", "Pairs of rows by influence", "lines", "histogram",
            Axis("influence", "influence of one row on the other"), Axis("share", "share of pairs", share=True),
            Axis("target", "on"),
        ),
    ]  # fmt: skip
    return tuple(chart for chart in candidates if _draws(chart, frames[chart.table]))


_MAX_SOURCES: Final = 4  # our choice: sources with a chart of their own


def _draws(chart: Chart, frame: pl.DataFrame) -> bool:
    rows = frame.filter(*(pl.col(name) == value for name, value in chart.where.items()))
    return rows.drop_nulls([chart.x.column, chart.y.column]).height > 0
