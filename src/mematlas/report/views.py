"""Other views of a figure: the same chart of another cell, or of another model, where its table has them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.cell import Cell

_MOST: Final = 48  # views of a figure


@dataclass(frozen=True, slots=True)
class View:
    """A chart as it is for another cell or model. cell, model: "" where the chart is not of one."""

    cell: str
    model: str
    chart: Chart

    @property
    def key(self) -> str:
        """The name by which the page finds the view."""
        return f"{self.cell}|{self.model}"


def view_of(chart: Chart) -> View:
    """The view that the chart itself is."""
    return View(_cell_text(chart), str(chart.where.get("model", "")), chart)


def other_views(chart: Chart, frame: pl.DataFrame) -> Iterator[View]:
    """The chart for every other cell and model of its table, as far as it is of one."""
    shown = view_of(chart)
    names = [name for name in ("context", "continuation") if shown.cell] + ["model"] * bool(shown.model)
    if not names:
        return
    rest = {name: value for name, value in chart.where.items() if name not in names}
    present = frame.filter(**rest).select(names).drop_nulls().unique(maintain_order=True)
    for record in present.sort(names[:-1] if shown.model else names, maintain_order=True).head(_MOST).to_dicts():
        where = {**chart.where, **record}
        view = view_of(replace(chart, where=where))
        if view.key != shown.key:
            yield replace(view, chart=replace(chart, where=where, title=_title(chart.title, shown, view)))


def _title(title: str, shown: View, view: View) -> str:
    """The title of the chart as shown, for another view."""
    title = title.replace(f"{shown.cell} tokens", f"{view.cell} tokens") if shown.cell else title
    return title.replace(shown.model, view.model) if shown.model else title


def _cell_text(chart: Chart) -> str:
    """The cell that the chart is of, if its records are those of one cell."""
    lengths = (chart.where.get("context"), chart.where.get("continuation"))
    return "" if None in lengths else str(Cell(int(lengths[0] or 0), int(lengths[1] or 0)))
