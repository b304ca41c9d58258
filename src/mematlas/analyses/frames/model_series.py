"""A family as series of models in order: one by size, and one by training step for every size with checkpoints."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mematlas.analyses.frames.study_tables import Cell, Tables

BY_SIZE: Final = "model size"
AS_GIVEN: Final = "models as given"


@dataclass(frozen=True, slots=True)
class Series:
    """Two models or more, in order.

    name: how tables and charts call it; members: labels; short: a name each, for where labels are too long; absent:
    models that belong here but have no scores in the cell asked for.
    """

    name: str
    members: tuple[str, ...]
    short: tuple[str, ...]
    absent: tuple[str, ...] = ()

    def short_name(self, model: str) -> str:
        return self.short[self.members.index(model)]

    @property
    def slug(self) -> str:
        """The name as a part of file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def last_name(self) -> str:
        """What the last model is: largest, latest, or last."""
        return "latest" if self.by_step else "last" if self.name == AS_GIVEN else "largest"

    @property
    def by_step(self) -> bool:
        return self.name not in (BY_SIZE, AS_GIVEN)


def series(tables: Tables, cell: Cell) -> tuple[Series, ...]:
    """The family by size, then the checkpoints of each size that has several: what has scores of training rows in the
    cell, where that are two models or more."""
    found = []
    for name, models in _named(tables):
        members = present(tables, models, cell)
        if len(members) > 1:
            absent = tuple(model for model in models if model not in members)
            found.append(Series(name, members, _short(members, tables, name), absent))
    return tuple(found)


def present(tables: Tables, members: tuple[str, ...], cell: Cell) -> tuple[str, ...]:
    """The members with training rows scored in the cell."""
    here = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    scored = set(here["model"])
    return tuple(model for model in members if model in scored)


def series_caveats(found: Iterable[Series]) -> Iterator[str]:
    """What to keep in mind where sizes are unknown or models have no scores."""
    for one in found:
        if one.name == AS_GIVEN:
            yield "Model sizes are not all known: models stand in the order in which the study lists them."
        if one.absent:
            yield f"Without scores in this cell, and left out: {', '.join(one.absent)}."


def _named(tables: Tables) -> list[tuple[str, tuple[str, ...]]]:
    known = all(tables.parameters(model) is not None for model in tables.by_size)
    sizes = [tables.parameters(members[0]) or 0 for members in tables.by_step]
    names = [size_name(size) for size in sizes]
    if len(set(names)) < len(names):
        names = [f"{size:,}" for size in sizes]
    steps = [(f"training step, {size}", members) for size, members in zip(names, tables.by_step, strict=True)]
    return [(BY_SIZE if known else AS_GIVEN, tables.by_size), *steps]


def _short(members: tuple[str, ...], tables: Tables, name: str) -> tuple[str, ...]:
    """Sizes or steps, or the labels where these are unknown or the same."""
    if name == BY_SIZE:
        short = tuple(size_name(tables.parameters(model)) for model in members)
    elif name != AS_GIVEN:
        short = tuple(f"step {tables.training_step(model):,}" for model in members)
    else:
        short = members
    return short if len(set(short)) == len(short) else members


def size_name(parameters: int | None) -> str:
    """A number of parameters as the field writes it: 70M, 2.8B, 0.14M."""
    if parameters is None:
        return "size unknown"
    for size, unit, smallest in ((1e9, "B", 0.9995), (1e6, "M", 0.1)):
        number = parameters / size
        if number >= smallest:
            return f"{number:.{0 if number >= 9.95 else 1 if number >= 0.995 else 2}f}{unit}"
    return f"{parameters:,}"
