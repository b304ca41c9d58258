"""The ordered series of a family's models: one by size, and one by training step for every size with checkpoints."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mematlas.analyses.frames.study_tables import Cell, Tables

BY_SIZE: Final = "model size"
AS_GIVEN: Final = "models as given"


@dataclass(frozen=True, slots=True)
class Series:
    """Two or more models in order.

    name: the name in tables and charts; models: labels; short_names: one per model, for use where labels are too long;
    unscored: models of the series that have no scores in the given cell.
    """

    name: str
    models: tuple[str, ...]
    short_names: tuple[str, ...]
    unscored: tuple[str, ...] = ()

    def short_name(self, model: str) -> str:
        return self.short_names[self.models.index(model)]

    @property
    def slug(self) -> str:
        """The name in a form that can be part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def last_qualifier(self) -> str:
        """The adjective for the last model: largest, latest or last."""
        return "latest" if self.ordered_by_step else "last" if self.name == AS_GIVEN else "largest"

    @property
    def ordered_by_step(self) -> bool:
        return self.name not in (BY_SIZE, AS_GIVEN)


def model_series(tables: Tables, cell: Cell) -> tuple[Series, ...]:
    """The family by size, then the checkpoints of each size that has several.

    A series consists of the models with scores of training rows in the cell; one with fewer than two is left out.
    """
    found = []
    for name, candidates in _named_series(tables):
        models = scored_models(tables, candidates, cell)
        if len(models) > 1:
            unscored = tuple(model for model in candidates if model not in models)
            found.append(Series(name, models, _short_names(models, tables, name), unscored))
    return tuple(found)


def scored_models(tables: Tables, models: tuple[str, ...], cell: Cell) -> tuple[str, ...]:
    """The models with training rows scored in the cell."""
    counts = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    scored = set(counts["model"])
    return tuple(model for model in models if model in scored)


def series_caveats(all_series: Iterable[Series]) -> Iterator[str]:
    """The caveats of series with unknown sizes or models without scores."""
    for series in all_series:
        if series.name == AS_GIVEN:
            yield "Model sizes are not all known: models stand in the order in which the study lists them."
        if series.unscored:
            yield f"Without scores in this cell, and left out: {', '.join(series.unscored)}."


def _named_series(tables: Tables) -> list[tuple[str, tuple[str, ...]]]:
    sizes_known = all(tables.parameters(model) is not None for model in tables.by_size)
    sizes = [tables.parameters(checkpoints[0]) or 0 for checkpoints in tables.by_step]
    names = [size_name(size) for size in sizes]
    if len(set(names)) < len(names):
        names = [f"{size:,}" for size in sizes]
    steps = [(f"training step, {size}", models) for size, models in zip(names, tables.by_step, strict=True)]
    return [(BY_SIZE if sizes_known else AS_GIVEN, tables.by_size), *steps]


def _short_names(models: tuple[str, ...], tables: Tables, name: str) -> tuple[str, ...]:
    """Sizes or steps, or the labels where these are unknown or not distinct."""
    if name == BY_SIZE:
        names = tuple(size_name(tables.parameters(model)) for model in models)
    elif name != AS_GIVEN:
        names = tuple(f"step {tables.training_step(model):,}" for model in models)
    else:
        names = models
    return names if len(set(names)) == len(names) else models


def size_name(parameters: int | None) -> str:
    """A number of parameters as the field writes it: 70M, 2.8B, 0.14M."""
    if parameters is None:
        return "size unknown"
    for size, unit, smallest in ((1e9, "B", 0.9995), (1e6, "M", 0.1)):
        number = parameters / size
        if number >= smallest:
            return f"{number:.{0 if number >= 9.95 else 1 if number >= 0.995 else 2}f}{unit}"
    return f"{parameters:,}"
