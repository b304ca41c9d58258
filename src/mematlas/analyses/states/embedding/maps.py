"""Whether score levels are separated in the space of hidden states, and two-dimensional maps of it.

Source: P1, Fig. 5 (PCA). Silhouettes, nearest-neighbor purity and UMAP are our choice; all in the centered and scaled
space of `state_distances`.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from mematlas.analyses.states.embedding.distances import MIN_ROWS
from mematlas.analyses.states.embedding.samples import GROUPS, StateSample, max_rows_per_group
from mematlas.metrics.levels import LEVELS
from mematlas.stats.geometry.distances import euclidean_distances, standardize
from mematlas.stats.geometry.projections import UMAP_MIN_ROWS, principal_components, umap_coordinates, umap_is_installed
from mematlas.stats.geometry.separation import PERMUTATIONS, separation

PCA: Final = "PCA"
UMAP: Final = "UMAP"
MAP_ROWS: Final = 300  # our choice: more points hide each other
SEPARATION_COLUMNS: Final = {
    "model": "label of the model",
    "parameters": "weights of the model",
    "latest": "whether it is the last checkpoint of its size",
    "kind": "free: along the text that the model wrote; truth: along the true text",
    "state": "first: before anything is generated; middle and last of the continuation",
    "step": "tokens generated when the state was read",
    "measure": "silhouette: mean of training rows, -1 to 1; purity: share whose nearest other row is of their level",
    "role": f"train: training rows (control model: of a model not trained on them); shuffled: mean of {PERMUTATIONS} "
    "permutations of their levels, in whole documents where rows come in documents",
    "rows": f"training rows, of levels with {MIN_ROWS} at least",
    "levels": "such levels",
    "clusters": "clusters of these rows: documents, joined where they share 13 tokens; else rows",
    "value": "the measure",
    "value_lower": "2.5 % quantile of the permutations",
    "value_upper": "97.5 % quantile of the permutations",
    "p": "share of permutations that are at least as far apart, the observed one among them",
}
MAP_COLUMNS: Final = {
    "model": "label of the model",
    "kind": SEPARATION_COLUMNS["kind"],
    "method": "PCA: principal components; UMAP",
    "state": "first: before anything is generated; last of the continuation",
    "step": SEPARATION_COLUMNS["step"],
    "row": "row id",
    "level": "score level of a training row, or control",
    "x": "first coordinate",
    "y": "second coordinate",
}
AXIS_COLUMNS: Final = {
    **{name: MAP_COLUMNS[name] for name in ("model", "kind", "state", "step")},
    "rows": "rows on the map",
    "axis": "principal axis",
    "explained": "share of the variance of the scaled states along it",
}
_TYPES: Final[dict[str, Any]] = {
    **dict.fromkeys(("model", "kind", "state", "measure", "role", "method"), pl.String),
    **dict.fromkeys(("parameters", "step", "rows", "levels", "clusters", "row", "axis"), pl.Int64),
    "latest": pl.Boolean,
    "level": pl.Enum(GROUPS),
}
Records = list[dict[str, Any]]


def state_separation(samples: Iterable[StateSample]) -> pl.DataFrame:
    """Silhouette and purity of the levels with enough rows, at three steps; columns SEPARATION_COLUMNS.

    Each record is followed by one for permuted levels (role "shuffled").

    Args:
        samples: from `state_samples`.
    """
    return _to_frame([record for sample in samples for record in _separation_records(sample)], SEPARATION_COLUMNS)


def _separation_records(sample: StateSample) -> Records:
    records: Records = []
    for state, step in sample.headline_steps.items():
        distances = euclidean_distances(standardize(sample.states_at(step)))
        is_used = (sample.group < len(LEVELS)) & ~np.isnan(np.diag(distances))
        sizes = np.bincount(sample.group[is_used], minlength=len(GROUPS))
        is_used &= sizes[sample.group] >= MIN_ROWS
        levels = int((sizes >= MIN_ROWS).sum())
        if levels < 2:
            continue
        clusters = sample.clusters[is_used]
        measures = separation(distances[np.ix_(is_used, is_used)], sample.group[is_used], clusters=clusters)
        sizes_of_table = (int(is_used.sum()), levels, len(np.unique(clusters)))
        for measure, result in measures.items():
            key = (sample.model, sample.parameters, sample.latest, sample.kind, state, step, measure)
            numbers = (sample.role, *sizes_of_table, result.estimate, None, None, result.p)
            null_interval = (result.null_mean, result.null_lower, result.null_upper)
            null_numbers = ("shuffled", *sizes_of_table, *null_interval, None)
            records += [
                dict(zip(SEPARATION_COLUMNS, (*key, *values), strict=True)) for values in (numbers, null_numbers)
            ]
    return records


def state_map(samples: Iterable[StateSample]) -> pl.DataFrame:
    """Two-dimensional coordinates of rows of the largest model; columns MAP_COLUMNS.

    By PCA at the first and the last step, and by UMAP at the last if it is installed and there are enough rows.

    Args:
        samples: from `state_samples`.
    """
    return _to_frame([record for sample in samples if sample.largest for record in _map_records(sample)], MAP_COLUMNS)


def state_axes(samples: Iterable[StateSample]) -> pl.DataFrame:
    """The variance that the axes of `state_map` explain; columns AXIS_COLUMNS."""
    records: Records = []
    for sample in (sample for sample in samples if sample.largest):
        for state, step, indices, scaled in _mapped_states(sample):
            shares = principal_components(scaled)[1]
            key = (sample.model, sample.kind, state, step, len(indices))
            records += [
                dict(zip(AXIS_COLUMNS, (*key, axis, share), strict=True))
                for axis, share in enumerate(shares.tolist(), 1)
            ]
    return _to_frame(records, AXIS_COLUMNS)


def _map_records(sample: StateSample) -> Records:
    records: Records = []
    for state, step, indices, scaled in _mapped_states(sample):
        coordinates = {PCA: principal_components(scaled)[0]}
        is_mapped = state == "last" and sample.kind == "free" and len(indices) >= UMAP_MIN_ROWS
        if is_mapped and scaled.shape[1] > 1 and umap_is_installed():  # UMAP begins with two principal components
            coordinates[UMAP] = umap_coordinates(scaled)
        for method, points in coordinates.items():
            for index, (x, y) in zip(indices.tolist(), points.tolist(), strict=True):
                key = (sample.model, sample.kind, method, state, step, int(sample.rows[index]))
                records.append(dict(zip(MAP_COLUMNS, (*key, GROUPS[sample.group[index]], x, y), strict=True)))
    return records


def _mapped_states(sample: StateSample) -> list[tuple[str, int, NDArray[np.int64], NDArray[np.float64]]]:
    """state, step, indices in the sample of at most MAP_ROWS rows, and their scaled states; needs three such rows."""
    mapped = []
    for state in ("first", "last"):
        step = sample.headline_steps[state]
        scaled = standardize(sample.states_at(step))
        finite_rows = np.flatnonzero(np.isfinite(scaled).all(1)) if scaled.shape[1] else np.empty(0, np.int64)
        row_group = sample.group[finite_rows]
        max_rows = max_rows_per_group(np.bincount(row_group, minlength=len(GROUPS)).tolist(), MAP_ROWS)
        generator = np.random.default_rng(2)
        sampled = [generator.permutation(finite_rows[row_group == number])[:max_rows] for number in range(len(GROUPS))]
        indices = np.sort(np.concatenate(sampled))
        if len(indices) >= 3:
            mapped.append((state, step, indices, scaled[indices]))
    return mapped


def _to_frame(records: Records, columns: dict[str, str]) -> pl.DataFrame:
    schema = {name: _TYPES.get(name, pl.Float64) for name in columns}
    return pl.DataFrame(records, schema=schema, orient="row").with_columns(selectors.float().fill_nan(None))
