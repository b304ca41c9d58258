"""Distances and cosines between rows by decoding step, within and between score levels, and their change with size.

Source: P1, Fig. 5. Shuffled levels and control rows stand beside; the scaled forms are our choice (stats/distances.py).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from mematlas.analyses.frames.levels import LEVELS
from mematlas.analyses.states.embedding.samples import CONTROL, GROUPS, StateSample
from mematlas.stats.geometry.distances import cosine, euclidean, pair_means, standardized
from mematlas.stats.regression.curves import fit_line

FEW: Final = 10  # our choice: fewer rows of a level are not spoken of, nor drawn
LOWEST, HIGHEST, EVERY = LEVELS[0], LEVELS[-1], "all levels"
BETWEEN: Final = f"{LOWEST} to {HIGHEST}"
MEASURES: Final = ("scaled_distance", "scaled_cosine", "distance", "cosine")
ONE_STEP, ALL_STEPS = "one step", "all decoding steps"
_UNITS: Final = {
    "scaled_distance": "mean distance after scaling (two independent rows: about 1)",
    "scaled_cosine": "mean cosine after scaling (two independent rows: about 0)",
    "distance": "mean Euclidean distance of the states as they are",
    "cosine": "mean cosine of the states as they are",
}
_OF: Final = {
    "model": "label of the model",
    "parameters": "weights of the model",
    "latest": "whether it is the last checkpoint of its size",
    "kind": "free: along the text that the model wrote; truth: along the true text",
}
DISTANCES: Final = {
    **_OF,
    "over": "one step, or the mean over all decoding steps that are compared (of rows that have them all)",
    "step": "tokens generated when the state was read; 0: the last token of the context, below 0: tokens before it",
    "role": "train: training rows; shuffled: their levels permuted; control: rows no model was trained on are in it; "
    "control model: training rows, seen by a model that was not trained on them",
    "between": "score levels of the two rows; one name: both are of it",
    "first_rows": "rows of the first",
    "second_rows": "rows of the second",
    "pairs": "pairs of different rows",
    **{
        name + end: meaning
        for measure, unit in _UNITS.items()
        for name, end, meaning in (
            (measure, "", unit),
            (measure, "_lower", "lower end of its jackknife 95 % interval"),
            (measure, "_upper", "upper end of its jackknife 95 % interval"),
        )
    },
    "shown": f"whether it is drawn: lowest and highest level and control, {FEW} rows of each, up to the end of the "
    "continuation that levels are of",
}
SLOPES: Final = {
    "kind": _OF["kind"],
    "role": "train: training rows; shuffled: their levels permuted",
    "between": DISTANCES["between"],
    "measure": "distance or cosine, as it is or scaled; mean over all decoding steps",
    "models": "models of different size",
    "slope": "change of the measure per tenfold of parameters",
    "slope_lower": "lower end of its 95 % interval (how well the models lie on a line)",
    "slope_upper": "upper end of its 95 % interval",
}
_TYPES: Final = {
    **dict.fromkeys(("model", "kind", "over", "role", "between", "measure"), pl.String),
    **dict.fromkeys(("parameters", "step", "first_rows", "second_rows", "pairs", "models"), pl.Int64),
    **dict.fromkeys(("latest", "shown"), pl.Boolean),
}
# columns of the members: the groups, then the levels permuted among training rows, then all of these
_EVERY: Final = len(GROUPS) + len(LEVELS)
Pair = tuple[str, str, tuple[int, int]]
Matrices = dict[str, NDArray[np.float64]]


def state_distances(samples: Iterable[StateSample]) -> pl.DataFrame:
    """Mean distances and cosines of each model and kind, at each step and over all decoding steps; columns DISTANCES.

    Args:
        samples: as `state_samples` gives them.
    """
    parts = [_framed([], DISTANCES)]
    parts += [_framed([*_lines(sample)], DISTANCES) for sample in samples]
    return pl.concat(parts)


def state_slopes(distances: pl.DataFrame) -> pl.DataFrame:
    """How the means over all decoding steps change per tenfold of parameters, least squares over models that stand for
    a size, each weighing the same; columns SLOPES.

    Args:
        distances: as `state_distances`.
    """
    drawn = distances.filter("latest", pl.col("role").is_in(["train", "shuffled"]), over=ALL_STEPS)
    lines = []
    for key, part in drawn.drop_nulls("parameters").group_by("kind", "role", "between", maintain_order=True):
        for measure in MEASURES:
            known = part.drop_nulls(measure)
            line = fit_line(known["parameters"], known[measure])
            if line.slope is not None:
                numbers = (line.count, line.slope, line.lower, line.upper)
                lines.append(dict(zip(SLOPES, (*key, measure, *numbers), strict=True)))
    return _framed(lines, SLOPES)


def _framed(lines: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    schema = {name: _TYPES.get(name, pl.Float64) for name in columns}
    return pl.DataFrame(lines, schema=schema, orient="row").with_columns(selectors.float().fill_nan(None))


def _lines(sample: StateSample) -> Iterator[dict[str, Any]]:
    """Of each step, then of the mean over decoding steps."""
    members, pairs = _members(sample), [*_pairs(sample)]
    total: Matrices = {}
    steps = sample.steps
    for step in steps:
        found = _matrices(sample.at(step))
        yield from _told(sample, found, members, pairs, step)
        if step >= 0:
            total = {name: matrix + total.get(name, 0) for name, matrix in found.items()}
    count = sum(step >= 0 for step in steps)
    yield from _told(sample, {name: matrix / count for name, matrix in total.items()}, members, pairs, None)


def _matrices(states: NDArray[np.float64]) -> Matrices:
    scaled = standardized(states)
    return {
        "scaled_distance": euclidean(scaled),
        "scaled_cosine": cosine(scaled),
        "distance": euclidean(states),
        "cosine": cosine(states),
    }


def _members(sample: StateSample) -> NDArray[np.bool_]:
    """[rows, columns]: which rows are of each group, then of each shuffled level, then of any level."""
    train = sample.group < len(LEVELS)
    shuffled = np.full(len(train), -1)
    shuffled[train] = np.random.default_rng(1).permutation(sample.group[train])
    own = sample.group[:, None] == np.arange(len(GROUPS))
    return np.hstack([own, shuffled[:, None] == np.arange(len(LEVELS)), train[:, None]])


def _pairs(sample: StateSample) -> Iterator[Pair]:
    """role, name and the two columns of the members."""
    levels = range(len(LEVELS))
    for one in levels:
        for other in levels[one:]:
            name = LEVELS[one] if one == other else f"{LEVELS[one]} to {LEVELS[other]}"
            yield sample.role, name, (one, other)
            if sample.role == "train":
                yield "shuffled", name, (len(GROUPS) + one, len(GROUPS) + other)
    control = GROUPS.index(CONTROL)
    yield sample.role, EVERY, (_EVERY, _EVERY)
    yield "control", CONTROL, (control, control)
    yield from (("control", f"{LEVELS[at]} to {CONTROL}", (at, control)) for at in (0, len(LEVELS) - 1))


def _is_drawn(role: str, name: str, step: int | None, length: int) -> bool:
    """Few lines, up to the end of the continuation whose levels they are of; of shuffled levels one says it all."""
    if step is None and name == EVERY:
        return True
    names = (BETWEEN,) if role == "shuffled" else (LOWEST, HIGHEST, BETWEEN, CONTROL)
    return name in names and (step is None or step < length)


def _told(
    sample: StateSample, matrices: Matrices, members: NDArray[np.bool_], pairs: list[Pair], step: int | None
) -> Iterator[dict[str, Any]]:
    """The lines of one step whose pairs of groups have pairs of rows; step: None for the mean over all."""
    means = {name: pair_means(matrix, members, [columns for *_, columns in pairs]) for name, matrix in matrices.items()}
    for at, (role, name, _) in enumerate(pairs):
        counts = means["distance"]
        if not counts.count[at]:
            continue
        numbers = [end for mean in means.values() for end in (mean.estimate[at], mean.lower[at], mean.upper[at])]
        rows = int(counts.first[at]), int(counts.second[at])
        drawn = min(rows) >= FEW and _is_drawn(role, name, step, sample.length)
        key = (sample.model, sample.parameters, sample.latest, sample.kind, ONE_STEP if step is not None else ALL_STEPS)
        line = (*key, step, role, name, *rows, int(counts.count[at]), *numbers, drawn)
        yield dict(zip(DISTANCES, line, strict=True))
