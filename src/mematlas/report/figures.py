"""The charts of findings as figures of the page: interactive, with a static image for print and without scripts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from mematlas.findings.finding import Chart, Finding
from mematlas.report.charts.export import minify_svg, svg
from mematlas.report.charts.palette import palette_of
from mematlas.report.charts.specification import Drawing, draw
from mematlas.report.charts.theme import THEMES, config, ramp


@dataclass(frozen=True, slots=True)
class Figure:
    """A numbered figure.

    finding: name of its finding; number: on the page, from 1; drawing: None if there is nothing to draw; alt_text: for
    readers who do not see the image; image: an SVG as a data URI.
    """

    finding: str
    chart: Chart
    number: int
    drawing: Drawing | None
    alt_text: str
    image: str

    @property
    def key(self) -> str:
        """The unique name of the figure on the page, and of its image files."""
        return f"{self.finding}-{self.chart.name}"


def build_figures(findings: Sequence[Finding]) -> Iterator[Figure]:
    """The figures of all findings, in order."""
    number = 0
    palette = palette_of(table.frame for finding in findings for table in finding.tables)
    for finding in findings:
        for chart in finding.charts:
            number += 1
            alt_text = f"{chart.title}. {finding.claim}"
            drawing = draw(chart, finding.table(chart.table), alt_text, palette)
            image = "" if drawing is None else _data_uri(minify_svg(svg(drawing)))
            yield Figure(finding.name, chart, number, drawing, alt_text, image)


def _data_uri(image: str) -> Markup:
    """The SVG as a data URI that needs no escaping between double quotes: it contains no `"`, `<`, `>` or `&`."""
    return Markup("data:image/svg+xml," + quote(image, safe=" /:;=,()'!*@$?{}[]|^`+~"))


def chart_data(figures: Sequence[Figure]) -> dict[str, Any]:
    """The data that page.js needs to draw the figures in either theme and at any width."""
    drawings = {figure.key: figure.drawing for figure in figures if figure.drawing is not None}
    level_counts = sorted({drawing.levels for drawing in drawings.values()})
    return {
        "themes": {theme: config(theme, 5, 1) for theme in THEMES},
        "ramps": {theme: {str(count): ramp(theme, count) for count in level_counts} for theme in THEMES},
        "charts": {
            key: {
                "specification": drawing.specification,
                "panels": drawing.panels,
                "min_width": drawing.min_width,
                "max_width": drawing.max_width,
                "label_width": drawing.label_width,
                "levels": drawing.levels,
                "legend_letters": drawing.legend_letters,
            }
            for key, drawing in drawings.items()
        },
    }
