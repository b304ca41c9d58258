"""The charts of findings as figures of the page: interactive, with a static image for print and without scripts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

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


def build_figures(findings: Sequence[Finding], width: int = WIDTH) -> Iterator[Figure]:
    """The figures of all findings, in order, with images at most `width` pixels wide."""
    number = 0
    palette = palette_of(table.frame for finding in findings for table in finding.tables)
    for finding in findings:
        for chart in finding.charts:
            number += 1
            alt_text = f"{chart.title}. {headline(finding)}. {finding.sentence or finding.claim}"
            drawing = draw(chart, finding.table(chart.table), alt_text, palette)
            image = "" if drawing is None else _data_uri(minify_svg(svg(drawing, width)))
            others = () if drawing is None else tuple(_other_drawings(chart, finding, alt_text, palette))
            yield Figure(finding.name, chart, number, drawing, alt_text, image, view_of(chart), others)


def _other_drawings(chart: Chart, finding: Finding, alt_text: str, palette: Palette) -> Iterator[tuple[View, Drawing]]:
    """The views of a chart for other cells and models in which there is something to draw."""
    frame = finding.table(chart.table)
    for view in other_views(chart, frame):
        drawing = draw(view.chart, frame, alt_text, palette)
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
