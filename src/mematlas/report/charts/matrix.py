"""A matrix: the value of every pair as a shade and as a number, or, of many, as a shade with a scale: a heat map."""

from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import encodings
from mematlas.report.charts.panel import Panel

#: Most columns and rows with a number in every cell.
_NUMBERED: Final = (14, 20)


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """Cells in the order of the table, the first row on top."""
    if chart.color is None:
        raise ValueError(f"chart {chart.name}: a matrix needs a column of values (color)")
    value = chart.color.column
    columns, rows = (frame[axis.column].n_unique() for axis in (chart.x, chart.y))
    is_numbered = columns <= _NUMBERED[0] and rows <= _NUMBERED[1]
    x, y = (encodings.axis_channel(axis, frame, discrete=True) for axis in (chart.x, chart.y))
    x["title"], y["title"] = (
        encodings.wrap_title(axis.title, 36 if is_numbered else 72) for axis in (chart.x, chart.y)
    )
    x["axis"]["labelOverlap"], y["axis"]["labelAngle"] = False, 0
    if not is_numbered:
        x["axis"]["labelAngle"], x["axis"]["labelFontSize"], y["axis"]["labelFontSize"] = -90, 10, 10
    elif not frame[chart.y.column].dtype.is_numeric():
        y["axis"]["labelExpr"] = encodings.split_label_expression(encodings.ordered_values(frame, chart.y.column))
    base = alt.Chart().encode(x=alt.X(**x), y=alt.Y(**y), tooltip=encodings.tooltip_channels(chart, frame))
    is_measured = f"isValid(datum['{value}'])"
    shade = _shade(chart.color, frame, None if is_numbered else _scale_legend(chart.color))
    cells = base.mark_rect(strokeWidth=2 if is_numbered else 0.5).transform_filter(is_measured).encode(color=shade)
    missing = base.mark_text(text="–").transform_filter(f"!{is_measured}")
    if not is_numbered:
        return Panel([cells, missing], frame.to_dicts(), 13 * rows, min_width=12 * columns, max_width=20 * columns)
    text_color = encodings.TEXT_COLOR_ON_SHADE.format(column=value)
    number_format = ".1%" if chart.color.share else ",d" if frame[value].dtype.is_integer() else ".2f"
    numbers = (
        base.mark_text(color=alt.ExprRef(text_color), fontSize=11)
        .transform_filter(is_measured)
        .encode(text=alt.Text(field=value, type="quantitative", format=number_format))
    )
    marks = [cells, numbers, missing]
    return Panel(marks, frame.to_dicts(), 46 * rows, min_width=46 * columns, max_width=84 * columns)


def _scale_legend(axis: Axis) -> alt.Legend:
    """The shades with their values, above the picture."""
    return alt.Legend(
        type="gradient",
        direction="horizontal",
        gradientLength=200,
        gradientThickness=10,
        titleLimit=600,
        tickCount=3,
        format="~%" if axis.share else "~g",
    )


def _shade(axis: Axis, frame: pl.DataFrame, legend: Any) -> alt.Color:
    """The ramp over 0 to 1 for shares, from 0 otherwise, and two-sided around 0 where values are negative."""
    values = frame[axis.column].drop_nulls().to_list()
    largest = max(map(abs, values)) or 1
    if min(values) < 0:
        scale = alt.Scale(domain=[-largest, 0, largest], range="diverging")
    else:
        scale = alt.Scale(domain=[0, 1 if axis.share else largest], range="heatmap")
    return alt.Color(field=axis.column, type="quantitative", title=axis.title, scale=scale, legend=legend)
