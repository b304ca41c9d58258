"""The tables of the finding `probability`, each with its recipe, and K3's own numbers beside them."""

from typing import Final

import polars as pl

from mematlas.analyses.extraction.probability.counts import (
    CURVES,
    MEAN_COLUMNS,
    QUANTILE_COLUMNS,
    SIZES,
    WORST,
    discoverable_counts,
    measure_means,
    probability_quantiles,
    worst_counts,
)
from mematlas.analyses.extraction.probability.row_probabilities import by_scheme, model_rows, models_of
from mematlas.analyses.frames.memorized_shares import in_order
from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Table
from mematlas.literature.published import TABLES

SPOKEN: Final = 500_000  # n at which K3 compares training and held-out rows, at p = 0.9
CHANCE: Final = "0.9"
PUBLISHED: Final = "sampled-extraction"
_TITLES: Final = {
    "curves": ("(n, p)-discoverable rows by number of samples", CURVES),
    "sizes": (f"Rows discoverable with n = {SPOKEN:,} and p = {CHANCE} by model size", SIZES),
    "worst": ("Rows that are drawn with some probability: the worst case", WORST),
    "quantiles": ("Probability of the whole continuation", QUANTILE_COLUMNS),
    "measures": ("Extraction strength and memory unit length", MEAN_COLUMNS),
}
_START: Final = "lines = recount.probability_lines(study)\n"
_RECIPES: Final = {
    "curves": f'{_START}answer = recount.with_shares(recount.discoverable_counts(lines), "discoverable")',
    "sizes": f"""{_START}counts = recount.discoverable_counts(lines).join(study.models(), on="model")
answer = recount.with_shares(counts.filter(samples=500_000, p="0.9"), "discoverable")""",
    "worst": f"""{_START}cells = lines.group_by("model", "role", "context", "continuation", "scheme")
answer = recount.with_shares(cells.agg(pl.sum("probable", "possible"), rows=pl.len()), ["probable", "possible"])""",
    "quantiles": f"{_START}answer = recount.probability_quantiles(lines)",
    "measures": "answer = recount.measure_means(recount.signal_rows(study))",
}
_PUBLISHED_RECIPE: Final = f"""\
found = recount.TABLES["{PUBLISHED}"]
answer = pl.DataFrame(found.lines, [name for name, _ in found.columns], orient="row")"""


def probability_frames(tables: Tables, cell: Cell) -> dict[str, pl.DataFrame]:
    """The numbers by table, each perhaps without a line; one model's rows are in memory at a time."""
    found: dict[str, list[pl.DataFrame]] = {name: [] for name in ("curves", "worst", "quantiles", "measures")}
    for model in models_of(tables):
        rows = model_rows(tables, cell, model)
        lines = by_scheme(rows)
        found["curves"].append(discoverable_counts(lines))
        found["worst"].append(worst_counts(lines))
        found["quantiles"].append(probability_quantiles(lines))
        found["measures"].append(measure_means(rows))
    frames = {name: pl.concat(parts, how="vertical_relaxed") for name, parts in found.items()}
    frames = {name: _ordered(frame, tables) for name, frame in frames.items()}
    frames["curves"] = with_shares(frames["curves"], "discoverable").select(*CURVES)
    frames["worst"] = with_shares(frames["worst"], ["probable", "possible"]).select(*WORST)
    sizes = tables.models.select("model", "parameters").drop_nulls()
    spoken = frames["curves"].filter(samples=SPOKEN, p=CHANCE)
    return frames | {"sizes": spoken.join(sizes, on="model", maintain_order="left").select(*SIZES)}


def _ordered(frame: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Models as given; schemes in their own order, not that of the alphabet."""
    ordered = in_order(frame, tables, "measure", "scheme", "p", "quantile", "samples")
    return ordered.with_columns(pl.col(pl.Enum).cast(pl.String))


def probability_tables(frames: dict[str, pl.DataFrame]) -> tuple[Table, ...]:
    """The `probability_frames` that hold a line, and K3's numbers."""
    found = [
        Table(name, title, frames[name], columns, _RECIPES[name])
        for name, (title, columns) in _TITLES.items()
        if frames[name].height
    ]
    published = TABLES[PUBLISHED]
    frame = pl.DataFrame(published.lines, [name for name, _ in published.columns], orient="row")
    title = f"{published.title} ({published.source})"
    return (*found, Table("published", title, frame, dict(published.columns), _PUBLISHED_RECIPE))
