"""From a finding's chart and table to a Vega-Lite specification, without width and theme."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

import altair as alt
import polars as pl
from altair.utils.schemapi import debug_mode

from mematlas.findings.finding import Chart, Shape
from mematlas.report.charts import alluvial as flow
from mematlas.report.charts import bars, encodings, matrix, series
from mematlas.report.charts.chart_rows import select_rows
from mematlas.report.charts.orders import ordered_values
from mematlas.report.charts.palette import Palette, palette_of
from mematlas.report.charts.panel import Panel
from mematlas.report.display_text import all_printable

_SHAPES: Final[dict[Shape, Callable[[Chart, pl.DataFrame, Palette], Panel]]] = {
    "lines": series.draw,
    "steps": series.draw,
    "points": series.draw,
    "bars": bars.draw,
    "stacked": bars.draw_stacked,
    "matrix": matrix.draw,
    "flow": flow.draw,
}
#: Vega-Lite version of the specifications, as vl-convert names it.
VEGA_LITE: Final = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart that is ready to be drawn at any width and in any theme.

    specification: Vega-Lite without widths; panels: number of facets (1: none); min_width, max_width: of a panel, in
    pixels; label_width: of the text on the right of a panel; levels: number of colors of the ordered ramp;
    legend_letters: length of the longest legend entry; note: on what is not drawn, or not in full, or None.
    """

    specification: dict[str, Any]
    panels: int
    min_width: int
    max_width: int
    label_width: int
    levels: int
    legend_letters: int
    note: str | None = None

    def with_width(self, width: int) -> dict[str, Any]:
        """The specification of a picture about `width` pixels wide; page.js has the same function for the browser."""
        if self.panels == 1:
            size = {"width": min(self.max_width, width), "autosize": {"type": "fit-x", "contains": "padding"}}
            return self.specification | size
        fitting_panels = max(1, (width - 90) // (self.min_width + self.label_width + 20))
        columns = ceil(self.panels / ceil(self.panels / fitting_panels))
        panel = min(self.max_width, (width - 90) // columns - 20 - self.label_width)
        return self.specification | {"columns": columns, "spec": self.specification["spec"] | {"width": panel}}

    def legend_columns(self, width: int) -> int:
        """The number of legend entries that fit side by side."""
        available = min(self.max_width, width) if self.panels == 1 else width
        return max(1, (available - 60) // (7 * self.legend_letters + 44))


def draw(chart: Chart, frame: pl.DataFrame, description: str, palette: Palette | None = None) -> Drawing | None:
    """Draw `chart` from its table; None if no row of it can be drawn.

    description: alternative text for readers who do not see the picture; palette: the colors of the page's models, by
    default those of this table.
    """
    rows = select_rows(chart, frame)
    chart, drawable = rows.chart, rows.frame
    if drawable.is_empty():
        return None
    panels = 1 if chart.facet is None else drawable[chart.facet].n_unique()
    chart = chart if panels > 1 else replace(chart, facet=None)
    # Altair copies and checks all that it is given, several times: what it need not see is put in when it is done, and
    # tests check every kind of chart against the schema of Vega-Lite (tests/report/charts/chart_checks.py)
    with debug_mode(False):
        panel = _SHAPES[chart.shape](chart, drawable, palette_of([frame]) if palette is None else palette)
        layered = alt.layer(*panel.layers, data=alt.Data(name="records"), height=panel.height)
        picture = _split_into_panels(chart, drawable, layered) if chart.facet else layered
        specification = picture.to_dict(validate=False)
    if chart.facet:
        specification["resolve"] = {"axis": {"x": "independent"}}
    specification |= {"description": description, "data": {"values": panel.records}}
    specification = all_printable(specification)
    specification.pop("config", None)
    sizes = (panel.min_width, panel.max_width, panel.label_width, panel.levels)
    letters = _longest_legend_entry(chart, drawable)
    return Drawing(specification, panels, *sizes, letters, " ".join(rows.notes) or None)


def _split_into_panels(chart: Chart, frame: pl.DataFrame, layered: Any) -> alt.FacetChart:
    assert chart.facet is not None
    facets = ordered_values(frame, chart.facet)
    is_numeric = frame[chart.facet].dtype.is_numeric()
    label = f"'{encodings.column_title(chart.facet)} ' + datum.value" if is_numeric else "datum.value"
    header = alt.Header(title=None, labelExpr=label)
    return layered.facet(facet=alt.Facet(field=chart.facet, type="nominal", sort=facets, header=header), columns=2)


def _longest_legend_entry(chart: Chart, frame: pl.DataFrame) -> int:
    columns = [column for column in (chart.color.column if chart.color else None, chart.dash) if column]
    return max((len(str(value)) for name in columns for value in ordered_values(frame, name)), default=0)
