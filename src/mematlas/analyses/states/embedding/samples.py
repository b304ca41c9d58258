"""Rows whose hidden states are compared: training rows balanced over score levels, and control rows.

At most 600 rows per model and kind of text (our choice), sampled once with a fixed seed; their states are read one
position at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.errors import StudyError
from mematlas.metrics.levels import LEVELS
from mematlas.study import HiddenStates, Study

MAX_ROWS: Final = 600  # our choice: one step's matrices of so many rows take a few megabytes
CONTROL: Final = "control"
GROUPS: Final = (*LEVELS, CONTROL)
TEXT_KINDS: Final = ("free", "truth")
_STEPS: Final = 64  # our choice: maximum number of decoding steps to compare
_CONTEXT_STEPS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class StateSample:
    """Sampled rows of a model, along one text.

    kind: "free" (the text it wrote itself) or "truth"; role: "train", or "control model" for one that never saw the
    corpus; latest: last checkpoint of its size; largest: the last of these; rows: [n] row ids, ascending; group: [n]
    index in GROUPS; clusters: [n], rows of one number are not independent; hidden: the record of hidden states;
    indices: [n] position of each row in that record; length: tokens of the continuation whose score levels were
    balanced.
    """

    model: str
    kind: str
    role: str
    parameters: int | None
    latest: bool
    largest: bool
    rows: NDArray[np.int64]
    group: NDArray[np.int64]
    clusters: NDArray[np.int64]
    hidden: HiddenStates
    indices: NDArray[np.int64]
    length: int

    def states_at(self, step: int) -> NDArray[np.float64]:
        """States that predict the token after `step` generated ones, [n, width]; NaN where a row has none.

        Step 0 is the last token of the context, read before anything is generated; earlier tokens of the context have
        negative steps.
        """
        return self.hidden.states[self.indices, self.hidden.context - 1 + step].astype(np.float64)

    @property
    def steps(self) -> list[int]:
        """The steps to compare: a few of the context, then every decoding step (or 64 of them if there are more)."""
        context, count = self.hidden.context, self.hidden.states.shape[1] - self.hidden.context + 1
        context_steps = np.linspace(1 - context, 0, _CONTEXT_STEPS, endpoint=False)
        decoding_steps = {
            *np.linspace(0, count - 1, min(_STEPS, count)).round().astype(int).tolist(),
            *self.headline_steps.values(),
        }
        return sorted({int(step) for step in context_steps} | {step for step in decoding_steps if 0 <= step < count})

    @property
    def headline_steps(self) -> dict[str, int]:
        """The steps that claims cite: before anything is generated, and the middle and end of the continuation."""
        count = self.hidden.states.shape[1] - self.hidden.context + 1
        last = min(self.length, count) - 1
        return {"first": 0, "middle": last // 2, "last": last}


def state_samples(study: Study, run: str | None = None) -> Iterator[StateSample]:
    """The rows that the finding `embedding` compares, one sample per model and kind of text.

    Raises:
        StudyError: the run is not finished, or recorded no hidden states.
    """
    tables = read_tables(study, run)
    if not tables.states:
        raise StudyError("The study has no hidden states; score with `--signals hidden`.")
    return table_samples(tables)


def table_samples(tables: Tables) -> Iterator[StateSample]:
    """Like `state_samples`, models in the order given; one model's record is in memory at a time."""
    rows = tables.clustered_rows.select("row", "cluster", control=pl.col("role") == CONTROL).collect()
    is_control_by_row = dict(rows.select("row", "control").iter_rows())
    cluster_by_row = dict(rows.select("row", "cluster").iter_rows())
    latest = tables.by_size
    for kind in (kind for kind in TEXT_KINDS if kind in tables.states):
        for model in tables.models["model"]:
            hidden = tables.states[kind](model)
            indices, group = _balanced_sample(hidden, is_control_by_row)
            yield StateSample(
                model,
                kind,
                "control model" if model in tables.control_models else "train",
                tables.parameters(model),
                model in latest or model in tables.control_models,
                model == next(iter(reversed(latest)), None),
                hidden.rows[indices],
                group,
                np.array([cluster_by_row[int(row)] for row in hidden.rows[indices]], dtype=np.int64),
                hidden,
                indices,
                tables.reference.continuation,
            )


def _balanced_sample(
    hidden: HiddenStates, is_control_by_row: dict[int, bool]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the record of the rows to compare, in order of row id, and their groups: MAX_ROWS, balanced."""
    order = np.argsort(hidden.rows, kind="stable")
    order = order[[int(row) in is_control_by_row for row in hidden.rows[order]]]
    is_control = np.array([is_control_by_row[int(row)] for row in hidden.rows[order]], dtype=bool)
    group = np.where(is_control, GROUPS.index(CONTROL), hidden.levels[order].astype(np.int64))
    generator = np.random.default_rng(0)
    max_rows = max_rows_per_group(np.bincount(group, minlength=len(GROUPS)).tolist(), MAX_ROWS)
    sampled = [generator.permutation(np.flatnonzero(group == number))[:max_rows] for number in range(len(GROUPS))]
    chosen = np.sort(np.concatenate(sampled))
    return order[chosen], group[chosen]


def max_rows_per_group(sizes: list[int], total: int) -> int:
    """The largest number of rows per group such that all groups have at most `total`; small groups stay complete."""
    remaining = total
    for index, size in enumerate(sorted(sizes)):
        share = remaining // (len(sizes) - index)
        if size > share:
            return share
        remaining -= size
    return max(sizes, default=0)
