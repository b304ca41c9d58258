"""A matrix: every pair's value as a shade and as a number."""

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import encodings
from mematlas.report.charts.panel import Panel


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """Cells in the order of the table, the first line on top."""
    if chart.color is None:
        raise ValueError(f"chart {chart.name}: a matrix needs a column of values (color)")
    value = chart.color.column
    x, y = (encodings.position(axis, frame, discrete=True) for axis in (chart.x, chart.y))
    x["title"], y["title"] = (encodings.wrapped(axis.title, 36) for axis in (chart.x, chart.y))
    x["axis"]["labelOverlap"], y["axis"]["labelAngle"] = False, 0
    if not frame[chart.y.column].dtype.is_numeric():
        y["axis"]["labelExpr"] = encodings.broken_labels(encodings.values(frame, chart.y.column))
    base = alt.Chart().encode(x=alt.X(**x), y=alt.Y(**y), tooltip=encodings.tooltip(chart, frame))
    known = f"isValid(datum['{value}'])"
    cells = base.mark_rect().transform_filter(known).encode(color=_shade(chart.color, frame))
    ink = encodings.INK_ON_SHADE.format(column=value)
    form = ".1%" if chart.color.share else ",d" if frame[value].dtype.is_integer() else ".2f"
    numbers = (
        base.mark_text(color=alt.ExprRef(ink), fontSize=11)
        .transform_filter(known)
        .encode(text=alt.Text(field=value, type="quantitative", format=form))
    )
    unknown = base.mark_text(text="–").transform_filter(f"!{known}")
    columns, lines = (frame[axis.column].n_unique() for axis in (chart.x, chart.y))
    marks = [cells, numbers, unknown]
    return Panel(marks, frame.to_dicts(), 46 * lines, narrowest=46 * columns, widest=84 * columns)


def _shade(axis: Axis, frame: pl.DataFrame) -> alt.Color:
    """The ramp over 0 to 1 for shares, from 0 otherwise, and two-sided around 0 where values are negative."""
    known = frame[axis.column].drop_nulls().to_list()
    reach = max(map(abs, known)) or 1
    if min(known) < 0:
        scale = alt.Scale(domain=[-reach, 0, reach], range="diverging")
    else:
        scale = alt.Scale(domain=[0, 1 if axis.share else reach], range="heatmap")
    return alt.Color(field=axis.column, type="quantitative", title=axis.title, scale=scale, legend=None)
