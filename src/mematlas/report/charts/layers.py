"""Channels and layers that several shapes share: positions, intervals, and the reference line."""

from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings

SERIES: Final = "series_name"


def with_series_names(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with a column that names the series (color and dash) of each row."""
    parts = [pl.col(column).cast(pl.String) for column in _series_columns(chart)] or [pl.lit("")]
    return frame.with_columns(pl.concat_str(parts, separator=", ", ignore_nulls=True).alias(SERIES))


def _series_columns(chart: Chart) -> list[str]:
    return [column for column in (chart.color.column if chart.color else None, chart.dash) if column]


def is_horizontal(chart: Chart, frame: pl.DataFrame) -> bool:
    """Whether the chart is drawn with horizontal bars, because the labels of x do not fit side by side."""
    return not encodings.labels_fit(encodings.ordered_values(frame, chart.x.column))


def position_channels(chart: Chart, frame: pl.DataFrame, *, horizontal: bool, discrete: bool) -> dict[str, Any]:
    """The channels x and y; on a discrete x, several series are placed side by side. Needs `with_series_names`."""
    if discrete:
        x = encodings.axis_channel(chart.x, frame, discrete=True)
    else:
        x = encodings.series_axis_channel(chart.x, frame)
    y = encodings.axis_channel(chart.y, frame, zero=chart.y.zero)
    x["title"] = encodings.wrap_title(chart.x.title, 36 if chart.facet else 64)
    y["title"] = encodings.wrap_title(chart.y.title, 64 if horizontal else 36)
    if horizontal:
        x["axis"]["labelAngle"], x["title"] = 0, None
    channels: dict[str, Any] = {"y": alt.Y(**x), "x": alt.X(**y)} if horizontal else {"x": alt.X(**x), "y": alt.Y(**y)}
    series_names = encodings.ordered_values(frame, SERIES)
    if discrete and len(series_names) > 1:
        offset = alt.YOffset if horizontal else alt.XOffset
        channels["yOffset" if horizontal else "xOffset"] = offset(field=SERIES, type="nominal", sort=series_names)
    return channels


def height(chart: Chart, frame: pl.DataFrame, *, horizontal: bool, series: int) -> int:
    """The height of the chart, in pixels."""
    return 20 + frame[chart.x.column].n_unique() * max(30, 16 * series + 8) if horizontal else 280


def max_width(chart: Chart, frame: pl.DataFrame, *, horizontal: bool) -> int:
    """The maximal width of the chart, in pixels: a few vertical bars stay narrow."""
    return 720 if horizontal else min(720, 120 + 80 * frame.select(chart.x.column, SERIES).n_unique())


def interval_channels(channels: dict[str, Any], lower: str, upper: str, *, horizontal: bool) -> dict[str, Any]:
    """The same channels, but from the column `lower` to the column `upper`."""
    value_axis = "x" if horizontal else "y"
    lower_channel = channels[value_axis].copy()
    lower_channel["field"] = lower
    return channels | {value_axis: lower_channel, f"{value_axis}2": (alt.X2 if horizontal else alt.Y2)(field=upper)}


def reference_line(chart: Chart, channels: dict[str, Any], *, horizontal: bool) -> list[alt.Chart]:
    """The layers of the chart's reference line and its label; none without a reference."""
    if chart.reference is None:
        return []
    value, name = chart.reference
    value_axis = "x" if horizontal else "y"
    channel = channels[value_axis].copy()
    channel["field"] = "reference"
    base = alt.Chart(alt.Data(values=[{"reference": value, "name": name}])).encode(**{value_axis: channel})
    line = base.mark_rule(strokeDash=[2, 3], strokeWidth=1.2, style="reference")
    start = {"y" if horizontal else "x": alt.value(0)}
    text = base.mark_text(align="left", baseline="bottom", dx=4, dy=-4, style="reference")
    return [line, text.encode(text=alt.Text("name:N"), **start)]
