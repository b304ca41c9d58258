"""What makes the shards of a probe of rows: its rows, and the model once a shard needs it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.models.base import Model
from mematlas.probes.rows.config import RowProbeConfig
from mematlas.probes.rows.opening import ProbedRows, Reaction, RowProbe, react
from mematlas.probes.rows.stages import Stage
from mematlas.probes.rows.tables import ROWS

#: Rows of a shard of stages that go row by row, whatever the batch is: another batch continues the same folder.
SHARD_ROWS: Final = 128


class Looks(Protocol):
    """The rows of a probe, and what is to be made of them."""

    rows: ProbedRows

    def stages(self) -> list[Stage]:
        """What is to be made, in order."""
        ...


class RowLooks:
    """Reads the rows at once and loads the model when it is first needed."""

    def __init__(self, probe: RowProbe, config: RowProbeConfig) -> None:
        self.probe = probe
        self.batch = config.batch
        self.rows = probe.read()

    @cached_property
    def model(self) -> Model:
        """The loaded model."""
        return self.probe.load()

    @cached_property
    def reaction(self) -> Reaction:
        """What the model recites of the rows as they are."""
        return self.react(self.model, self.rows)

    def react(self, model: Model, rows: ProbedRows) -> Reaction:
        """What a model recites of rows."""
        return react(model, self.probe.source.card, rows, self.batch)

    def row_stage(self) -> Stage:
        """The table `rows`, which every probe has."""
        return Stage("rows", ROWS, 1, lambda _index: self._row_table(), len(self.rows))

    def _row_table(self) -> Mapping[str, Any]:
        rows, reaction = self.rows, self.reaction
        return {
            **keys(rows),
            "class": rows.classes(reaction),
            "cluster": rows.clusters,
            **reaction_columns(reaction),
        }

    @property
    def shards(self) -> int:
        """Shards of a stage that goes row by row."""
        return -(-len(self.rows) // SHARD_ROWS)

    def batches(self, shard: int) -> Iterator[ProbedRows]:
        """The rows of such a shard, at most `batch` at a time."""
        end = min((shard + 1) * SHARD_ROWS, len(self.rows))
        for start in range(shard * SHARD_ROWS, end, self.batch):
            yield self.rows.subset(np.arange(start, min(start + self.batch, end)))


def keys(rows: ProbedRows) -> dict[str, Any]:
    """The columns that say which row a record is about."""
    return {"row": rows.row, "control": rows.is_control}


def reaction_columns(reaction: Reaction) -> dict[str, Any]:
    """The columns of what a model recites."""
    return {
        "matches": reaction.matches,
        "verbatim": reaction.verbatim,
        "log_probability": reaction.log_probability,
    }


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of several parts, one after another."""
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def as_objects(values: list[Any]) -> NDArray[np.object_]:
    """The values as they are, lists and None included, [n]."""
    made = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        made[index] = value
    return made
