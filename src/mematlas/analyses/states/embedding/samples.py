"""Rows whose hidden states are compared: training rows balanced over score levels, beside control rows.

Of each model and kind of text at most 600 rows (our choice), drawn once with a fixed seed; their states are taken out
of the record one position at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.levels import LEVELS
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.errors import StudyError
from mematlas.study import HiddenStates, Study

ROWS: Final = 600  # our choice: a step's matrices of so many rows take a few megabytes
CONTROL: Final = "control"
GROUPS: Final = (*LEVELS, CONTROL)
KINDS: Final = ("free", "truth")
_STEPS: Final = 64  # our choice: decoding steps compared at most
_CONTEXT_STEPS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class StateSample:
    """Chosen rows of a model, along one text.

    kind: "free" (the text it wrote itself) or "truth"; role: "train", or "control model" for one that never saw the
    corpus; latest: last checkpoint of its size; largest: the last of these; rows: [n] row ids, ascending; group: [n]
    number in GROUPS; hidden, places: the record, and the line in it of each row; length: of the continuation whose
    score levels were balanced.
    """

    model: str
    kind: str
    role: str
    parameters: int | None
    latest: bool
    largest: bool
    rows: NDArray[np.int64]
    group: NDArray[np.int64]
    hidden: HiddenStates
    places: NDArray[np.int64]
    length: int

    def at(self, step: int) -> NDArray[np.float64]:
        """States from which the token after `step` generated ones is chosen, [n, width]; NaN where a row has none.

        Step 0 is the last token of the context, which is read before anything is generated; earlier tokens of the
        context are below 0.
        """
        return self.hidden.states[self.places, self.hidden.context - 1 + step].astype(np.float64)

    @property
    def steps(self) -> list[int]:
        """The steps that are compared: a few of the context, then every decoding step (64 of more)."""
        context, count = self.hidden.context, self.hidden.states.shape[1] - self.hidden.context + 1
        before = np.linspace(1 - context, 0, _CONTEXT_STEPS, endpoint=False)
        decoding = {*np.linspace(0, count - 1, min(_STEPS, count)).round().astype(int).tolist(), *self.marked.values()}
        return sorted({int(step) for step in before} | {step for step in decoding if 0 <= step < count})

    @property
    def marked(self) -> dict[str, int]:
        """The steps that are spoken of: before anything is generated, and the middle and the last of the length."""
        count = self.hidden.states.shape[1] - self.hidden.context + 1
        last = min(self.length, count) - 1
        return {"first": 0, "middle": last // 2, "last": last}


def state_samples(study: Study, run: str | None = None) -> Iterator[StateSample]:
    """The rows that the finding `embedding` compares, of one model and kind after the other.

    Raises:
        StudyError: the run is not finished, or kept no hidden states.
    """
    tables = read_tables(study, run)
    if not tables.states:
        raise StudyError("The study has no hidden states; score with `--signals hidden`.")
    return samples_of(tables)


def samples_of(tables: Tables) -> Iterator[StateSample]:
    """As `state_samples`, models in the order given; one model's record is held at a time."""
    control = tables.rows.select("row", control=pl.col("role") == CONTROL).collect()
    known = {int(row): bool(is_control) for row, is_control in control.iter_rows()}
    latest = tables.by_size
    for kind in (kind for kind in KINDS if kind in tables.states):
        for model in tables.models["model"]:
            hidden = tables.states[kind](model)
            places, group = _chosen(hidden, known)
            yield StateSample(
                model,
                kind,
                "control model" if model in tables.control_models else "train",
                tables.parameters(model),
                model in latest or model in tables.control_models,
                model == next(iter(reversed(latest)), None),
                hidden.rows[places],
                group,
                hidden,
                places,
                tables.reference.continuation,
            )


def _chosen(hidden: HiddenStates, control: dict[int, bool]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lines of the record to compare, by row id, and their groups: no group has more than it takes to make ROWS."""
    order = np.argsort(hidden.rows, kind="stable")
    order = order[[int(row) in control for row in hidden.rows[order]]]
    is_control = np.array([control[int(row)] for row in hidden.rows[order]], dtype=bool)
    group = np.where(is_control, GROUPS.index(CONTROL), hidden.levels[order].astype(np.int64))
    generator = np.random.default_rng(0)
    most = balanced(np.bincount(group, minlength=len(GROUPS)).tolist(), ROWS)
    taken = [generator.permutation(np.flatnonzero(group == number))[:most] for number in range(len(GROUPS))]
    kept = np.sort(np.concatenate(taken))
    return order[kept], group[kept]


def balanced(sizes: list[int], total: int) -> int:
    """The most rows to take of each group so that all together have at most `total`: small groups stay whole."""
    left = total
    for at, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - at)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)
