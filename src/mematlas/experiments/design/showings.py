"""In which slots of a training sequences are shown: one in so many rows, or in given steps.

A sequence takes slots that no other one wants where there are any; where there are none, the plan moves one of the two
to the next free slot, and records by how many slots (`Event.moved`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mematlas.experiments.design.plan import REPLACE, Mode, Showing


@dataclass(frozen=True, slots=True)
class Wish:
    """How a sequence of `length` tokens is to be shown.

    period: every so many rows, from `phase` on (None: drawn); steps: in these steps, from 1, where there is no period.
    """

    sequence: int
    length: int
    period: int | None = None
    steps: tuple[int, ...] = ()
    phase: int | None = None
    mode: Mode = REPLACE


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of a run in which sequences may be shown: first .. first + count - 1, `batch` in a step."""

    first: int
    count: int
    batch: int


def place_wishes(wishes: Sequence[Wish], slots: Slots, row_length: int, seed: int) -> list[Showing]:
    """All showings of the sequences; phases, slots of a step and places in a row (splice) are drawn from the seed."""
    rng = np.random.default_rng(seed)
    taken: set[int] = set()
    showings: list[Showing] = []
    for wish in wishes:
        places = list(_places(wish, slots, taken, rng))
        taken.update(places)
        for place in places:
            offset = int(rng.integers(0, row_length - wish.length + 1)) if wish.mode == "splice" else 0
            showings.append(Showing(wish.sequence, slots.first + place, wish.length, offset, wish.mode))
    return showings


def _places(wish: Wish, slots: Slots, taken: set[int], rng: np.random.Generator) -> Iterator[int]:
    """The slots of one sequence, counted from the first one."""
    if wish.period is not None:
        phases = [wish.phase] if wish.phase is not None else rng.permutation(min(wish.period, slots.count)).tolist()
        series = [range(phase, slots.count, wish.period) for phase in phases]
        yield from next((places for places in series if taken.isdisjoint(places)), series[0])
        return
    for step in wish.steps:
        inside = (step - 1) * slots.batch + rng.permutation(slots.batch)
        yield next((place for place in inside.tolist() if place not in taken), int(inside[0]))
