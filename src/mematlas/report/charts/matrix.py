"""A matrix: the value of every pair as a shade and as a number, or, of many, as a shade with a scale: a heat map."""

from typing import Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import encodings
from mematlas.report.charts.chart_rows import count_column
from mematlas.report.charts.numbers import short_number
from mematlas.report.charts.orders import ordered_values
from mematlas.report.charts.palette import Palette
from mematlas.report.charts.panel import Panel

_COUNT: Final = "cell_rows"
_CELL: Final = 46  # pixels
_NUMBERED: Final = (14, 20)  # most columns and rows with a number in every cell
_HEAT_FONT: Final = 9
_LABEL_WIDTH: Final = 92  # of a line of a label beside a row
_TITLE_WIDTH: Final = 190


def draw(chart: Chart, frame: pl.DataFrame, palette: Palette) -> Panel:
    """Cells in the order of the table, the first row on top, with the number of rows if cells differ in it."""
    if chart.color is None:
        raise ValueError(f"chart {chart.name}: a matrix needs a column of values (color)")
    if any(frame[axis.column].n_unique() > most for axis, most in zip((chart.x, chart.y), _NUMBERED, strict=True)):
        return _heat_map(chart, chart.color, frame)
    value = chart.color.column
    frame = _with_counts(chart, frame)
    x, y = (encodings.axis_channel(axis, frame, discrete=True) for axis in (chart.x, chart.y))
    columns, rows = (frame[axis.column].n_unique() for axis in (chart.x, chart.y))
    x["title"] = encodings.wrap_title(chart.x.title, max(_TITLE_WIDTH / 2, _CELL * columns))
    y["title"] = encodings.wrap_title(chart.y.title, max(_TITLE_WIDTH / 2, _CELL * rows))
    y["axis"]["labelAngle"] = 0
    for axis, channel, width in ((chart.x, x, _LABEL_WIDTH), (chart.y, y, _LABEL_WIDTH)):
        if not frame[axis.column].dtype.is_numeric():
            lines = encodings.label_lines(ordered_values(frame, axis.column), width)
            channel["axis"]["labelExpr"] = encodings.label_expression(lines)
            if channel is x:
                encodings.slant_if_narrow(x["axis"], lines, len(lines), faceted=chart.facet is not None)
    base = alt.Chart().encode(x=alt.X(**x), y=alt.Y(**y), tooltip=encodings.tooltip_channels(chart, frame))
    is_measured = f"isValid(datum['{value}'])"
    cells = base.mark_rect().transform_filter(is_measured).encode(color=_shade(chart.color, frame))
    ink = alt.ExprRef(encodings.TEXT_COLOR_ON_SHADE.format(column=value))
    number_format = ".0%" if chart.color.share else ",d" if frame[value].dtype.is_integer() else ".2f"
    has_counts = _COUNT in frame.columns
    numbers = base.mark_text(color=ink, fontSize=11, dy=-6 if has_counts else 0).transform_filter(is_measured)
    marks = [cells, numbers.encode(text=alt.Text(field=value, type="quantitative", format=number_format))]
    if has_counts:
        counts = base.mark_text(color=ink, fontSize=9, dy=8).transform_filter(is_measured)
        marks.append(counts.encode(text=alt.Text(field=_COUNT, type="nominal")))
    marks.append(base.mark_text(text="–").transform_filter(f"!{is_measured}"))
    return Panel(marks, frame.to_dicts(), _CELL * rows, min_width=_CELL * columns, max_width=84 * columns)


def _heat_map(chart: Chart, shade: Axis, frame: pl.DataFrame) -> Panel:
    """Small cells without numbers, labels along the edge of each, and a scale of the shades."""
    columns, rows = (frame[axis.column].n_unique() for axis in (chart.x, chart.y))
    x, y = (encodings.axis_channel(axis, frame, discrete=True) for axis in (chart.x, chart.y))
    for channel, angle in ((x, -90), (y, 0)):
        labels = {"labelAngle": angle, "labelFontSize": _HEAT_FONT, "labelOverlap": False, "labelPadding": 2}
        for name, value in labels.items():
            channel["axis"][name] = value
    legend = alt.Legend(
        type="gradient",
        direction="horizontal",
        gradientLength=200,
        gradientThickness=10,
        titleLimit=0,
        tickCount=3,
        format="~%" if shade.share else "~g",
    )
    base = alt.Chart().encode(x=alt.X(**x), y=alt.Y(**y), tooltip=encodings.tooltip_channels(chart, frame))
    is_measured = f"isValid(datum['{shade.column}'])"
    cells = base.mark_rect(strokeWidth=0.5).transform_filter(is_measured).encode(color=_shade(shade, frame, legend))
    missing = base.mark_text(text="–").transform_filter(f"!{is_measured}")
    return Panel([cells, missing], frame.to_dicts(), 13 * rows, min_width=12 * columns, max_width=20 * columns)


def _with_counts(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with "of 18" for each cell; unchanged where all cells are of the same rows."""
    count = count_column(chart, frame.columns)
    if count is None or frame[count].drop_nulls().n_unique() < 2:
        return frame
    texts = [None if rows is None else f"of {short_number(rows) if rows >= 1000 else rows}" for rows in frame[count]]
    return frame.with_columns(pl.Series(_COUNT, texts, pl.String))


def _shade(axis: Axis, frame: pl.DataFrame, legend: alt.Legend | None = None) -> alt.Color:
    """The ramp over 0 to 1 for shares, from 0 otherwise, and two-sided around 0 where values are negative."""
    values = frame[axis.column].drop_nulls().to_list()
    largest = max(map(abs, values)) or 1
    if min(values) < 0:
        scale = alt.Scale(domain=[-largest, 0, largest], range="diverging")
    else:
        scale = alt.Scale(domain=[0, 1 if axis.share else largest], range="heatmap")
    return alt.Color(field=axis.column, type="quantitative", title=axis.title, scale=scale, legend=legend)
