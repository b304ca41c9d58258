"""Distances and cosines between rows by decoding step, within and between score levels, and their change with size.

Source: P1, Fig. 5. Shuffled levels and control rows are added for comparison; the scaled forms are our choice
(stats/geometry/distances.py).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from mematlas.analyses.states.embedding.samples import CONTROL, GROUPS, StateSample
from mematlas.executors.threads import map_in_threads, threads_beside_blas
from mematlas.metrics.levels import LEVELS
from mematlas.stats.geometry.distances import cosine_similarities, euclidean_distances, standardize
from mematlas.stats.geometry.group_pairs import GroupPairs
from mematlas.stats.geometry.labeled_pairs import Labelings
from mematlas.stats.hypotheses.label_shuffles import SHUFFLES, label_shuffles, mean_and_middle
from mematlas.stats.regression.curves import fit_log_linear

_MOST_THREADS: Final = 2  # each has the matrices of one step
MIN_ROWS: Final = 10  # our choice: levels with fewer rows are neither cited nor drawn
LOWEST, HIGHEST, ALL_LEVELS = LEVELS[0], LEVELS[-1], "all levels"
LOWEST_TO_HIGHEST: Final = f"{LOWEST} to {HIGHEST}"
MEASURES: Final = ("scaled_distance", "scaled_cosine", "distance", "cosine")
ONE_STEP, ALL_STEPS = "one step", "all decoding steps"
_UNITS: Final = {
    "scaled_distance": "mean distance after scaling (two independent rows: about 1)",
    "scaled_cosine": "mean cosine after scaling (two independent rows: about 0)",
    "distance": "mean Euclidean distance of the states as they are",
    "cosine": "mean cosine of the states as they are",
}
_KEY_COLUMNS: Final = {
    "model": "label of the model",
    "parameters": "weights of the model",
    "latest": "whether it is the last checkpoint of its size",
    "kind": "free: along the text that the model wrote; truth: along the true text",
}
DISTANCE_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "over": "one step, or the mean over all decoding steps that are compared (of rows that have them all)",
    "step": "tokens generated when the state was read; 0: the last token of the context, below 0: tokens before it",
    "role": "train: training rows; shuffled: the same with their levels shuffled (in whole documents where rows come "
    f"in documents), mean and middle 95 % of {SHUFFLES} shuffles; control: rows no model was trained on are in it; "
    "control model: training rows, seen by a model that was not trained on them",
    "between": "score levels of the two rows; one name: both are of it",
    "first_rows": "rows of the first",
    "second_rows": "rows of the second",
    "pairs": "pairs of different rows",
    "clusters": "clusters that these rows come from: documents, joined where they share 13 tokens; else rows",
    **{
        name + end: meaning
        for measure, unit in _UNITS.items()
        for name, end, meaning in (
            (measure, "", unit),
            (measure, "_lower", "lower end of its jackknife 95 % interval"),
            (measure, "_upper", "upper end of its jackknife 95 % interval"),
        )
    },
    "shown": f"whether it is drawn: lowest and highest level and control, {MIN_ROWS} rows of each, up to the end of "
    "the continuation that levels are of",
}
SLOPE_COLUMNS: Final = {
    "kind": _KEY_COLUMNS["kind"],
    "role": "train: training rows; shuffled: mean of their levels shuffled",
    "between": DISTANCE_COLUMNS["between"],
    "measure": "distance or cosine, as it is or scaled; mean over all decoding steps",
    "models": "models of different size",
    "slope": "change of the measure per tenfold of parameters",
    "slope_lower": "lower end of its 95 % interval (how well the models lie on a line)",
    "slope_upper": "upper end of its 95 % interval",
}
_TYPES: Final = {
    **dict.fromkeys(("model", "kind", "over", "role", "between", "measure"), pl.String),
    **dict.fromkeys(("parameters", "step", "first_rows", "second_rows", "pairs", "clusters", "models"), pl.Int64),
    **dict.fromkeys(("latest", "shown"), pl.Boolean),
}
_SHUFFLED: Final = "shuffled"
_ALL_LEVELS_COLUMN: Final = len(GROUPS)  # column of all training rows in the membership matrix, after the groups
Pair = tuple[str, str, tuple[int, int]]
Interval = tuple[float, float, float]
Matrices = dict[str, NDArray[np.float64]]


def state_distances(samples: Iterable[StateSample]) -> pl.DataFrame:
    """Mean distances and cosines of each model and kind, by step and over all decoding steps; columns DISTANCE_COLUMNS.

    Args:
        samples: from `state_samples`.
    """
    parts = [_to_frame([], DISTANCE_COLUMNS)]
    parts += [_to_frame([*_distance_records(sample)], DISTANCE_COLUMNS) for sample in samples]
    return pl.concat(parts)


def state_slopes(distances: pl.DataFrame) -> pl.DataFrame:
    """Change of the means over all decoding steps per tenfold of parameters; columns SLOPE_COLUMNS.

    Unweighted least squares over the last checkpoint of each size.

    Args:
        distances: from `state_distances`.
    """
    all_steps = distances.filter("latest", pl.col("role").is_in(["train", "shuffled"]), over=ALL_STEPS)
    records = []
    for key, points in all_steps.drop_nulls("parameters").group_by("kind", "role", "between", maintain_order=True):
        for measure in MEASURES:
            known_points = points.drop_nulls(measure)
            fit = fit_log_linear(known_points["parameters"], known_points[measure])
            if fit.slope is not None:
                numbers = (fit.count, fit.slope, fit.lower, fit.upper)
                records.append(dict(zip(SLOPE_COLUMNS, (*key, measure, *numbers), strict=True)))
    return _to_frame(records, SLOPE_COLUMNS)


def _to_frame(records: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    schema = {name: _TYPES.get(name, pl.Float64) for name in columns}
    return pl.DataFrame(records, schema=schema, orient="row").with_columns(selectors.float().fill_nan(None))


def _distance_records(sample: StateSample) -> Iterator[dict[str, Any]]:
    """The records of each step, then those of the mean over decoding steps."""
    pairs, shuffled = _pairs(sample), _shuffled_levels(sample)
    of_groups = GroupPairs(_members(sample), [columns for *_, columns in pairs], sample.clusters)

    def compare(step: int) -> tuple[Matrices, list[dict[str, Any]]]:
        matrices = _matrices(sample.states_at(step))
        return matrices, [*_step_records(sample, matrices, of_groups, shuffled, step)]

    sums: Matrices = {}
    steps = sample.steps
    compared = map_in_threads(compare, steps, threads_beside_blas(_MOST_THREADS))
    for step, (matrices, records) in zip(steps, compared, strict=True):
        yield from records
        if step >= 0:
            sums = {name: matrix + sums.get(name, 0) for name, matrix in matrices.items()}
    count = sum(step >= 0 for step in steps)
    yield from _step_records(sample, {name: matrix / count for name, matrix in sums.items()}, of_groups, shuffled, None)


def _matrices(states: NDArray[np.float64]) -> Matrices:
    scaled = standardize(states)
    return {
        "scaled_distance": euclidean_distances(scaled),
        "scaled_cosine": cosine_similarities(scaled),
        "distance": euclidean_distances(states),
        "cosine": cosine_similarities(states),
    }


def _members(sample: StateSample) -> NDArray[np.bool_]:
    """Membership, [rows, columns]: in each group, then in any level."""
    in_group = sample.group[:, None] == np.arange(len(GROUPS))
    return np.hstack([in_group, sample.group[:, None] < len(LEVELS)])


def _shuffled_levels(sample: StateSample) -> Labelings | None:
    """Levels shuffled among the training rows, other rows left out; None for a control model."""
    if sample.role != "train":
        return None
    train = np.flatnonzero(sample.group < len(LEVELS))
    labels = np.full((SHUFFLES, len(sample.group)), -1)
    sources = label_shuffles(len(train), sample.clusters[train], SHUFFLES, np.random.default_rng(1))
    for shuffled, rows in zip(labels, sources, strict=True):
        shuffled[train] = sample.group[train[rows]]
    return Labelings(labels, len(LEVELS))


def _pairs(sample: StateSample) -> list[Pair]:
    """role, name and two columns of `_members` for each pair of groups to compare."""
    levels, control, every = range(len(LEVELS)), GROUPS.index(CONTROL), _ALL_LEVELS_COLUMN
    names = {
        (first, second): LEVELS[first] if first == second else f"{LEVELS[first]} to {LEVELS[second]}"
        for first in levels
        for second in levels[first:]
    }
    return [
        *((sample.role, name, columns) for columns, name in names.items()),
        (sample.role, ALL_LEVELS, (every, every)),
        ("control", CONTROL, (control, control)),
        *(("control", f"{LEVELS[level]} to {CONTROL}", (level, control)) for level in (0, len(LEVELS) - 1)),
    ]


def _is_drawn(role: str, name: str, step: int | None, length: int) -> bool:
    """Whether a pair is drawn: only a few, up to the end of the continuation; for shuffled levels only one."""
    if step is None and name == ALL_LEVELS:
        return True
    names = (LOWEST_TO_HIGHEST,) if role == _SHUFFLED else (LOWEST, HIGHEST, LOWEST_TO_HIGHEST, CONTROL)
    return name in names and (step is None or step < length)


def _step_records(
    sample: StateSample,
    matrices: Matrices,
    of_groups: GroupPairs,
    shuffled_levels: Labelings | None,
    step: int | None,
) -> Iterator[dict[str, Any]]:
    """The records of one step, for the pairs of groups that have pairs of rows; step: None for the mean over all."""
    means = {name: of_groups.means(matrix) for name, matrix in matrices.items()}
    shuffled = {} if shuffled_levels is None else _shuffled_means(matrices, shuffled_levels)
    sizes = means["distance"]
    key = (sample.model, sample.parameters, sample.latest, sample.kind, ONE_STEP if step is not None else ALL_STEPS)
    for index, (role, name, pair) in enumerate(_pairs(sample)):
        if not sizes.count[index]:
            continue
        rows = int(sizes.first_rows[index]), int(sizes.second_rows[index])
        counts = (*rows, int(sizes.count[index]), int(sizes.clusters[index]))
        numbers = {role: [(mean.estimate[index], mean.lower[index], mean.upper[index]) for mean in means.values()]}
        if pair in shuffled:
            numbers[_SHUFFLED] = shuffled[pair]
        for of, intervals in numbers.items():
            shown = min(rows) >= MIN_ROWS and _is_drawn(of, name, step, sample.length)
            values = (*key, step, of, name, *counts, *(number for ends in intervals for number in ends), shown)
            yield dict(zip(DISTANCE_COLUMNS, values, strict=True))


def _shuffled_means(matrices: Matrices, shuffled_levels: Labelings) -> dict[tuple[int, int], list[Interval]]:
    """Pair of levels -> for each matrix the mean over shuffles and the middle 95 % of them."""
    levels = np.arange(len(LEVELS))
    pairs = [(int(first), int(second)) for first in levels for second in levels[first:]]
    firsts, seconds = zip(*pairs, strict=True)
    means = [shuffled_levels.pair_means(matrix)[:, firsts, seconds] for matrix in matrices.values()]
    intervals = [np.stack(mean_and_middle(values), axis=1) for values in means]
    return {pair: [tuple(numbers[index]) for numbers in intervals] for index, pair in enumerate(pairs)}
