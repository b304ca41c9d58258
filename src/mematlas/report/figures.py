"""The charts of findings as figures of the page: interactive, with a static image for print and without scripts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import polars as pl
from markupsafe import Markup

from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.executors.pool import map_tasks, raise_failed
from mematlas.findings.finding import Chart, Finding
from mematlas.report.charts.export import WIDTH, minify_svg, svg
from mematlas.report.charts.palette import Palette, palette_of
from mematlas.report.charts.specification import Drawing, draw
from mematlas.report.charts.theme import THEMES, config, ramp
from mematlas.report.display_text import printable
from mematlas.report.views import View, other_views, view_of
from mematlas.report.wording import headline


@dataclass(frozen=True, slots=True)
class Figure:
    """A numbered figure.

    finding: name of its finding; number: on the page, from 1; drawing: None if there is nothing to draw; alt_text: for
    readers who do not see the image; image: an SVG as a data URI; view: the cell and model it is of; others: how it is
    drawn for other cells and models.
    """

    finding: str
    chart: Chart
    number: int
    drawing: Drawing | None
    alt_text: str
    image: str
    view: View
    others: tuple[tuple[View, Drawing], ...] = ()

    @property
    def key(self) -> str:
        """The unique name of the figure on the page, and of its image files."""
        return f"{self.finding}-{self.chart.name}"


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """A chart to be drawn, with all that a worker needs for it; see `Figure`. frame: its table."""

    finding: str
    chart: Chart
    number: int
    frame: pl.DataFrame
    alt_text: str

    def __str__(self) -> str:
        return f"the chart {self.chart.name} of {self.finding}"


def build_figures(
    findings: Sequence[Finding], width: int = WIDTH, workers: WorkerOptions = SINGLE_PROCESS
) -> Iterator[Figure]:
    """The figures of all findings, in order, with images at most `width` pixels wide.

    Raises:
        StudyError: workers died while they drew.
    """
    palette = palette_of(table.frame for finding in findings for table in finding.tables)
    orders = [*_orders(findings)]
    if not workers.uses_workers(len(orders)):
        yield from map(partial(_build_figure, palette, width), orders)
        return
    figures: dict[int, Figure] = {}

    def keep(figure: Figure) -> None:
        figures[figure.number] = figure

    failed = map_tasks(workers, partial(_figure_worker, palette, width), orders, keep, lambda _: None)
    raise_failed(failed, "charts", "all findings are kept. Use fewer --workers, and run the same command again.")
    yield from (figures[order.number] for order in orders)


def _orders(findings: Sequence[Finding]) -> Iterator[_Order]:
    number = 0
    for finding in findings:
        for chart in finding.charts:
            number += 1
            alt_text = f"{chart.title}. {headline(finding)}. {finding.sentence or finding.claim}"
            yield _Order(finding.name, chart, number, finding.table(chart.table), alt_text)


def _figure_worker(palette: Palette, width: int, threads: int) -> Callable[[_Order], Figure]:
    """A worker that draws; it has no use for more threads than one."""
    return partial(_build_figure, palette, width)


def _build_figure(palette: Palette, width: int, order: _Order) -> Figure:
    chart, alt_text = order.chart, order.alt_text
    drawing = draw(chart, order.frame, alt_text, palette)
    image = "" if drawing is None else _data_uri(minify_svg(svg(drawing, width)))
    others = () if drawing is None else tuple(_other_drawings(order, palette))
    return Figure(order.finding, chart, order.number, drawing, alt_text, image, view_of(chart), others)


def _other_drawings(order: _Order, palette: Palette) -> Iterator[tuple[View, Drawing]]:
    """The views of a chart for other cells and models in which there is something to draw."""
    for view in other_views(order.chart, order.frame):
        drawing = draw(view.chart, order.frame, order.alt_text, palette)
        if drawing is not None:
            yield view, drawing


def view_choices(figures: Iterable[Figure]) -> dict[str, list[str]]:
    """The cells and the models that figures can be shown for, the one of the claims first; those that are alone left
    out."""
    cells: dict[str, None] = {}
    models: dict[str, None] = {}
    for figure in figures:
        for view in (figure.view, *(view for view, _ in figure.others)):
            if figure.others:
                cells.setdefault(view.cell)
                models.setdefault(view.model)
    choices = {"cell": [cell for cell in cells if cell], "model": [model for model in models if model]}
    return {name: values for name, values in choices.items() if len(values) > 1}


def _data_uri(image: str) -> Markup:
    """The SVG as a data URI that needs no escaping between double quotes: it contains no `"`, `<`, `>` or `&`."""
    return Markup("data:image/svg+xml," + quote(image, safe=" /:;=,()'!*@$?{}[]|^`+~"))


def chart_data(figures: Sequence[Figure]) -> dict[str, Any]:
    """The data that page.js needs to draw the figures in either theme, at any width, and for other cells and models."""
    drawn = {figure.key: (figure, figure.drawing) for figure in figures if figure.drawing is not None}
    all_drawings = [drawing for figure, shown in drawn.values() for drawing in (shown, *(d for _, d in figure.others))]
    level_counts = sorted({drawing.levels for drawing in all_drawings})
    return {
        "themes": {theme: config(theme, 5, 1) for theme in THEMES},
        "ramps": {theme: {str(count): ramp(theme, count) for count in level_counts} for theme in THEMES},
        "charts": {
            key: _chart(figure.view, shown)
            | {"views": {view.key: _chart(view, drawing) for view, drawing in figure.others}}
            for key, (figure, shown) in drawn.items()
        },
    }


def _chart(view: View, drawing: Drawing) -> dict[str, Any]:
    """A drawing as page.js needs it."""
    return {
        "cell": view.cell,
        "model": view.model,
        "title": printable(view.chart.title),
        "specification": drawing.specification,
        "panels": drawing.panels,
        "min_width": drawing.min_width,
        "max_width": drawing.max_width,
        "label_width": drawing.label_width,
        "levels": drawing.levels,
        "legend_letters": drawing.legend_letters,
    }
