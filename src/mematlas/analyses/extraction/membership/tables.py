"""The tables and charts of the finding `inference`, each table with its recipe, and K9's published numbers."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from mematlas.analyses.extraction.membership.discrimination import (
    AUROC_COLUMNS,
    EXPOSURE_COLUMNS,
    EXPOSURE_REPETITION_COLUMNS,
    REPETITION_COLUMNS,
)
from mematlas.findings.finding import Axis, Chart, Table
from mematlas.literature.published import TABLES

_TITLES: Final = {
    "scores": ("Members told from control rows, by score", AUROC_COLUMNS, "membership_aurocs"),
    "sweep": ("Members told from control rows, by K of Min-K% and Min-K%++", AUROC_COLUMNS, "membership_sweep"),
    "repetitions": ("Members told from control rows, by repetitions", REPETITION_COLUMNS, "membership_by_repetitions"),
    "exposure": ("Exposure of training rows", EXPOSURE_COLUMNS, "membership_exposures"),
    "exposure-by-repetitions": (
        "Exposure of training rows by repetitions",
        EXPOSURE_REPETITION_COLUMNS,
        "exposures_by_repetitions",
    ),
}
_RECIPE: Final = "answer = recount.{}(recount.membership_rows(study))"
_PUBLISHED_RECIPE: Final = """\
found = recount.TABLES["membership-by-duplicates"]
answer = pl.DataFrame(found.lines, [name for name, _ in found.columns], orient="row")"""
_AUROC_INTERVAL: Final = ("auroc_lower", "auroc_upper")
_CHANCE: Final = (0.5, "tells nothing apart")
_AUROC_AXIS: Final = Axis("auroc", "AUROC, members against control rows", zero=False, bounds=(0, 1))
_SCORE_AXIS: Final = Axis("score", "score", "nominal")
_REPETITIONS_AXIS: Final = Axis("repetitions", "times shown, at least", "log")


def inference_tables(frames: dict[str, pl.DataFrame]) -> tuple[Table, ...]:
    """The tables that are not empty, and K9's numbers."""
    tables = [
        Table(name, title, frames[name], columns, _RECIPE.format(function))
        for name, (title, columns, function) in _TITLES.items()
        if frames[name].height
    ]
    published = TABLES["membership-by-duplicates"]
    frame = pl.DataFrame(published.lines, [name for name, _ in published.columns], orient="row")
    title = f"{published.title} ({published.source})"
    return (*tables, Table("published", title, frame, dict(published.columns), _PUBLISHED_RECIPE))


def inference_charts(frames: dict[str, pl.DataFrame], model: str) -> tuple[Chart, ...]:
    """The charts with at least two distinct values of x."""
    filters: dict[str, str | int] = {"model": model, "shown": True}
    all_models: dict[str, str | int] = {"latest": True, "shown": True}
    title = "How well training rows are told from control rows"
    charts = [
        _line_chart("repetitions", f"{title} by repetitions, {model}", "repetitions", _REPETITIONS_AXIS, filters),
        _line_chart(
            "sizes", f"{title} by model size", "scores", Axis("parameters", "parameters", "log"), all_models, "role"
        ),
        _line_chart("sweep", f"{title} by K, {model}", "sweep", Axis("k", "K, percent of the tokens"), filters),
    ]
    chance = frames["exposure"].filter(model=model)["chance"].item()
    charts.append(
        Chart(
            "exposure",
            "Exposure of training rows by repetitions",
            "lines",
            "exposure-by-repetitions",
            _REPETITIONS_AXIS,
            Axis("exposure", "mean exposure, bits", bounds=(0, None)),
            Axis("model", "model", "nominal"),
            "exposure_lower",
            "exposure_upper",
            dash="role",
            reference=(chance, "a row never seen"),
            where=all_models,
        )
    )
    return tuple(chart for chart in charts if _distinct_x(frames[chart.table], chart) > 1)


def _line_chart(
    name: str, title: str, table: str, x: Axis, where: Mapping[str, str | int], dash: str | None = None
) -> Chart:
    return Chart(
        name,
        title,
        "lines",
        table,
        x,
        _AUROC_AXIS,
        _SCORE_AXIS,
        *_AUROC_INTERVAL,
        dash=dash,
        reference=_CHANCE,
        where=where,
    )


def _distinct_x(frame: pl.DataFrame, chart: Chart) -> int:
    return frame.filter(**chart.where)[chart.x.column].drop_nulls().n_unique()
