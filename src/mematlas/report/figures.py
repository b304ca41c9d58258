"""A finding's charts as the page shows them: numbered, live, with a still picture for print and without scripts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from mematlas.findings.finding import Chart, Finding
from mematlas.report.charts.export import slim, svg
from mematlas.report.charts.specification import Drawing, draw
from mematlas.report.charts.theme import THEMES, config, ramp


@dataclass(frozen=True, slots=True)
class Figure:
    """chart: what was asked for; number: in the page, from 1; drawing: None where nothing can be drawn; words: for
    those who do not see it; still: a data address of an SVG."""

    finding: str
    chart: Chart
    number: int
    drawing: Drawing | None
    words: str
    still: str

    @property
    def key(self) -> str:
        """Its name among all figures of the page, and of its image files."""
        return f"{self.finding}-{self.chart.name}"


def figures(findings: Sequence[Finding]) -> Iterator[Figure]:
    """The figures of all findings in order."""
    number = 0
    for finding in findings:
        for chart in finding.charts:
            number += 1
            words = f"{chart.title}. {finding.claim}"
            drawing = draw(chart, finding.table(chart.table), words)
            still = "" if drawing is None else _address(slim(svg(drawing)))
            yield Figure(finding.name, chart, number, drawing, words, still)


def _address(picture: str) -> Markup:
    """What may stand between double quotes as it is: a quotation mark, a sign of HTML, is never left."""
    return Markup("data:image/svg+xml," + quote(picture, safe=" /:;=,()'!*@$?{}[]|^`+~"))


def live(shown: Sequence[Figure]) -> dict[str, Any]:
    """What page.js needs to draw the figures in either theme at any width."""
    drawings = {figure.key: figure.drawing for figure in shown if figure.drawing is not None}
    counts = sorted({drawing.levels for drawing in drawings.values()})
    return {
        "themes": {theme: config(theme, 5, 1) for theme in THEMES},
        "ramps": {theme: {str(count): ramp(theme, count) for count in counts} for theme in THEMES},
        "charts": {
            key: {
                "specification": drawing.specification,
                "panels": drawing.panels,
                "narrowest": drawing.narrowest,
                "widest": drawing.widest,
                "levels": drawing.levels,
                "legend": drawing.legend,
            }
            for key, drawing in drawings.items()
        },
    }
