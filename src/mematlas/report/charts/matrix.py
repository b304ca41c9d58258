"""A matrix: the value of every pair as a shade and as a number."""

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import encodings
from mematlas.report.charts.panel import Panel


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """Cells in the order of the table, the first row on top."""
    if chart.color is None:
        raise ValueError(f"chart {chart.name}: a matrix needs a column of values (color)")
    value = chart.color.column
    x, y = (encodings.axis_channel(axis, frame, discrete=True) for axis in (chart.x, chart.y))
    x["title"], y["title"] = (encodings.wrap_title(axis.title, 36) for axis in (chart.x, chart.y))
    x["axis"]["labelOverlap"], y["axis"]["labelAngle"] = False, 0
    if not frame[chart.y.column].dtype.is_numeric():
        y["axis"]["labelExpr"] = encodings.split_label_expression(encodings.ordered_values(frame, chart.y.column))
    base = alt.Chart().encode(x=alt.X(**x), y=alt.Y(**y), tooltip=encodings.tooltip_channels(chart, frame))
    is_measured = f"isValid(datum['{value}'])"
    cells = base.mark_rect().transform_filter(is_measured).encode(color=_shade(chart.color, frame))
    text_color = encodings.TEXT_COLOR_ON_SHADE.format(column=value)
    number_format = ".1%" if chart.color.share else ",d" if frame[value].dtype.is_integer() else ".2f"
    numbers = (
        base.mark_text(color=alt.ExprRef(text_color), fontSize=11)
        .transform_filter(is_measured)
        .encode(text=alt.Text(field=value, type="quantitative", format=number_format))
    )
    missing = base.mark_text(text="–").transform_filter(f"!{is_measured}")
    columns, rows = (frame[axis.column].n_unique() for axis in (chart.x, chart.y))
    marks = [cells, numbers, missing]
    return Panel(marks, frame.to_dicts(), 46 * rows, min_width=46 * columns, max_width=84 * columns)


def _shade(axis: Axis, frame: pl.DataFrame) -> alt.Color:
    """The ramp over 0 to 1 for shares, from 0 otherwise, and two-sided around 0 where values are negative."""
    values = frame[axis.column].drop_nulls().to_list()
    largest = max(map(abs, values)) or 1
    if min(values) < 0:
        scale = alt.Scale(domain=[-largest, 0, largest], range="diverging")
    else:
        scale = alt.Scale(domain=[0, 1 if axis.share else largest], range="heatmap")
    return alt.Color(field=axis.column, type="quantitative", title=axis.title, scale=scale, legend=None)
