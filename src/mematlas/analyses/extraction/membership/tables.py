"""The tables and charts of the finding `inference`, each table with its recipe, and K9's own numbers beside them."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from mematlas.analyses.extraction.membership.discrimination import (
    AUROCS,
    BY_REPETITIONS,
    EXPOSURES,
    EXPOSURES_BY_REPETITIONS,
)
from mematlas.findings.finding import Axis, Chart, Table
from mematlas.literature.published import TABLES

_TITLES: Final = {
    "scores": ("Members told from control rows, by score", AUROCS, "membership_aurocs"),
    "sweep": ("Members told from control rows, by K of Min-K% and Min-K%++", AUROCS, "membership_sweep"),
    "repetitions": ("Members told from control rows, by repetitions", BY_REPETITIONS, "membership_by_repetitions"),
    "exposure": ("Exposure of training rows", EXPOSURES, "membership_exposures"),
    "exposure-by-repetitions": (
        "Exposure of training rows by repetitions",
        EXPOSURES_BY_REPETITIONS,
        "exposures_by_repetitions",
    ),
}
_RECIPE: Final = "answer = recount.{}(recount.membership_rows(study))"
_PUBLISHED_RECIPE: Final = """\
found = recount.TABLES["membership-by-duplicates"]
answer = pl.DataFrame(found.lines, [name for name, _ in found.columns], orient="row")"""
_ENDS: Final = ("auroc_lower", "auroc_upper")
_CHANCE: Final = (0.5, "tells nothing apart")
_AUROC: Final = Axis("auroc", "AUROC, members against control rows")
_SCORE: Final = Axis("score", "score", "nominal")
_TIMES: Final = Axis("repetitions", "times shown, at least", "log")


def inference_tables(frames: dict[str, pl.DataFrame]) -> tuple[Table, ...]:
    """The frames that hold a line, and K9's numbers."""
    found = [
        Table(name, title, frames[name], columns, _RECIPE.format(made))
        for name, (title, columns, made) in _TITLES.items()
        if frames[name].height
    ]
    published = TABLES["membership-by-duplicates"]
    frame = pl.DataFrame(published.lines, [name for name, _ in published.columns], orient="row")
    title = f"{published.title} ({published.source})"
    return (*found, Table("published", title, frame, dict(published.columns), _PUBLISHED_RECIPE))


def inference_charts(frames: dict[str, pl.DataFrame], model: str) -> tuple[Chart, ...]:
    """Those that have two places or more along x."""
    own: dict[str, str | int] = {"model": model, "shown": True}
    every: dict[str, str | int] = {"latest": True, "shown": True}
    title = "How well training rows are told from control rows"
    charts = [
        _lines("repetitions", f"{title} by repetitions, {model}", "repetitions", _TIMES, own),
        _lines("sizes", f"{title} by model size", "scores", Axis("parameters", "parameters", "log"), every, "role"),
        _lines("sweep", f"{title} by K, {model}", "sweep", Axis("k", "K, percent of the tokens"), own),
    ]
    chance = frames["exposure"].filter(model=model)["chance"].item()
    charts.append(
        Chart(
            "exposure",
            "Exposure of training rows by repetitions",
            "lines",
            "exposure-by-repetitions",
            _TIMES,
            Axis("exposure", "mean exposure, bits"),
            Axis("model", "model", "nominal"),
            "exposure_lower",
            "exposure_upper",
            dash="role",
            reference=(chance, "a row never seen"),
            where=every,
        )
    )
    return tuple(chart for chart in charts if _places(frames[chart.table], chart) > 1)


def _lines(
    name: str, title: str, table: str, x: Axis, where: Mapping[str, str | int], dash: str | None = None
) -> Chart:
    return Chart(name, title, "lines", table, x, _AUROC, _SCORE, *_ENDS, dash=dash, reference=_CHANCE, where=where)


def _places(frame: pl.DataFrame, chart: Chart) -> int:
    return frame.filter(**chart.where)[chart.x.column].drop_nulls().n_unique()
