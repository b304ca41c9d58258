"""The plan of a training run: which row is in every slot of every batch, and which events put another row there.

The plan owns the data. Arms of one experiment share it but for their events, so that they differ in nothing else, which
the digests of their batches prove: `first_difference` finds the first step in which two plans differ.

    FOLDER/steps.parquet      step, slot, row, event             the row planned for the slot; the event, null if none
           events.parquet     event, sequence, copy, step, slot, offset, length, mode, start, stop, moved, window
           sequences.parquet  sequence, tokens, kind, group, source
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mematlas.errors import OptionError
from mematlas.study import fingerprint, write_table
from mematlas.types import Ids

Mode = Literal["replace", "prepend", "splice"]
"""How a sequence gets into the planned row: it overwrites tokens (Huang et al. 2024), or pushes them back, in front of
the row (Chang et al. 2024) or inside it (Hubble, Wei et al. 2025); what is pushed beyond the row's length is cut."""

REPLACE: Final = "replace"


@dataclass(frozen=True, slots=True)
class Event:
    """One showing of a sequence in the place of planned tokens.

    sequence: its row in the plan's tokens; copy: number of its showings so far, from 0; step: from 1; slot: in the
    batch; the sequence, which is the tokens start .. stop - 1 of its row, stands at `offset` in the planned row, as
    `mode` says; moved: number of slots after the wanted one, because that was taken; window: tokens that the longer row
    loses at its front (modes that push tokens back), so that the sequence stands at offset - window in what is shown.
    """

    sequence: int
    copy: int
    step: int
    slot: int
    offset: int
    start: int
    stop: int
    moved: int = 0
    mode: Mode = REPLACE
    window: int = 0

    def put_into(self, row: Ids, sequence: Ids) -> Ids:
        """The planned `row` with this event; sequence: its whole row of the plan's tokens."""
        inserted = sequence[self.start : self.stop]
        after = self.offset + (len(inserted) if self.mode == REPLACE else 0)
        longer = np.concatenate([row[: self.offset], inserted, row[after:]])
        return longer[self.window : self.window + len(row)]


@dataclass(frozen=True, slots=True)
class Showing:
    """A wish: a `sequence` in the `place`-th slot of the run (counted over all steps) or the next free one.

    length: tokens of the sequence, if its row has more; offset, mode, window: as in `Event`.
    """

    sequence: int
    place: int
    length: int | None = None
    offset: int = 0
    mode: Mode = REPLACE
    window: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Every batch of a training run.

    tokens: [sequences, row_length], all rows that any slot may show; rows: [slots], the planned row of every slot, step
    after step; starts: [steps + 1], the first slot of every step, and the number of slots; events: in the order of
    their slots; kinds, groups, sources: what is known of each sequence, for the table (empty: nothing).
    """

    tokens: NDArray[Any]
    rows: Ids
    starts: Ids
    events: tuple[Event, ...] = ()
    kinds: Sequence[str] = ()
    groups: Sequence[int] = ()
    sources: Sequence[str] = ()
    _by_step: dict[int, list[Event]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < len(self.tokens):
            raise OptionError(f"A plan's rows are from 0 to {len(self.tokens) - 1}, not up to {self.rows.max()}.")
        by_step: dict[int, list[Event]] = {}
        for event in self.events:
            by_step.setdefault(event.step, []).append(event)
        object.__setattr__(self, "_by_step", by_step)

    @classmethod
    def from_order(cls, tokens: NDArray[Any], order: Ids, batch: int, **labels: Any) -> "Plan":
        """The plan that shows `order` [slots], positions in `tokens`, `batch` rows a step; the last may have fewer."""
        if batch < 1:
            raise OptionError(f"A batch has at least one row, not {batch}.")
        starts = np.append(np.arange(0, len(order), batch, dtype=np.int64), len(order))
        return cls(tokens, np.asarray(order, dtype=np.int64), starts, **labels)

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.starts) - 1

    @property
    def row_length(self) -> int:
        """Tokens per row."""
        return int(self.tokens.shape[1])

    def batch(self, step: int, *, with_events: bool = True) -> Ids:
        """The tokens [slots, row_length] of a step, from 1 to `steps`."""
        rows = self.rows[self.starts[step - 1] : self.starts[step]]
        batch = self.tokens[rows].astype("int64")
        for event in self._by_step.get(step, []) if with_events else []:
            batch[event.slot] = event.put_into(batch[event.slot], self.tokens[event.sequence])
        return batch

    def with_showings(self, showings: Iterable[Showing]) -> "Plan":
        """The same plan with these events instead of its own; no two share a slot, a taken one moves the later event.

        Raises:
            OptionError: no free slot is left for one of them.
        """
        slots = int(self.starts[-1])
        taken: set[int] = set()
        copies: dict[int, int] = {}
        events = []
        for showing in sorted(showings, key=lambda showing: showing.place):
            place = showing.place
            while place in taken:
                place += 1
            if not 0 <= place < slots:
                raise OptionError(
                    f"Sequence {showing.sequence} has no free slot from {showing.place} on: the plan has {slots} slots "
                    "and each takes one event; show fewer sequences, or train for more steps."
                )
            taken.add(place)
            step = int(np.searchsorted(self.starts, place, side="right"))
            copy = copies.get(showing.sequence, 0)
            copies[showing.sequence] = copy + 1
            slot, moved = place - int(self.starts[step - 1]), place - showing.place
            stop = showing.length or self.row_length
            how = (moved, showing.mode, showing.window)
            events.append(Event(showing.sequence, copy, step, slot, showing.offset, 0, stop, *how))
        ordered = sorted(events, key=lambda event: (event.step, event.slot))
        return replace(self, events=tuple(ordered))

    def presentations(self, step: int) -> int:
        """Rows shown in the first `step` steps."""
        return int(self.starts[step])

    def times_shown(self, step: int) -> Ids:
        """How often every row of the tokens was shown whole in the first `step` steps: [sequences]."""
        return np.bincount(self._shown()[: self.starts[step]], minlength=len(self.tokens))

    def _shown(self) -> Ids:
        """The row that every slot showed: its own, or that of its event, which leaves none of the planned one whole."""
        shown = self.rows.copy()
        for event in self.events:
            shown[self.starts[event.step - 1] + event.slot] = event.sequence
        return shown

    def digest(self, step: int) -> str:
        """The digest of all batches of the first `step` steps, "" for none."""
        return next(islice(self.digests(), step - 1, None)) if step else ""

    def exposures(self) -> pa.Table:
        """How often every row was shown whole: row, times, first_step, last_step (null if it never was).

        A planned row with an event in its slot was not shown.
        """
        steps = np.repeat(np.arange(1, self.steps + 1), np.diff(self.starts))
        shown = self._shown()
        times = np.bincount(shown, minlength=len(self.tokens))
        first = np.full(len(self.tokens), np.iinfo(np.int64).max)
        last = np.zeros(len(self.tokens), dtype=np.int64)
        np.minimum.at(first, shown, steps)
        np.maximum.at(last, shown, steps)
        is_never = times == 0
        return pa.table(
            {
                "row": np.arange(len(self.tokens)),
                "times": times.astype(np.int64),
                "first_step": pa.array(first, mask=is_never),
                "last_step": pa.array(last, mask=is_never),
            }
        )

    def digests(self) -> Iterator[str]:
        """For every step, the digest of all batches up to it; the trainer records the same in its checkpoints."""
        digest = ""
        for step in range(1, self.steps + 1):
            digest = chain(digest, self.batch(step))
            yield digest

    def fingerprint(self) -> str:
        """A hash of everything that the plan shows."""
        return fingerprint({"data": list(self.digests())[-1:], "shape": list(self.tokens.shape), "steps": self.steps})


def chain(previous: str, batch: Ids) -> str:
    """The digest of all batches so far, from the one before this batch ("" before the first)."""
    return hashlib.sha256(previous.encode() + batch.tobytes()).hexdigest()


def first_difference(one: Plan, other: Plan) -> int | None:
    """The first step in which the plans show different tokens; None if they never do."""
    for step, (a, b) in enumerate(zip(one.digests(), other.digests(), strict=False), start=1):
        if a != b:
            return step
    return None if one.steps == other.steps else min(one.steps, other.steps) + 1


def write_plan(folder: Path, plan: Plan) -> None:
    """Write the plan's three tables to `folder`.

    Raises:
        StudyError: the folder cannot be written.
    """
    count = len(plan.tokens)
    none: list[Any] = [None] * count
    offsets = pa.array(np.arange(0, plan.tokens.size + 1, plan.row_length), type=pa.int64())
    sequences = pa.table(
        {
            "sequence": np.arange(count),
            "tokens": pa.LargeListArray.from_arrays(offsets, pa.array(plan.tokens.reshape(-1))),
            "kind": pa.array(plan.kinds or none, type=pa.string()),
            "group": pa.array(plan.groups or none, type=pa.int64()),
            "source": pa.array(plan.sources or none, type=pa.string()),
        }
    )
    write_table(folder / "sequences.parquet", sequences)
    write_table(folder / "events.parquet", _events_table(plan.events))
    write_table(folder / "steps.parquet", _steps_table(plan))


def _events_table(events: Sequence[Event]) -> pa.Table:
    integers = ("event", "sequence", "copy", "step", "slot", "offset", "length", "start", "stop", "moved", "window")
    records = [
        {"event": number, "length": event.stop - event.start, "mode": event.mode}
        | {name: getattr(event, name) for name in integers if name not in ("event", "length")}
        for number, event in enumerate(events)
    ]
    order = (*integers[:7], "mode", *integers[7:])
    schema = pa.schema([(name, pa.int64() if name in integers else pa.string()) for name in order])
    return pa.Table.from_pylist(records, schema=schema)


def _steps_table(plan: Plan) -> pa.Table:
    sizes = np.diff(plan.starts)
    event = np.full(len(plan.rows), -1, dtype=np.int64)
    for number, shown in enumerate(plan.events):
        event[plan.starts[shown.step - 1] + shown.slot] = number
    return pa.table(
        {
            "step": np.repeat(np.arange(1, plan.steps + 1), sizes),
            "slot": np.arange(len(plan.rows)) - np.repeat(plan.starts[:-1], sizes),
            "row": plan.rows,
            "event": pa.array(event, mask=event < 0),
        }
    )


def read_plan(folder: Path) -> Plan:
    """The plan that `write_plan` wrote to `folder`."""
    sequences, events, steps = (pq.read_table(folder / f"{name}.parquet") for name in ("sequences", "events", "steps"))
    tokens = sequences["tokens"].combine_chunks()
    records = [Event(**{name: record[name] for name in Event.__slots__}) for record in events.to_pylist()]
    sizes = np.bincount(steps["step"].to_numpy())[1:]
    kinds, groups, sources = (
        () if sequences[name].null_count else tuple(sequences[name].to_pylist()) for name in ("kind", "group", "source")
    )
    return Plan(
        tokens=tokens.flatten().to_numpy().reshape(len(tokens), -1),
        rows=steps["row"].to_numpy(),
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        events=tuple(records),
        kinds=kinds,
        groups=groups,
        sources=sources,
    )
