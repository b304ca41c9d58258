"""A finding's chart and its table -> a Vega-Lite specification, without size or colours of a theme."""

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
from mematlas.report.display_text import all_legible, legible

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
    """specification: Vega-Lite without widths; panels: how many facets (1: none); narrowest, widest: of a panel, in
    pixels; levels: colours wanted of the ordered ramp; legend: letters of the longest legend entry; left_out: a note on
    what cannot be drawn, or None."""

    specification: dict[str, Any]
    panels: int
    narrowest: int
    widest: int
    levels: int
    legend: int
    left_out: str | None = None

    def sized(self, width: int) -> dict[str, Any]:
        """The specification for a picture about `width` pixels wide; page.js does the same for a screen."""
        if self.panels == 1:
            size = {"width": min(self.widest, width), "autosize": {"type": "fit-x", "contains": "padding"}}
            return self.specification | size
        fitting = max(1, (width - 90) // (self.narrowest + 20))
        columns = ceil(self.panels / ceil(self.panels / fitting))
        panel = min(self.widest, (width - 90) // columns - 20)
        return self.specification | {"columns": columns, "spec": self.specification["spec"] | {"width": panel}}

    def legend_columns(self, width: int) -> int:
        """How many entries of a legend stand side by side."""
        room = min(self.widest, width) if self.panels == 1 else width
        return max(1, (room - 60) // (7 * self.legend + 44))


def draw(chart: Chart, frame: pl.DataFrame, description: str) -> Drawing | None:
    """Draw `chart` from its table; None where no line of it can be drawn.

    description: what those read who do not see the picture.
    """
    shown = _shown(chart, frame)
    kept = _drawable(chart, shown)
    if kept.is_empty():
        return None
    if chart.dash is not None and encodings.tests_of(chart, kept) == ["train"]:
        chart = replace(chart, dash=None)
    panel = _SHAPES[chart.shape](chart, kept)
    layered = alt.layer(*panel.layers, data=alt.Data(values=panel.records), height=panel.height)
    panels = 1 if chart.facet is None else kept[chart.facet].n_unique()
    picture = _facet(chart, kept, layered) if chart.facet and panels > 1 else layered
    specification = all_legible(picture.properties(description=description).to_dict())
    specification.pop("config", None)
    lost = shown.height - kept.height
    note = f"{lost} of {shown.height} points are not drawn: not measured, or 0 on a logarithmic axis."
    sizes = (panel.narrowest, panel.widest, panel.levels)
    return Drawing(specification, panels, *sizes, _legend(chart, kept), note if lost else None)


def _shown(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """The chart's lines and columns; NaN is null, six digits are enough for a picture, and names are legible before
    expressions hold them."""
    axes = [axis.column for axis in (chart.x, chart.y, chart.color) if axis is not None]
    others = [
        chart.lower,
        chart.upper,
        chart.facet,
        chart.dash,
        chart.target,
        *(name for name in ("row", "rows") if name in frame.columns),
    ]
    names = dict.fromkeys([*axes, *(name for name in others if name)])
    shown = frame.filter(*(pl.col(name) == value for name, value in chart.where.items())).select(*names)
    floats = [name for name in names if shown[name].dtype.is_float()]
    texts = [name for name in names if shown[name].dtype == pl.String]
    return shown.with_columns(
        *(pl.col(name).fill_nan(None).round_sig_figs(6) for name in floats),
        *(pl.col(name).replace({text: legible(text) for text in shown[name].drop_nulls().unique()}) for name in texts),
    )


def _drawable(chart: Chart, shown: pl.DataFrame) -> pl.DataFrame:
    """Lines that have a place: values measured, and above 0 on a logarithmic axis. A matrix shows its empty cells."""
    kept = shown.drop_nulls([chart.x.column, chart.y.column])
    if chart.target is not None and kept[chart.target].is_null().all():
        return kept.clear()
    for axis in (chart.x, chart.y):
        if axis.scale == "log" and chart.shape not in ("bars", "stacked", "matrix", "flow"):
            kept = kept.filter(pl.col(axis.column) > 0)
    if chart.shape == "matrix" and chart.color is not None and kept[chart.color.column].is_null().all():
        return kept.clear()
    return _clipped(chart, kept)


def _clipped(chart: Chart, kept: pl.DataFrame) -> pl.DataFrame:
    """On a logarithmic axis an interval that reaches 0 ends at half of the lowest value."""
    if chart.y.scale != "log" or chart.lower is None or kept.is_empty():
        return kept
    return kept.with_columns(pl.col(chart.lower).clip(lower_bound=pl.col(chart.y.column).min() / 2))


def _facet(chart: Chart, frame: pl.DataFrame, layered: Any) -> alt.FacetChart:
    assert chart.facet is not None
    shown = encodings.values(frame, chart.facet)
    number = frame[chart.facet].dtype.is_numeric()
    name = f"'{encodings.words(chart.facet)} ' + datum.value" if number else "datum.value"
    header = alt.Header(title=None, labelExpr=name)
    panels = layered.facet(facet=alt.Facet(field=chart.facet, type="nominal", sort=shown, header=header), columns=2)
    return panels.resolve_axis(x="independent")


def _legend(chart: Chart, frame: pl.DataFrame) -> int:
    names = [column for column in (chart.color.column if chart.color else None, chart.dash) if column]
    return max((len(str(value)) for name in names for value in encodings.values(frame, name)), default=0)
