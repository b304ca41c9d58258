"""The tables and charts of the finding `embedding`, each table with its recipe."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import listed
from mematlas.analyses.states.embedding.distances import (
    ALL_STEPS,
    DISTANCES,
    ONE_STEP,
    SLOPES,
    state_distances,
    state_slopes,
)
from mematlas.analyses.states.embedding.maps import (
    AXES,
    MAP,
    PCA,
    SEPARATION,
    UMAP,
    state_axes,
    state_map,
    state_separation,
)
from mematlas.analyses.states.embedding.samples import samples_of
from mematlas.findings.finding import Axis, Chart, Table

Frames = dict[str, pl.DataFrame]
KIND_WORDS: Final = {"free": "free-running", "truth": "along the truth"}
_TITLES: Final = {
    "distances": ("Distances and cosines within and between score levels by decoding step", DISTANCES),
    "slopes": ("Change of distances and cosines with model size", SLOPES),
    "separation": ("Silhouette and nearest-neighbour purity of score levels", SEPARATION),
    "map": ("Hidden states of the largest model as points of a plane", MAP),
    "axes": ("What the principal axes of the map explain", AXES),
}
_MAKERS: Final = {
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
_MAPPED: Final = {
    PCA: ("first (nothing generated yet)", "last of the continuation"),
    UMAP: ("last of the continuation",),
}
_WORDS: Final = {"silhouette": "mean silhouette", "purity": "nearest-neighbour purity"}


def embedding_frames(tables: Tables) -> Frames:
    """The numbers by table, each perhaps without a line; the states of one model are held at a time."""
    parts: dict[str, list[pl.DataFrame]] = {name: [make([])] for name, make in _MAKERS.items()}
    for sample in samples_of(tables):
        for name, make in _MAKERS.items():
            parts[name].append(make([sample]))
    found = {name: pl.concat(frames) for name, frames in parts.items()}
    return found | {"slopes": state_slopes(found["distances"])}


def embedding_tables(frames: Frames) -> tuple[Table, ...]:
    """The `embedding_frames` that hold a line."""
    return tuple(
        Table(name, title, frames[name], columns, _RECIPES[name])
        for name, (title, columns) in _TITLES.items()
        if frames[name].height
    )


def embedding_charts(frames: Frames, model: str, kind: str) -> tuple[Chart, ...]:
    """Those that draw something: steps of one model, models by size, separability, maps of the largest model."""
    drawn = [
        *(_steps(measure, model, kind) for measure in _UNITS),
        *(_sizes(frames, measure, kind) for measure in ("scaled_distance", "distance", "cosine")),
        *(_separation(frames, measure, model, kind) for measure in _WORDS),
        *(_map(frames, method, kind) for method in (PCA, UMAP)),
    ]
    return tuple(chart for chart in drawn if chart and _draws(frames, chart))


def _draws(frames: Frames, chart: Chart) -> bool:
    """Whether a point has a place."""
    return bool(frames[chart.table].filter(**chart.where).drop_nulls([chart.x.column, chart.y.column]).height)


def _steps(measure: str, model: str, kind: str) -> Chart:
    title, unit = _UNITS[measure]
    return Chart(
        f"{measure.replace('_', '-')}-by-step",
        f"{title} of rows by decoding step, {KIND_WORDS[kind]}, {model}",
        "lines",
        "distances",
        Axis("step", "tokens generated (0: nothing yet; below 0: context)"),
        Axis(measure, unit, zero=False),
        Axis("between", "rows of score level", "nominal"),
        f"{measure}_lower",
        f"{measure}_upper",
        dash="role",
        where={"model": model, "kind": kind, "over": ONE_STEP, "shown": True},
    )


def _sizes(frames: Frames, measure: str, kind: str) -> Chart | None:
    where: dict[str, str | int] = {"kind": kind, "over": ALL_STEPS, "shown": True, "latest": True}
    if not _has_sizes(frames["distances"].filter(**where)):
        return None
    title, unit = _UNITS[measure]
    return Chart(
        f"{measure.replace('_', '-')}-by-size",
        f"{title} of rows by model size, {KIND_WORDS[kind]}, mean over decoding steps",
        "lines",
        "distances",
        Axis("parameters", "parameters", "log"),
        Axis(measure, unit, zero=False),
        Axis("between", "rows of score level", "nominal"),
        f"{measure}_lower",
        f"{measure}_upper",
        dash="role",
        where=where,
    )


def _has_sizes(frame: pl.DataFrame) -> bool:
    return frame["parameters"].drop_nulls().n_unique() > 1


def _separation(frames: Frames, measure: str, model: str, kind: str) -> Chart:
    """By size, a line a state; by step where there are no sizes."""
    where: dict[str, str | int] = {"measure": measure, "kind": kind, "latest": True}
    by_size = _has_sizes(frames["separation"].filter(**where))
    return Chart(
        measure,
        f"{_WORDS[measure].capitalize()} of score levels, {KIND_WORDS[kind]}, beside permuted levels",
        "lines",
        "separation",
        Axis("parameters", "parameters", "log") if by_size else Axis("step", "tokens generated"),
        Axis("value", _WORDS[measure], share=measure == "purity"),
        Axis("state", "state", "nominal") if by_size else Axis("role", "levels", "nominal"),
        "value_lower",
        "value_upper",
        dash="role" if by_size else None,
        where=where if by_size else {**where, "model": model},
    )


def _map(frames: Frames, method: str, kind: str) -> Chart:
    here = frames["map"].filter(method=method, kind=kind)
    model = next(iter(here["model"]), "")
    return Chart(
        f"map-{method.lower()}",
        f"Scaled states of rows of {model}, {KIND_WORDS[kind]}, by {method}: {listed(_MAPPED[method])}",
        "points",
        "map",
        Axis("x", f"first axis of {method}"),
        Axis("y", f"second axis of {method}", zero=False),
        Axis("level", "score level", "nominal"),
        facet="state",
        where={"method": method, "kind": kind},
    )
