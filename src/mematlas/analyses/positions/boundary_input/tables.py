"""The tables of the finding `boundary_input`, each with its recipe, and P1's published numbers."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.positions.boundary_step import (
    CONTRAST_COLUMNS,
    DIFFERENCE_COLUMNS,
    SENTENCE_COLUMNS,
    SLOPE_COLUMNS,
    boundary_contrasts,
    boundary_differences,
    boundary_slopes,
    sentence_frequencies,
)
from mematlas.analyses.positions.count_curves import boundary_curves
from mematlas.analyses.positions.profiles import PROFILE_COLUMNS, aligned_rows
from mematlas.analyses.positions.token_windows import TokenWindows
from mematlas.findings.finding import Table
from mematlas.literature.published import TABLES

_PILE: Final = 207e9  # tokens of the deduplicated Pile, README of Pythia
_TITLES: Final = {
    "curves": ("Counts by position, aligned on the border and on divergence points", PROFILE_COLUMNS),
    "differences": ("Boundary difference of each class", DIFFERENCE_COLUMNS),
    "contrasts": ("Boundary difference of memorized beside unmemorized rows", CONTRAST_COLUMNS),
    "sentences": ("Sentence-level frequency", SENTENCE_COLUMNS),
    "slopes": ("Change of the boundary difference with model size", SLOPE_COLUMNS),
}
_START: Final = "rows, counts = recount.boundary_rows(study), recount.boundary_counts(study)\n"
_RECIPES: Final = {
    "curves": f"{_START}answer = recount.boundary_curves(rows, counts)",
    "differences": f"{_START}answer = recount.boundary_differences(rows, counts, study.models())",
    "contrasts": f"{_START}answer = recount.boundary_contrasts(rows, counts)",
    "sentences": f"""{_START}answer = recount.sentence_frequencies(rows, counts, study.feature_facts()["tokens"])""",
    "slopes": f"""{_START}differences = recount.boundary_differences(rows, counts, study.models())
answer = recount.boundary_slopes(differences, recount.lines(study, latest=True))""",
}
_PUBLISHED_RECIPE: Final = """\
found = recount.TABLES["token-frequency"]
billions = pl.DataFrame(found.lines, [name for name, _ in found.columns], orient="row")
answer = billions.with_columns((pl.col(pl.Float64) * 1e9 / 207e9 * 1e6).name.suffix("_per_million"))"""


def boundary_frames(tables: Tables, classes: pl.DataFrame, counts: TokenWindows) -> dict[str, pl.DataFrame]:
    """The data frame of each table, possibly empty.

    Args:
        classes: from `row_classes`.
    """
    rows = aligned_rows(tables, classes, counts.cell.context)
    differences = boundary_differences(rows, counts, tables.models)
    return {
        "curves": boundary_curves(rows, counts),
        "differences": differences,
        "contrasts": boundary_contrasts(rows, counts),
        "sentences": sentence_frequencies(rows, counts, tables.facts.get("tokens")),
        "slopes": boundary_slopes(differences, pl.DataFrame({"model": tables.by_size}, schema={"model": pl.String})),
    }


def boundary_tables(frames: dict[str, pl.DataFrame]) -> tuple[Table, ...]:
    """The tables of the `boundary_frames` that are not empty, and P1's numbers."""
    result = [
        Table(name, title, frames[name], columns, _RECIPES[name])
        for name, (title, columns) in _TITLES.items()
        if frames[name].height
    ]
    return (*result, _published())


def _published() -> Table:
    """P1's table, in its unit and per million tokens of its corpus."""
    published = TABLES["token-frequency"]
    frame = pl.DataFrame(published.lines, [name for name, _ in published.columns], orient="row")
    frame = frame.with_columns((pl.col(pl.Float64) * 1e9 / _PILE * 1e6).name.suffix("_per_million"))
    descriptions = {
        name: f"{name.removesuffix('_per_million')} / million of the 207 billion tokens" for name in frame.columns
    }
    return Table(
        "published",
        f"{published.title} ({published.source})",
        frame,
        descriptions | dict(published.columns),
        _PUBLISHED_RECIPE,
    )
