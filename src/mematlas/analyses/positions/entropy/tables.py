"""The tables and charts of the finding `entropy`, each table with its recipe."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.positions.entropy.profiles import (
    IN_CONTINUATION,
    SIGNAL_CONTRAST_COLUMNS,
    SIGNAL_PROFILE_COLUMNS,
    SIGNAL_SLOPE_COLUMNS,
    STATISTIC_COLUMNS,
    signal_contrasts,
    signal_curves,
    signal_slopes,
    signal_statistics,
)
from mematlas.analyses.positions.entropy.signals import FREE, TRUTH, Signals
from mematlas.analyses.positions.profiles import BOUNDARY, DIVERGENCE
from mematlas.findings.finding import Axis, Chart, Table

Frames = dict[str, pl.DataFrame]
PATH_PHRASES: Final = {FREE: "free-running", TRUTH: "along the truth"}
_TITLES: Final = {
    "curves": ("Signals by position, aligned on the border and on divergence points", SIGNAL_PROFILE_COLUMNS),
    "statistics": ("Signals over the context and the continuation, and what they do at the border", STATISTIC_COLUMNS),
    "contrasts": ("Memorized beside unmemorized rows", SIGNAL_CONTRAST_COLUMNS),
    "slopes": ("Change with model size", SIGNAL_SLOPE_COLUMNS),
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
_ORIGINS: Final = {
    BOUNDARY: ("the border", "tokens after the border (0: first token to recite)"),
    DIVERGENCE: ("divergence", "tokens after divergence (0: first token not recited)"),
}
_UNITS: Final = {"entropy": "mean entropy, nats", "log_probability": "mean log-probability of the true token, nats"}


def entropy_frames(tables: Tables, rows: pl.DataFrame, signals: Signals) -> Frames:
    """The data frame of each table, possibly empty.

    Args:
        rows: from `rows_of_signals`.
    """
    statistics = signal_statistics(rows, signals, tables.models)
    latest = pl.DataFrame({"model": tables.by_size}, schema={"model": pl.String})
    return {
        "curves": signal_curves(rows, signals),
        "statistics": statistics,
        "contrasts": signal_contrasts(rows, signals),
        "slopes": signal_slopes(statistics, latest),
    }


def entropy_tables(frames: Frames) -> tuple[Table, ...]:
    """The tables of the `entropy_frames` that are not empty."""
    return tuple(
        Table(name, title, frames[name], columns, _RECIPES[name])
        for name, (title, columns) in _TITLES.items()
        if frames[name].height
    )


def entropy_charts(frames: Frames, model: str) -> tuple[Chart, ...]:
    """The charts that have data: entropy of one model and of all, log-probability, divergence points, sizes."""
    charts = [
        *(
            _profile_chart(path, "entropy", BOUNDARY, shown_model)
            for path in PATH_PHRASES
            for shown_model in (model, None)
        ),
        _profile_chart(TRUTH, "log_probability", BOUNDARY, model),
        *(_profile_chart(path, "entropy", DIVERGENCE, model) for path in PATH_PHRASES),
    ]
    nonempty = [chart for chart in charts if frames["curves"].filter(**chart.where).height]
    return (*nonempty, *(_size_chart(path) for path in PATH_PHRASES if _has_sizes(frames["statistics"], path)))


def _profile_chart(path: str, measure: str, alignment: str, model: str | None) -> Chart:
    """For one model: one panel per class, with its control; for all models: one panel per model, training rows only."""
    origin, title = _ORIGINS[alignment]
    filters: dict[str, str | int] = {"role": "train"} if model is None else {"model": model}
    name = f"{measure.replace('_', '-')}-{path}" + ("-divergence" if alignment == DIVERGENCE else "")
    quantity = measure.replace("_", "-").capitalize()
    return Chart(
        f"{name}-models" if model is None else name,
        f"{quantity} around {origin}, {PATH_PHRASES[path]}{'' if model is None else f', {model}'}",
        "lines",
        "curves",
        Axis("offset", title),
        Axis("mean", _UNITS[measure], bounds=(0, None) if measure == "entropy" else (None, 0)),
        Axis("class", "rows", "nominal"),
        "mean_lower",
        "mean_upper",
        facet="model" if model is None else "class",
        dash="role",
        where={"path": path, "measure": measure, "alignment": alignment, "shown": True, **filters},
    )


def _size_chart(path: str) -> Chart:
    return Chart(
        f"sizes-{path}",
        f"Entropy of the continuation by model size, {PATH_PHRASES[path]}",
        "lines",
        "statistics",
        Axis("parameters", "parameters", "log"),
        Axis("value", _UNITS["entropy"], bounds=(0, None)),
        Axis("class", "rows", "nominal"),
        "value_lower",
        "value_upper",
        dash="role",
        where=_size_filter(path),
    )


def _size_filter(path: str) -> dict[str, str | int]:
    return {"path": path, "measure": "entropy", "statistic": IN_CONTINUATION, "alignment": BOUNDARY, "shown": True}


def _has_sizes(statistics: pl.DataFrame, path: str) -> bool:
    return statistics.filter(**_size_filter(path))["parameters"].drop_nulls().n_unique() > 1
