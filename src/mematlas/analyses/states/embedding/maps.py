"""Whether score levels are apart in the space of hidden states, and maps of it for the eye.

Source: P1, Fig. 5 (PCA). Silhouettes, nearest-neighbour purity and UMAP are our choice; all in the centred and scaled
space of `state_distances`.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from mematlas.analyses.frames.levels import LEVELS
from mematlas.analyses.states.embedding.distances import FEW
from mematlas.analyses.states.embedding.samples import GROUPS, StateSample, balanced
from mematlas.stats.geometry.distances import euclidean, standardized
from mematlas.stats.geometry.projections import UMAP_FEWEST, principal_components, umap_coordinates, umap_is_installed
from mematlas.stats.geometry.separation import PERMUTATIONS, separation

PCA: Final = "PCA"
UMAP: Final = "UMAP"
MAP_ROWS: Final = 300  # our choice: more points hide each other
SEPARATION: Final = {
    "model": "label of the model",
    "parameters": "weights of the model",
    "latest": "whether it is the last checkpoint of its size",
    "kind": "free: along the text that the model wrote; truth: along the true text",
    "state": "first: before anything is generated; middle and last of the continuation",
    "step": "tokens generated when the state was read",
    "measure": "silhouette: mean of training rows, -1 to 1; purity: share whose nearest other row is of their level",
    "role": f"train: training rows (control model: of a model not trained on them); shuffled: mean of {PERMUTATIONS} "
    "permutations of their levels",
    "rows": f"training rows, of levels with {FEW} at least",
    "levels": "such levels",
    "value": "the measure",
    "value_lower": "2.5 % quantile of the permutations",
    "value_upper": "97.5 % quantile of the permutations",
    "p": "share of permutations that are at least as far apart, the observed one among them",
}
MAP: Final = {
    "model": "label of the model",
    "kind": SEPARATION["kind"],
    "method": "PCA: principal components; UMAP",
    "state": "first: before anything is generated; last of the continuation",
    "step": SEPARATION["step"],
    "row": "row id",
    "level": "score level of a training row, or control",
    "x": "first coordinate",
    "y": "second coordinate",
}
AXES: Final = {
    **{name: MAP[name] for name in ("model", "kind", "state", "step")},
    "rows": "rows on the map",
    "axis": "principal axis",
    "explained": "share of the variance of the scaled states along it",
}
_TYPES: Final[dict[str, Any]] = {
    **dict.fromkeys(("model", "kind", "state", "measure", "role", "method"), pl.String),
    **dict.fromkeys(("parameters", "step", "rows", "levels", "row", "axis"), pl.Int64),
    "latest": pl.Boolean,
    "level": pl.Enum(GROUPS),
}
Lines = list[dict[str, Any]]


def state_separation(samples: Iterable[StateSample]) -> pl.DataFrame:
    """Silhouette and purity of the levels that have enough rows, at three steps, each with its null; columns
    SEPARATION.

    Args:
        samples: as `state_samples` gives them.
    """
    return _framed([line for sample in samples for line in _separations(sample)], SEPARATION)


def _separations(sample: StateSample) -> Lines:
    lines: Lines = []
    for state, step in sample.marked.items():
        distances = euclidean(standardized(sample.at(step)))
        used = (sample.group < len(LEVELS)) & ~np.isnan(np.diag(distances))
        sizes = np.bincount(sample.group[used], minlength=len(GROUPS))
        used &= sizes[sample.group] >= FEW
        levels = int((sizes >= FEW).sum())
        if levels < 2:
            continue
        found = separation(distances[np.ix_(used, used)], sample.group[used])
        for measure, one in found.items():
            key = (sample.model, sample.parameters, sample.latest, sample.kind, state, step, measure)
            own = (sample.role, int(used.sum()), levels, one.estimate, None, None, one.p)
            null = ("shuffled", int(used.sum()), levels, one.null, one.lower, one.upper, None)
            lines += [dict(zip(SEPARATION, (*key, *numbers), strict=True)) for numbers in (own, null)]
    return lines


def state_map(samples: Iterable[StateSample]) -> pl.DataFrame:
    """Coordinates of rows of the largest model at the first and the last step by PCA, and by UMAP at the last where it
    is installed and there are rows enough; columns MAP. Argument: as `state_separation`."""
    return _framed([line for sample in samples if sample.largest for line in _points(sample)], MAP)


def state_axes(samples: Iterable[StateSample]) -> pl.DataFrame:
    """What the axes of `state_map` explain; columns AXES."""
    lines: Lines = []
    for sample in (sample for sample in samples if sample.largest):
        for state, step, places, scaled in _mapped(sample):
            shares = principal_components(scaled)[1]
            key = (sample.model, sample.kind, state, step, len(places))
            lines += [dict(zip(AXES, (*key, at, share), strict=True)) for at, share in enumerate(shares.tolist(), 1)]
    return _framed(lines, AXES)


def _points(sample: StateSample) -> Lines:
    lines: Lines = []
    for state, step, places, scaled in _mapped(sample):
        coordinates = {PCA: principal_components(scaled)[0]}
        if state == "last" and sample.kind == "free" and len(places) >= UMAP_FEWEST and umap_is_installed():
            coordinates[UMAP] = umap_coordinates(scaled)
        for method, points in coordinates.items():
            for place, (x, y) in zip(places.tolist(), points.tolist(), strict=True):
                key = (sample.model, sample.kind, method, state, step, int(sample.rows[place]))
                lines.append(dict(zip(MAP, (*key, GROUPS[sample.group[place]], x, y), strict=True)))
    return lines


def _mapped(sample: StateSample) -> list[tuple[str, int, NDArray[np.int64], NDArray[np.float64]]]:
    """state, step, places of at most MAP_ROWS rows in the sample and their scaled states, where there is something to
    see: three rows that differ."""
    found = []
    for state in ("first", "last"):
        step = sample.marked[state]
        scaled = standardized(sample.at(step))
        known = np.flatnonzero(np.isfinite(scaled).all(1)) if scaled.shape[1] else np.empty(0, np.int64)
        groups = sample.group[known]
        most = balanced(np.bincount(groups, minlength=len(GROUPS)).tolist(), MAP_ROWS)
        generator = np.random.default_rng(2)
        taken = [generator.permutation(known[groups == number])[:most] for number in range(len(GROUPS))]
        places = np.sort(np.concatenate(taken))
        if len(places) >= 3:
            found.append((state, step, places, scaled[places]))
    return found


def _framed(lines: Lines, columns: dict[str, str]) -> pl.DataFrame:
    schema = {name: _TYPES.get(name, pl.Float64) for name in columns}
    return pl.DataFrame(lines, schema=schema, orient="row").with_columns(selectors.float().fill_nan(None))
