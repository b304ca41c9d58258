"""The tables and charts of the finding `embedding`, each table with its recipe."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import join_with_and
from mematlas.analyses.states.embedding.distances import (
    ALL_STEPS,
    DISTANCE_COLUMNS,
    ONE_STEP,
    SLOPE_COLUMNS,
    state_distances,
    state_slopes,
)
from mematlas.analyses.states.embedding.maps import (
    AXIS_COLUMNS,
    MAP_COLUMNS,
    PCA,
    SEPARATION_COLUMNS,
    UMAP,
    state_axes,
    state_map,
    state_separation,
)
from mematlas.analyses.states.embedding.samples import table_samples
from mematlas.findings.finding import Axis, Chart, Table

Frames = dict[str, pl.DataFrame]
KIND_PHRASES: Final = {"free": "free-running", "truth": "along the truth"}
_TITLES: Final = {
    "distances": ("Distances and cosines within and between score levels by decoding step", DISTANCE_COLUMNS),
    "slopes": ("Change of distances and cosines with model size", SLOPE_COLUMNS),
    "separation": ("Silhouette and nearest-neighbour purity of score levels", SEPARATION_COLUMNS),
    "map": ("Hidden states of the largest model as points of a plane", MAP_COLUMNS),
    "axes": ("What the principal axes of the map explain", AXIS_COLUMNS),
}
_FRAME_FUNCTIONS: Final = {
    "distances": state_distances,
    "separation": state_separation,
    "map": state_map,
    "axes": state_axes,
}
_RECIPES: Final = {
    "distances": "answer = recount.state_distances(recount.state_samples(study))",
    "slopes": "answer = recount.state_slopes(recount.state_distances(recount.state_samples(study)))",
    "separation": "answer = recount.state_separation(recount.state_samples(study))",
    "map": "answer = recount.state_map(recount.state_samples(study))",
    "axes": "answer = recount.state_axes(recount.state_samples(study))",
}
_UNITS: Final = {
    "scaled_distance": ("Scaled distance", "mean distance after scaling (independent rows: about 1)"),
    "scaled_cosine": ("Scaled cosine", "mean cosine after scaling (independent rows: about 0)"),
    "distance": ("Euclidean distance", "mean Euclidean distance, units of the states"),
    "cosine": ("Cosine similarity", "mean cosine similarity"),
}
_MAP_STATES: Final = {
    PCA: ("first (nothing generated yet)", "last of the continuation"),
    UMAP: ("last of the continuation",),
}
_MEASURE_PHRASES: Final = {"silhouette": "mean silhouette", "purity": "nearest-neighbour purity"}


def embedding_frames(tables: Tables) -> Frames:
    """The data frame of each table, possibly empty; the states of one model are in memory at a time."""
    parts: dict[str, list[pl.DataFrame]] = {name: [function([])] for name, function in _FRAME_FUNCTIONS.items()}
    for sample in table_samples(tables):
        for name, function in _FRAME_FUNCTIONS.items():
            parts[name].append(function([sample]))
    result = {name: pl.concat(pieces) for name, pieces in parts.items()}
    return result | {"slopes": state_slopes(result["distances"])}


def embedding_tables(frames: Frames) -> tuple[Table, ...]:
    """The tables of the `embedding_frames` that are not empty."""
    return tuple(
        Table(name, title, frames[name], columns, _RECIPES[name])
        for name, (title, columns) in _TITLES.items()
        if frames[name].height
    )


def embedding_charts(frames: Frames, model: str, kind: str) -> tuple[Chart, ...]:
    """The charts that have data: steps of one model, models by size, separability, maps of the largest model."""
    charts = [
        *(_step_chart(measure, model, kind) for measure in _UNITS),
        *(_size_chart(frames, measure, kind) for measure in ("scaled_distance", "distance", "cosine")),
        *(_separation_chart(frames, measure, model, kind) for measure in _MEASURE_PHRASES),
        *(_map_chart(frames, method, kind) for method in (PCA, UMAP)),
    ]
    return tuple(chart for chart in charts if chart and _draws(frames, chart))


def _draws(frames: Frames, chart: Chart) -> bool:
    """Whether the chart has a point to draw."""
    return bool(frames[chart.table].filter(**chart.where).drop_nulls([chart.x.column, chart.y.column]).height)


def _step_chart(measure: str, model: str, kind: str) -> Chart:
    title, unit = _UNITS[measure]
    return Chart(
        f"{measure.replace('_', '-')}-by-step",
        f"{title} of rows by decoding step, {KIND_PHRASES[kind]}, {model}",
        "lines",
        "distances",
        Axis("step", "tokens generated (0: nothing yet; below 0: context)"),
        Axis(measure, unit, zero=False, bounds=(0, None) if "distance" in measure else (-1, 1)),
        Axis("between", "rows of score level", "nominal"),
        f"{measure}_lower",
        f"{measure}_upper",
        dash="role",
        where={"model": model, "kind": kind, "over": ONE_STEP, "shown": True},
    )


def _size_chart(frames: Frames, measure: str, kind: str) -> Chart | None:
    where: dict[str, str | int] = {"kind": kind, "over": ALL_STEPS, "shown": True, "latest": True}
    if not _has_sizes(frames["distances"].filter(**where)):
        return None
    title, unit = _UNITS[measure]
    return Chart(
        f"{measure.replace('_', '-')}-by-size",
        f"{title} of rows by model size, {KIND_PHRASES[kind]}, mean over decoding steps",
        "lines",
        "distances",
        Axis("parameters", "parameters", "log"),
        Axis(measure, unit, zero=False, bounds=(0, None) if "distance" in measure else (-1, 1)),
        Axis("between", "rows of score level", "nominal"),
        f"{measure}_lower",
        f"{measure}_upper",
        dash="role",
        where=where,
    )


def _has_sizes(frame: pl.DataFrame) -> bool:
    return frame["parameters"].drop_nulls().n_unique() > 1


def _separation_chart(frames: Frames, measure: str, model: str, kind: str) -> Chart:
    """By size, one line per state; or by step if sizes do not differ."""
    where: dict[str, str | int] = {"measure": measure, "kind": kind, "latest": True}
    by_size = _has_sizes(frames["separation"].filter(**where))
    return Chart(
        measure,
        f"{_MEASURE_PHRASES[measure].capitalize()} of score levels, {KIND_PHRASES[kind]}, beside permuted levels",
        "lines",
        "separation",
        Axis("parameters", "parameters", "log") if by_size else Axis("step", "tokens generated"),
        Axis("value", _MEASURE_PHRASES[measure], share=measure == "purity", bounds=(-(measure == "silhouette"), 1)),
        Axis("state", "state", "nominal") if by_size else Axis("role", "levels", "nominal"),
        "value_lower",
        "value_upper",
        dash="role" if by_size else None,
        where=where if by_size else {**where, "model": model},
    )


def _map_chart(frames: Frames, method: str, kind: str) -> Chart:
    points = frames["map"].filter(method=method, kind=kind)
    model = next(iter(points["model"]), "")
    first, second = (_axis_title(frames, method, kind, axis) for axis in (1, 2))
    return Chart(
        f"map-{method.lower()}",
        f"Scaled states of rows of {model}, {KIND_PHRASES[kind]}, by {method}: {join_with_and(_MAP_STATES[method])}",
        "points",
        "map",
        Axis("x", first),
        Axis("y", second, zero=False),
        Axis("level", "score level", "nominal"),
        facet="state",
        where={"method": method, "kind": kind},
    )


def _axis_title(frames: Frames, method: str, kind: str, axis: int) -> str:
    """The name of an axis of a map; of principal components also with the variance that each state has along it."""
    if method != PCA:
        return f"axis {axis} of {method}"
    explained = frames["axes"].filter(kind=kind, axis=axis).select("state", "explained").iter_rows()
    shares = "; ".join(f"{state} state: {share:.0%}" for state, share in explained)
    return f"principal axis {axis} (of the variance, {shares})"
