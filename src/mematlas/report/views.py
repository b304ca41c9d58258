"""Other views of a figure: the same chart of another cell, or of another model, where its table has them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.cell import Cell

_MOST: Final = 16  # values of a control on the page


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
    """The chart for every other cell of the reference model, and every other model in the reference cell."""
    shown = view_of(chart)
    if shown.cell:
        rest = {name: value for name, value in chart.where.items() if name not in ("context", "continuation")}
        cells = frame.filter(**rest).select("context", "continuation").drop_nulls().unique().sort(pl.all())
        for lengths in cells.head(_MOST).iter_rows():
            cell = Cell(*lengths)
            if str(cell) != shown.cell:
                where = chart.where | {"context": cell.context, "continuation": cell.continuation}
                titled = chart.title.replace(f"{shown.cell} tokens", f"{cell} tokens")
                yield View(str(cell), shown.model, replace(chart, where=where, title=titled))
    if shown.model:
        rest = {name: value for name, value in chart.where.items() if name != "model"}
        for model in frame.filter(**rest)["model"].drop_nulls().unique(maintain_order=True).head(_MOST):
            if model != shown.model:
                titled = chart.title.replace(shown.model, str(model))
                yield View(shown.cell, str(model), replace(chart, where=chart.where | {"model": model}, title=titled))


def _cell_text(chart: Chart) -> str:
    """The cell that the chart is of, if its records are those of one cell."""
    lengths = (chart.where.get("context"), chart.where.get("continuation"))
    return "" if None in lengths else str(Cell(int(lengths[0] or 0), int(lengths[1] or 0)))
