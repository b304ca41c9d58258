"""Channels and layers that several shapes share: positions, intervals, and the reference line."""

from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings
from mematlas.report.charts.orders import ordered_values
from mematlas.report.charts.text_metrics import text_width

SERIES: Final = "series_name"
_LINE: Final = 15  # pixels of a line of a label
_WIDE, _NARROW, _HIGH = 280, 190, 240  # pixels of a title below a chart, below a panel, and beside either


def with_series_names(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with a column that names the series (color and dash) of each row."""
    parts = [pl.col(column).cast(pl.String) for column in _series_columns(chart)] or [pl.lit("")]
    return frame.with_columns(pl.concat_str(parts, separator=", ", ignore_nulls=True).alias(SERIES))


def _series_columns(chart: Chart) -> list[str]:
    columns = (chart.color.column if chart.color else None, chart.dash)
    return list(dict.fromkeys(column for column in columns if column))


def is_horizontal(chart: Chart, frame: pl.DataFrame) -> bool:
    """Whether the chart is drawn with horizontal bars, because the labels of x do not fit side by side."""
    return not encodings.labels_fit(ordered_values(frame, chart.x.column))


def position_channels(chart: Chart, frame: pl.DataFrame, *, horizontal: bool, discrete: bool) -> dict[str, Any]:
    """The channels x and y; on a discrete x, several series are placed side by side. Needs `with_series_names`."""
    if discrete:
        x = encodings.axis_channel(chart.x, frame, discrete=True)
    else:
        x = encodings.series_axis_channel(chart.x, frame)
    y = encodings.axis_channel(chart.y, frame, zero=chart.y.zero)
    bottom = _NARROW if chart.facet else _WIDE
    x["title"] = encodings.wrap_title(chart.x.title, bottom)
    y["title"] = encodings.wrap_title(chart.y.title, bottom if horizontal else _HIGH)
    if not frame[chart.x.column].dtype.is_numeric():
        lines = encodings.label_lines(ordered_values(frame, chart.x.column))
        x["axis"]["labelExpr"] = encodings.label_expression(lines)
        if not horizontal:
            encodings.slant_if_narrow(x["axis"], lines, len(lines), faceted=chart.facet is not None)
    if horizontal:
        x["axis"]["labelAngle"] = 0
        x["title"] = encodings.wrap_title(chart.x.title, _HIGH) if frame[chart.x.column].dtype.is_numeric() else None
    channels: dict[str, Any] = {"y": alt.Y(**x), "x": alt.X(**y)} if horizontal else {"x": alt.X(**x), "y": alt.Y(**y)}
    series_names = ordered_values(frame, SERIES)
    if discrete and len(series_names) > 1:
        offset = alt.YOffset if horizontal else alt.XOffset
        channels["yOffset" if horizontal else "xOffset"] = offset(field=SERIES, type="nominal", sort=series_names)
    return channels


def height(chart: Chart, frame: pl.DataFrame, *, horizontal: bool, series: int) -> int:
    """The height of the chart, in pixels."""
    if not horizontal:
        return 280
    labels = encodings.label_lines(ordered_values(frame, chart.x.column))
    lines = max(map(len, labels.values()), default=1)
    return 20 + frame[chart.x.column].n_unique() * max(30, 16 * series + 8, _LINE * lines + 6)


def max_width(chart: Chart, frame: pl.DataFrame, *, horizontal: bool) -> int:
    """The maximal width of the chart, in pixels: a few vertical bars stay narrow."""
    return 720 if horizontal else min(720, 120 + 80 * frame.select(chart.x.column, SERIES).n_unique())


def interval_channels(channels: dict[str, Any], lower: str, upper: str, *, horizontal: bool) -> dict[str, Any]:
    """The same channels, but from the column `lower` to the column `upper`."""
    value_axis = "x" if horizontal else "y"
    lower_channel = channels[value_axis].copy()
    lower_channel["field"] = lower
    return channels | {value_axis: lower_channel, f"{value_axis}2": (alt.X2 if horizontal else alt.Y2)(field=upper)}


def reference_line(chart: Chart, channels: dict[str, Any], *, horizontal: bool, label: bool = True) -> list[alt.Chart]:
    """The layers of the chart's reference line and of its name, beside the plot or above it; none without one."""
    if chart.reference is None:
        return []
    value, name = chart.reference
    value_axis = "x" if horizontal else "y"
    channel = channels[value_axis].copy()
    channel["field"] = "reference"
    base = alt.Chart(alt.Data(values=[{"reference": value, "name": name}])).encode(**{value_axis: channel})
    line = base.mark_rule(strokeDash=[2, 3], strokeWidth=1.2, style="reference")
    if not label:
        return [line]
    if horizontal:
        text = base.mark_text(align="left", baseline="bottom", dx=-3, dy=-4, style="reference")
        return [line, text.encode(text=alt.Text("name:N"), y=alt.value(0))]
    text = base.mark_text(align="left", baseline="middle", dx=5, fontSize=11, style="reference")
    return [line, text.encode(text=alt.Text("name:N"), x=alt.value("width"))]


def event_lines(chart: Chart, channels: dict[str, Any]) -> list[alt.Chart]:
    """The layer with the vertical lines at the chart's events; none without events."""
    if not chart.events:
        return []
    channel = channels["x"].copy()
    channel["field"] = "event"
    base = alt.Chart(alt.Data(values=[{"event": value} for value in chart.events])).encode(x=channel)
    return [base.mark_rule(strokeDash=[1, 3], strokeWidth=1, style="reference")]


def reference_room(chart: Chart, *, horizontal: bool) -> int:
    """The width of the name of the reference line beside the plot, in pixels."""
    return 0 if chart.reference is None or horizontal else round(text_width(chart.reference[1], 11) + 6)


def diagonal_line(chart: Chart, channels: dict[str, Any], low: float, high: float) -> list[alt.Chart]:
    """The line on which y equals x, and its name, below the upper end."""
    if chart.diagonal is None:
        return []
    x, y = channels["x"].copy(), channels["y"].copy()
    x["field"], y["field"] = "diagonal", "diagonal"
    ends = [{"diagonal": low, "name": ""}, {"diagonal": high, "name": chart.diagonal}]
    base = alt.Chart(alt.Data(values=ends)).encode(x=x, y=y)
    line = base.mark_line(strokeDash=[2, 3], strokeWidth=1.2, style="reference")
    text = base.mark_text(align="right", baseline="bottom", dy=-4, style="reference")
    return [line, text.encode(text=alt.Text("name:N"))]
