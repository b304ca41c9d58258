"""From a finding's chart and table to a Vega-Lite specification, without width and theme."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart, Shape
from mematlas.report.charts import alluvial as flow
from mematlas.report.charts import bars, encodings, matrix, series
from mematlas.report.charts.panel import Panel
from mematlas.report.display_text import all_printable, printable

_SHAPES: Final[dict[Shape, Callable[[Chart, pl.DataFrame], Panel]]] = {
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
    pixels; levels: number of colors of the ordered ramp; legend_letters: length of the longest legend entry; note: on
    points that cannot be drawn, or None.
    """

    specification: dict[str, Any]
    panels: int
    min_width: int
    max_width: int
    levels: int
    legend_letters: int
    note: str | None = None

    def with_width(self, width: int) -> dict[str, Any]:
        """The specification of a picture about `width` pixels wide; page.js has the same function for the browser."""
        if self.panels == 1:
            size = {"width": min(self.max_width, width), "autosize": {"type": "fit-x", "contains": "padding"}}
            return self.specification | size
        fitting_panels = max(1, (width - 90) // (self.min_width + 20))
        columns = ceil(self.panels / ceil(self.panels / fitting_panels))
        panel = min(self.max_width, (width - 90) // columns - 20)
        return self.specification | {"columns": columns, "spec": self.specification["spec"] | {"width": panel}}

    def legend_columns(self, width: int) -> int:
        """The number of legend entries that fit side by side."""
        available = min(self.max_width, width) if self.panels == 1 else width
        return max(1, (available - 60) // (7 * self.legend_letters + 44))


def draw(chart: Chart, frame: pl.DataFrame, description: str) -> Drawing | None:
    """Draw `chart` from its table; None if no row of it can be drawn.

    description: alternative text for readers who do not see the picture.
    """
    chart_rows = _chart_rows(chart, frame)
    drawable = _drawable(chart, chart_rows)
    if drawable.is_empty():
        return None
    if chart.dash is not None and encodings.dash_values(chart, drawable) == ["train"]:
        chart = replace(chart, dash=None)
    panel = _SHAPES[chart.shape](chart, drawable)
    layered = alt.layer(*panel.layers, data=alt.Data(values=panel.records), height=panel.height)
    panels = 1 if chart.facet is None else drawable[chart.facet].n_unique()
    picture = _split_into_panels(chart, drawable, layered) if chart.facet and panels > 1 else layered
    specification = all_printable(picture.properties(description=description).to_dict())
    specification.pop("config", None)
    omitted = chart_rows.height - drawable.height
    note = f"{omitted} of {chart_rows.height} points are not drawn: not measured, or 0 on a logarithmic axis."
    sizes = (panel.min_width, panel.max_width, panel.levels)
    return Drawing(specification, panels, *sizes, _longest_legend_entry(chart, drawable), note if omitted else None)


def _chart_rows(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """The chart's rows and columns, with NaN as null, numbers rounded to six digits, and printable names."""
    axes = [axis.column for axis in (chart.x, chart.y, chart.color) if axis is not None]
    other_columns = [
        chart.lower,
        chart.upper,
        chart.facet,
        chart.dash,
        chart.target,
        *(name for name in ("row", "rows") if name in frame.columns),
    ]
    names = dict.fromkeys([*axes, *(name for name in other_columns if name)])
    rows = frame.filter(*(pl.col(name) == value for name, value in chart.where.items())).select(*names)
    floats = [name for name in names if rows[name].dtype.is_float()]
    texts = [name for name in names if rows[name].dtype == pl.String]
    return rows.with_columns(
        *(pl.col(name).fill_nan(None).round_sig_figs(6) for name in floats),
        *(pl.col(name).replace({text: printable(text) for text in rows[name].drop_nulls().unique()}) for name in texts),
    )


def _drawable(chart: Chart, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that can be drawn: measured, and above 0 on a logarithmic axis. A matrix also shows its empty cells."""
    drawable = rows.drop_nulls([chart.x.column, chart.y.column])
    if chart.target is not None and drawable[chart.target].is_null().all():
        return drawable.clear()
    for axis in (chart.x, chart.y):
        if axis.scale == "log" and chart.shape not in ("bars", "stacked", "matrix", "flow"):
            drawable = drawable.filter(pl.col(axis.column) > 0)
    if chart.shape == "matrix" and chart.color is not None and drawable[chart.color.column].is_null().all():
        return drawable.clear()
    return _clip_intervals(chart, drawable)


def _clip_intervals(chart: Chart, rows: pl.DataFrame) -> pl.DataFrame:
    """On a logarithmic axis, intervals that reach 0 are cut at half of the lowest value."""
    if chart.y.scale != "log" or chart.lower is None or rows.is_empty():
        return rows
    return rows.with_columns(pl.col(chart.lower).clip(lower_bound=pl.col(chart.y.column).min() / 2))


def _split_into_panels(chart: Chart, frame: pl.DataFrame, layered: Any) -> alt.FacetChart:
    assert chart.facet is not None
    facets = encodings.ordered_values(frame, chart.facet)
    is_numeric = frame[chart.facet].dtype.is_numeric()
    label = f"'{encodings.column_title(chart.facet)} ' + datum.value" if is_numeric else "datum.value"
    header = alt.Header(title=None, labelExpr=label)
    panels = layered.facet(facet=alt.Facet(field=chart.facet, type="nominal", sort=facets, header=header), columns=2)
    return panels.resolve_axis(x="independent")


def _longest_legend_entry(chart: Chart, frame: pl.DataFrame) -> int:
    columns = [column for column in (chart.color.column if chart.color else None, chart.dash) if column]
    return max((len(str(value)) for name in columns for value in encodings.ordered_values(frame, name)), default=0)
