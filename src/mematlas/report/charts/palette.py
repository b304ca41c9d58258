"""Which color a value has: the same in every chart of a page.

Models are colored by their order in the family, score levels by the ramp, classes of rows always alike, and whatever
is a control is grey. Other values take the first colors in their order. Colors are expressions over `ink`, a
parameter that `theme.config` defines for light and dark pages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.report.charts.orders import merge_orders
from mematlas.report.charts.theme import CATEGORIES, MANY

#: As `mematlas.analyses.frames.levels` names them; findings of other packages may use the same names.
_LEVELS: Final = ("very low", "low", "medium", "high", "very high")
#: Rows by how much of them is recited, wherever they are compared: the same colors, however many are present.
_CLASSES: Final = {
    "memorized": 0, "recited": 0, "train": 0, "M = 1": 0, "unmemorized": 1, "not recited": 1, "M < 1": 1, "other": 2,
}  # fmt: skip
_CONTROLS: Final = frozenset({"control", "shuffled", "control model", "permuted", "validation", "0x", "0x-again"})


def is_control(value: Any) -> bool:
    """Whether a series is a control: grey, dashed, and with hollow marks in every chart."""
    return value in _CONTROLS or str(value).endswith("shuffled labels")


@dataclass(frozen=True, slots=True)
class Palette:
    """models: the labels of all models of the page, in the order of the family."""

    models: tuple[str, ...] = ()

    def colors(self, values: Sequence[Any]) -> list[alt.ExprRef]:
        """The color of each value, as an expression."""
        names = [str(value) for value in values]
        if self.are_levels(names):
            return [self._level_color(name) for name in names]
        taken = [_CLASSES[name] for name in names if name in _CLASSES]
        free = (i % CATEGORIES for i in range(2 * CATEGORIES + len(names)) if i not in taken)
        return [self._color(name, free) for name in names]

    def are_levels(self, values: Sequence[Any]) -> bool:
        """Whether these are score levels, alone or beside a control."""
        return any(value in _LEVELS for value in values) and set(values) <= {*_LEVELS, "control", "all levels"}

    def _level_color(self, name: str) -> alt.ExprRef:
        if name in _LEVELS:
            return alt.ExprRef(f"ink.levels[{_LEVELS.index(name)}]")
        return alt.ExprRef("ink.control" if is_control(name) else "ink.category[1]")

    def _color(self, name: str, free: Iterable[int]) -> alt.ExprRef:
        if is_control(name):
            return alt.ExprRef("ink.control")
        if name in self.models:
            return self._model_color(self.models.index(name))
        if name in _CLASSES:
            return alt.ExprRef(f"ink.category[{_CLASSES[name]}]")
        return alt.ExprRef(f"ink.category[{next(iter(free))}]")

    def _model_color(self, number: int) -> alt.ExprRef:
        """A category while there are enough; else the ramp of many colors, from the first model to the last."""
        if len(self.models) <= CATEGORIES:
            return alt.ExprRef(f"ink.category[{number}]")
        return alt.ExprRef(f"ink.many[{round(number * (MANY - 1) / (len(self.models) - 1))}]")


def palette_of(frames: Iterable[pl.DataFrame]) -> Palette:
    """The palette of a page with these tables: models by size, then in the order in which tables name them."""
    orders: list[list[str]] = []
    sizes: dict[str, float] = {}
    for frame in frames:
        if "model" not in frame.columns or frame.schema["model"] != pl.String:
            continue
        orders.append(frame["model"].drop_nulls().unique(maintain_order=True).to_list())
        if "parameters" in frame.columns:
            sizes |= dict(frame.select("model", "parameters").drop_nulls().unique().iter_rows())
    known = [[model for model in order if model in sizes] for order in orders] if sizes else orders
    models = merge_orders(known)
    return Palette(tuple(sorted(models, key=lambda model: sizes.get(model, 0))))
