"""Bars with whiskers, and stacked bars."""

from dataclasses import replace
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import encodings, layers
from mematlas.report.charts.chart_rows import count_column
from mematlas.report.charts.numbers import with_written_numbers
from mematlas.report.charts.orders import merge_orders, ordered_values
from mematlas.report.charts.palette import Palette
from mematlas.report.charts.panel import Panel
from mematlas.report.charts.text_metrics import text_width

_START, _END, _MIDDLE, _LABEL = "part_from", "part_to", "part_middle", "part_label"
_BAR_END, _BAR_LABEL = "bar_end", "bar_label"
_MIN_LABELLED: Final = 0.07  # relative to the longest bar: shorter parts have no room for a label
_FEW_ROWS: Final = 30  # bars of fewer rows say how many
_MAX_UPRIGHT: Final = 8  # bars with numbers of rows above them that fit side by side
_ZERO_WIDTH: Final = 3


def draw(chart: Chart, frame: pl.DataFrame, palette: Palette) -> Panel:
    """One bar per value of x; several series are placed side by side.

    A value of 0 is a thick line at 0, one that was not measured a dash; bars of few rows say how many.
    """
    frame = _with_bar_labels(chart, with_written_numbers(layers.with_series_names(chart, frame)))
    is_crowded = _BAR_LABEL in frame.columns and frame[_BAR_LABEL].count() > 0 and frame.height > _MAX_UPRIGHT
    horizontal = layers.is_horizontal(chart, frame) or is_crowded
    channels = layers.position_channels(chart, frame, horizontal=horizontal, discrete=True)
    bars = alt.Chart().mark_bar().encode(**channels, tooltip=encodings.tooltip_channels(chart, frame))
    zeros = alt.Chart().mark_tick(thickness=_ZERO_WIDTH, bandSize=14, orient="vertical" if horizontal else "horizontal")
    zeros = zeros.transform_filter(f"datum[{chart.y.column!r}] === 0").encode(**channels)
    if chart.color is not None:
        color = encodings.color_channel(chart.color, frame, palette)
        bars, zeros = bars.encode(color=color), zeros.encode(color=color)
    has_zeros = bool((frame[chart.y.column] == 0).any())
    chart_layers = [
        bars,
        *([zeros] if has_zeros else []),
        *_whiskers(chart, frame, channels, horizontal),
        *_bar_labels(frame, channels, horizontal),
        *layers.reference_line(chart, channels, horizontal=horizontal),
    ]
    series = frame[layers.SERIES].n_unique()
    height = layers.height(chart, frame, horizontal=horizontal, series=series)
    max_width = layers.max_width(chart, frame, horizontal=horizontal)
    room = layers.reference_room(chart, horizontal=horizontal)
    if horizontal and _BAR_LABEL in frame.columns:
        room = round(max(text_width(label, 10) for label in frame[_BAR_LABEL].drop_nulls()) + 6)
    return Panel(chart_layers, frame.to_dicts(), height, min_width=150, max_width=max_width, label_width=room)


def _with_bar_labels(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with what is written at the end of a bar: the number of rows if it is small, a dash if not measured."""
    value, count = pl.col(chart.y.column), count_column(chart, frame.columns)
    label = pl.when(value.is_null()).then(pl.lit("–")).when(value == 0).then(pl.lit("0")).otherwise(None)
    if count is not None and frame[count].dtype.is_integer():
        number = pl.format("n = {}", pl.col(count))
        with_number = pl.when(value == 0).then(pl.format("0 ({})", number)).otherwise(number)
        label = pl.when(value.is_not_null() & (pl.col(count) < _FEW_ROWS)).then(with_number).otherwise(label)
    end = pl.col(chart.upper).fill_null(value) if chart.upper else value
    labelled = frame.with_columns(label.alias(_BAR_LABEL), end.fill_null(0).alias(_BAR_END))
    return labelled if labelled[_BAR_LABEL].count() else frame


def _bar_labels(frame: pl.DataFrame, channels: dict[str, Any], horizontal: bool) -> list[alt.Chart]:
    if _BAR_LABEL not in frame.columns:
        return []
    axis = "x" if horizontal else "y"
    end = channels[axis].copy()
    end["field"] = _BAR_END
    place: dict[str, Any] = {"align": "left", "dx": 4} if horizontal else {"baseline": "bottom", "dy": -3}
    text = alt.Chart().mark_text(style="count", **place).transform_filter(f"isValid(datum.{_BAR_LABEL})")
    return [text.encode(**channels | {axis: end}, text=alt.Text(field=_BAR_LABEL, type="nominal"))]


def _whiskers(chart: Chart, frame: pl.DataFrame, channels: dict[str, Any], horizontal: bool) -> list[alt.Chart]:
    """The intervals; those of bars at 0 are faint, so that they do not look like bars."""
    if chart.lower is None or chart.upper is None:
        return []
    interval = layers.interval_channels(channels, chart.lower, chart.upper, horizontal=horizontal)
    value = f"datum[{chart.y.column!r}]"
    whiskers = alt.Chart().mark_rule(strokeWidth=1.5, style="whisker").encode(**interval)
    faint = alt.Chart().mark_rule(strokeWidth=1, opacity=0.4, style="whisker").encode(**interval)
    has_zeros = bool((frame[chart.y.column] == 0).any())
    is_value, is_zero = f"isValid({value}) && {value} !== 0", f"{value} === 0"
    return [whiskers.transform_filter(is_value), *([faint.transform_filter(is_zero)] if has_zeros else [])]


def draw_stacked(chart: Chart, frame: pl.DataFrame, palette: Palette) -> Panel:
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
            color=encodings.level_color_channel(chart.color, parts, palette),
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
        return ordered_values(frame, color.column)
    bars = frame.group_by(_bar_columns(chart), maintain_order=True)
    return merge_orders(ordered_values(bar, color.column) for _, bar in bars)


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
