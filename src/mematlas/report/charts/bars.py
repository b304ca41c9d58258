"""Bars with whiskers, and stacked bars."""

from dataclasses import replace
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import encodings, layers
from mematlas.report.charts.panel import Panel

_START, _END, _MIDDLE, _LABEL = "part_from", "part_to", "part_middle", "part_label"
_MIN_LABELLED: Final = 0.07  # relative to the longest bar: shorter parts have no room for a label


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """One bar per value of x; several series are placed side by side."""
    frame = layers.with_series_names(chart, frame)
    horizontal = layers.is_horizontal(chart, frame)
    channels = layers.position_channels(chart, frame, horizontal=horizontal, discrete=True)
    bars = alt.Chart().mark_bar().encode(**channels, tooltip=encodings.tooltip_channels(chart, frame))
    if chart.color is not None:
        bars = bars.encode(color=encodings.color_channel(chart.color, frame))
    if chart.dash is not None:
        bars = bars.encode(encodings.fill_channel(chart.dash, encodings.dash_values(chart, frame)))
    chart_layers = [
        bars,
        *_whiskers(chart, channels, horizontal),
        *layers.reference_line(chart, channels, horizontal=horizontal),
    ]
    series = frame[layers.SERIES].n_unique()
    height = layers.height(chart, frame, horizontal=horizontal, series=series)
    max_width = layers.max_width(chart, frame, horizontal=horizontal)
    return Panel(chart_layers, frame.to_dicts(), height, max_width=max_width)


def _whiskers(chart: Chart, channels: dict[str, Any], horizontal: bool) -> list[alt.Chart]:
    if chart.lower is None or chart.upper is None:
        return []
    interval = layers.interval_channels(channels, chart.lower, chart.upper, horizontal=horizontal)
    return [alt.Chart().mark_rule(strokeWidth=1.5, style="whisker").encode(**interval)]


def draw_stacked(chart: Chart, frame: pl.DataFrame) -> Panel:
    """Stacked parts, each labelled with its value if there is room."""
    if chart.color is None:
        raise ValueError(f"chart {chart.name}: stacked bars need a column of parts (color)")
    parts = _parts(chart, chart.color, frame)
    frame = layers.with_series_names(_without_color(chart), _with_positions(chart, chart.color, frame, parts))
    horizontal = layers.is_horizontal(chart, frame)
    channels = layers.position_channels(chart, frame, horizontal=horizontal, discrete=True)
    series = frame[layers.SERIES].n_unique()
    bars = (
        alt.Chart()
        .mark_bar()
        .encode(
            **layers.interval_channels(channels, _START, _END, horizontal=horizontal),
            color=encodings.level_color_channel(chart.color, parts),
            tooltip=encodings.tooltip_channels(chart, frame),
        )
    )
    middle = channels["x" if horizontal else "y"].copy()
    middle["field"] = _MIDDLE
    text_color = alt.ExprRef(encodings.TEXT_COLOR_ON_SHADE.format(column=chart.color.column))
    labels = alt.Chart().mark_text(fontSize=11, color=text_color)
    labels = labels.encode(
        **channels | {"x" if horizontal else "y": middle}, text=alt.Text(field=_LABEL, type="nominal")
    )
    height = layers.height(chart, frame, horizontal=horizontal, series=series)
    max_width = layers.max_width(chart, frame, horizontal=horizontal)
    return Panel([bars, labels], frame.to_dicts(), height, max_width=max_width, levels=len(parts))


def _without_color(chart: Chart) -> Chart:
    """The chart without its color column: series side by side differ in the dash column; colors are parts of a bar."""
    return replace(chart, color=None)


def _parts(chart: Chart, color: Axis, frame: pl.DataFrame) -> list[Any]:
    """All parts from the bottom up, although single bars may lack some."""
    if frame[color.column].dtype.is_numeric():
        return encodings.ordered_values(frame, color.column)
    bars = frame.group_by(_bar_columns(chart), maintain_order=True)
    return encodings.merge_orders(encodings.ordered_values(bar, color.column) for _, bar in bars)


def _bar_columns(chart: Chart) -> list[str]:
    return [chart.x.column, *(column for column in (chart.facet, chart.dash) if column)]


def _with_positions(chart: Chart, color: Axis, frame: pl.DataFrame, parts: list[Any]) -> pl.DataFrame:
    """`frame` with columns for the start, end, middle and label of each part."""
    value = pl.col(chart.y.column)
    order = pl.col(color.column).replace_strict(parts, range(len(parts)), return_dtype=pl.Int64)
    high = value.cum_sum().over(_bar_columns(chart)).round(5)  # parts that sum up to 1 end at 1
    frame = frame.sort(order, maintain_order=True).with_columns(high.alias(_END), (high - value).round(5).alias(_START))
    rounded = (100 * value).round(0).cast(pl.Int64) if chart.y.share else value.round_sig_figs(3)
    text = rounded.cast(pl.String) + (" %" if chart.y.share else "")
    has_room = value >= _MIN_LABELLED * pl.col(_END).max()
    middle = (pl.col(_START) + pl.col(_END)) / 2
    return frame.with_columns(middle.alias(_MIDDLE), pl.when(has_room).then(text).otherwise(pl.lit("")).alias(_LABEL))
