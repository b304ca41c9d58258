"""The tables of the finding `probability`, each with its recipe, and K3's published numbers."""

from typing import Final

import polars as pl

from mematlas.analyses.extraction.probability.counts import (
    CURVE_COLUMNS,
    MEAN_COLUMNS,
    QUANTILE_COLUMNS,
    SIZE_COLUMNS,
    WORST_CASE_COLUMNS,
    discoverable_shares,
    measure_means,
    probability_quantiles,
    worst_case_counts,
)
from mematlas.analyses.extraction.probability.row_probabilities import by_scheme, headline_models, model_rows
from mematlas.analyses.frames.memorized_shares import in_model_order
from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Table
from mematlas.literature.published import TABLES

HEADLINE_SAMPLES: Final = 500_000  # n at which K3 compares training and held-out rows, at p = 0.9
HEADLINE_CHANCE: Final = "0.9"
_PUBLISHED_TABLE: Final = "sampled-extraction"
_TITLES: Final = {
    "curves": ("(n, p)-discoverable rows by number of samples", CURVE_COLUMNS),
    "sizes": (f"Rows discoverable with n = {HEADLINE_SAMPLES:,} and p = {HEADLINE_CHANCE} by model size", SIZE_COLUMNS),
    "worst": ("Rows that are drawn with some probability: the worst case", WORST_CASE_COLUMNS),
    "quantiles": ("Probability of the whole continuation", QUANTILE_COLUMNS),
    "measures": ("Extraction strength and memory unit length", MEAN_COLUMNS),
}
_START: Final = "lines = recount.probability_lines(study)\n"
_RECIPES: Final = {
    "curves": f"{_START}answer = recount.discoverable_shares(lines)",
    "sizes": f"""{_START}shares = recount.discoverable_shares(lines).filter(samples=500_000, p="0.9")
answer = shares.join(study.models(), on="model")""",
    "worst": f"""{_START}cells = lines.group_by("model", "role", "context", "continuation", "scheme", "cluster")
answer = recount.with_shares(cells.agg(pl.sum("probable", "possible"), rows=pl.len()), ["probable", "possible"])""",
    "quantiles": f"{_START}answer = recount.probability_quantiles(lines)",
    "measures": "answer = recount.measure_means(recount.signal_rows(study))",
}
_PUBLISHED_RECIPE: Final = f"""\
found = recount.TABLES["{_PUBLISHED_TABLE}"]
answer = pl.DataFrame(found.lines, [name for name, _ in found.columns], orient="row")"""


def probability_frames(tables: Tables, cell: Cell) -> dict[str, pl.DataFrame]:
    """The data frame of each table, possibly empty; the rows of one model are in memory at a time."""
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in ("curves", "worst", "quantiles", "measures")}
    for model in headline_models(tables):
        rows = model_rows(tables, cell, model)
        probabilities = by_scheme(rows)
        parts["curves"].append(discoverable_shares(probabilities))
        parts["worst"].append(worst_case_counts(probabilities, *tables.cluster_key))
        parts["quantiles"].append(probability_quantiles(probabilities))
        parts["measures"].append(measure_means(rows))
    frames = {name: pl.concat(pieces, how="vertical_relaxed") for name, pieces in parts.items()}
    frames = {name: _in_table_order(frame, tables) for name, frame in frames.items()}
    frames["worst"] = with_shares(frames["worst"], ["probable", "possible"]).select(*WORST_CASE_COLUMNS)
    sizes = tables.models.select("model", "parameters").drop_nulls()
    headline_curves = frames["curves"].filter(samples=HEADLINE_SAMPLES, p=HEADLINE_CHANCE)
    return frames | {"sizes": headline_curves.join(sizes, on="model", maintain_order="left").select(*SIZE_COLUMNS)}


def _in_table_order(frame: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Sorted by model in the given order, and by scheme in logical order, not alphabetically."""
    ordered = in_model_order(frame, tables, "measure", "scheme", "p", "quantile", "samples")
    return ordered.with_columns(pl.col(pl.Enum).cast(pl.String))


def probability_tables(frames: dict[str, pl.DataFrame]) -> tuple[Table, ...]:
    """The tables of the `probability_frames` that are not empty, and K3's numbers."""
    tables = [
        Table(name, title, frames[name], columns, _RECIPES[name])
        for name, (title, columns) in _TITLES.items()
        if frames[name].height
    ]
    published = TABLES[_PUBLISHED_TABLE]
    frame = pl.DataFrame(published.lines, [name for name, _ in published.columns], orient="row")
    title = f"{published.title} ({published.source})"
    return (*tables, Table("published", title, frame, dict(published.columns), _PUBLISHED_RECIPE))
