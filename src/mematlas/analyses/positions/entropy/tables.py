"""The tables and charts of the finding `entropy`, each table with its recipe."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.positions.entropy.curves import (
    IN_CONTINUATION,
    SIGNAL_CONTRASTS,
    SIGNAL_CURVES,
    SIGNAL_SLOPES,
    STATISTICS,
    signal_contrasts,
    signal_curves,
    signal_slopes,
    signal_statistics,
)
from mematlas.analyses.positions.entropy.signals import FREE, TRUTH, Signals
from mematlas.analyses.positions.profiles import BORDER, DIVERGENCE
from mematlas.findings.finding import Axis, Chart, Table

Frames = dict[str, pl.DataFrame]
PATH_WORDS: Final = {FREE: "free-running", TRUTH: "along the truth"}
_TITLES: Final = {
    "curves": ("Signals by position, aligned on the border and on divergence points", SIGNAL_CURVES),
    "statistics": ("Signals over the context and the continuation, and what they do at the border", STATISTICS),
    "contrasts": ("Memorized beside unmemorized rows", SIGNAL_CONTRASTS),
    "slopes": ("Change with model size", SIGNAL_SLOPES),
}
_START: Final = "rows, signals = recount.rows_with_signals(study), recount.boundary_signals(study)\n"
_STATISTICS: Final = "recount.signal_statistics(rows, signals, study.models())"
_RECIPES: Final = {
    "curves": f"{_START}answer = recount.signal_curves(rows, signals)",
    "statistics": f"{_START}answer = {_STATISTICS}",
    "contrasts": f"{_START}answer = recount.signal_contrasts(rows, signals)",
    "slopes": f"{_START}found = {_STATISTICS}\n"
    "answer = recount.signal_slopes(found, recount.lines(study, latest=True))",
}
_POINTS: Final = {
    BORDER: ("the border", "tokens after the border (0: first token to recite)"),
    DIVERGENCE: ("divergence", "tokens after divergence (0: first token not recited)"),
}
_UNITS: Final = {"entropy": "mean entropy, nats", "log_probability": "mean log-probability of the true token, nats"}


def entropy_frames(tables: Tables, rows: pl.DataFrame, signals: Signals) -> Frames:
    """The numbers by table, each perhaps without a line. rows: as `signal_lines.rows_with_signals`."""
    statistics = signal_statistics(rows, signals, tables.models)
    latest = pl.DataFrame({"model": tables.by_size}, schema={"model": pl.String})
    return {
        "curves": signal_curves(rows, signals),
        "statistics": statistics,
        "contrasts": signal_contrasts(rows, signals),
        "slopes": signal_slopes(statistics, latest),
    }


def entropy_tables(frames: Frames) -> tuple[Table, ...]:
    """The `entropy_frames` that hold a line."""
    return tuple(
        Table(name, title, frames[name], columns, _RECIPES[name])
        for name, (title, columns) in _TITLES.items()
        if frames[name].height
    )


def entropy_charts(frames: Frames, model: str) -> tuple[Chart, ...]:
    """Those that draw something: entropy of one model and of all, log-probability, divergence points, sizes."""
    drawn = [
        *(_curve(path, "entropy", BORDER, of) for path in PATH_WORDS for of in (model, None)),
        _curve(TRUTH, "log_probability", BORDER, model),
        *(_curve(path, "entropy", DIVERGENCE, model) for path in PATH_WORDS),
    ]
    found = [chart for chart in drawn if frames["curves"].filter(**chart.where).height]
    return (*found, *(_sizes(path) for path in PATH_WORDS if _has_sizes(frames["statistics"], path)))


def _curve(path: str, measure: str, at: str, model: str | None) -> Chart:
    """Of one model a panel a class, beside its control; of all models a panel each, training rows alone."""
    point, title = _POINTS[at]
    own: dict[str, str | int] = {"role": "train"} if model is None else {"model": model}
    name = f"{measure.replace('_', '-')}-{path}" + ("-divergence" if at == DIVERGENCE else "")
    what = measure.replace("_", "-").capitalize()
    return Chart(
        f"{name}-models" if model is None else name,
        f"{what} around {point}, {PATH_WORDS[path]}{'' if model is None else f', {model}'}",
        "lines",
        "curves",
        Axis("offset", title),
        Axis("mean", _UNITS[measure]),
        Axis("class", "rows", "nominal"),
        "mean_lower",
        "mean_upper",
        facet="model" if model is None else "class",
        dash="role",
        where={"path": path, "measure": measure, "alignment": at, "shown": True, **own},
    )


def _sizes(path: str) -> Chart:
    return Chart(
        f"sizes-{path}",
        f"Entropy of the continuation by model size, {PATH_WORDS[path]}",
        "lines",
        "statistics",
        Axis("parameters", "parameters", "log"),
        Axis("value", _UNITS["entropy"]),
        Axis("class", "rows", "nominal"),
        "value_lower",
        "value_upper",
        dash="role",
        where=_size_lines(path),
    )


def _size_lines(path: str) -> dict[str, str | int]:
    return {"path": path, "measure": "entropy", "statistic": IN_CONTINUATION, "alignment": BORDER, "shown": True}


def _has_sizes(statistics: pl.DataFrame, path: str) -> bool:
    return statistics.filter(**_size_lines(path))["parameters"].drop_nulls().n_unique() > 1
