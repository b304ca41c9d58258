"""Lines, steps and points: one quantity against another, with intervals."""

from typing import Any, Final, Literal

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings, layers
from mematlas.report.charts.panel import Panel

_MIN_BAND_POSITIONS: Final = 9  # positions along x: intervals are drawn as a band; below, as whiskers
_MAX_MARKED_POSITIONS: Final = 20  # positions along x that all get marks; with more, only every few
_MARKED: Final = "marked"


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """A line (or steps, or only points) per series, with its interval as a band or as whiskers."""
    frame = _with_marks(chart, layers.with_series_names(chart, frame))
    discrete = chart.shape == "points" and encodings.is_discrete(chart.x)
    horizontal = discrete and layers.is_horizontal(chart, frame)
    channels = layers.position_channels(chart, frame, horizontal=horizontal, discrete=discrete)
    selection = _legend_selection(chart)
    chart_layers = [
        *layers.reference_line(chart, channels, horizontal=horizontal),
        *_intervals(chart, frame, channels, selection, horizontal),
    ]
    if chart.shape != "points":
        lines = alt.Chart().mark_line(interpolate=_interpolation(chart))
        chart_layers.append(_with_dashes(chart, frame, _encoded(lines, chart, frame, channels, selection)))
    points = _points(chart, frame, channels, selection)
    chart_layers += [points[0].add_params(selection), *points[1:]] if selection is not None else points
    series = frame[layers.SERIES].n_unique()
    records = (frame if discrete else frame.drop(layers.SERIES)).to_dicts()
    return Panel(chart_layers, records, layers.height(chart, frame, horizontal=horizontal, series=series))


def _max_positions(chart: Chart, frame: pl.DataFrame) -> int:
    """The largest number of positions along x in a series."""
    return max(series[chart.x.column].n_unique() for _, series in frame.group_by(layers.SERIES))


def _with_marks(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """If a line has too many positions for marks: a column that selects some of them, different in each series."""
    stride = _max_positions(chart, frame) // 7
    if chart.shape == "points" or _max_positions(chart, frame) <= _MAX_MARKED_POSITIONS:
        return frame
    series = pl.col(layers.SERIES).rank("dense") * 2
    return frame.with_columns(((pl.col(chart.x.column).rank("dense") + series) % stride == 0).alias(_MARKED))


def _interpolation(chart: Chart) -> Literal["step-after", "linear"]:
    return "step-after" if chart.shape == "steps" else "linear"


def _legend_selection(chart: Chart) -> alt.Parameter | None:
    """The selection of a series by a click in the legend; the others fade."""
    return None if chart.color is None else alt.selection_point(fields=[chart.color.column], bind="legend")


def _with_dashes(chart: Chart, frame: pl.DataFrame, lines: alt.Chart) -> alt.Chart:
    """`lines` with a dash pattern for each value of the dash column."""
    if chart.dash is None:
        return lines
    return lines.encode(encodings.dash_channel(chart.dash, encodings.dash_values(chart, frame)))


def _encoded(
    base: alt.Chart,
    chart: Chart,
    frame: pl.DataFrame,
    channels: dict[str, Any],
    selection: alt.Parameter | None,
    visible_opacity: float = 1.0,
) -> alt.Chart:
    """`base` with position and color, faded if another series is selected, and separate marks for each dash value."""
    encoded = base.encode(**channels, opacity=alt.value(visible_opacity))
    if chart.dash is not None:
        encoded = encoded.encode(detail=alt.Detail(field=chart.dash, type="nominal"))
    if chart.color is None or selection is None:
        return encoded
    opacity = alt.when(selection).then(alt.value(visible_opacity)).otherwise(alt.value(0.08))
    return encoded.encode(color=encodings.color_channel(chart.color, frame), opacity=opacity)


def _points(
    chart: Chart, frame: pl.DataFrame, channels: dict[str, Any], selection: alt.Parameter | None
) -> list[alt.Chart]:
    """Filled marks for the first value of the dash column (training rows), hollow marks for the others."""
    if chart.dash is None:
        return [_point(chart, frame, channels, selection, alt.Chart().mark_point(filled=True))]
    first, *others = encodings.dash_values(chart, frame)
    is_first, is_other = {"field": chart.dash, "equal": first}, {"not": {"field": chart.dash, "equal": first}}
    filled = alt.Chart().mark_point(filled=True).transform_filter(is_first)
    hollow = alt.Chart().mark_point(filled=False).transform_filter(is_other)
    return [_point(chart, frame, channels, selection, mark) for mark in ([filled, hollow] if others else [filled])]


def _point(
    chart: Chart, frame: pl.DataFrame, channels: dict[str, Any], selection: alt.Parameter | None, mark: alt.Chart
) -> alt.Chart:
    mark = mark.transform_filter(f"datum.{_MARKED}") if _MARKED in frame.columns else mark
    point = _encoded(mark, chart, frame, channels, selection).encode(tooltip=encodings.tooltip_channels(chart, frame))
    return point if chart.color is None else point.encode(shape=encodings.shape_channel(chart.color, frame))


def _intervals(
    chart: Chart, frame: pl.DataFrame, position: dict[str, Any], selection: alt.Parameter | None, horizontal: bool
) -> list[alt.Chart]:
    if chart.lower is None or chart.upper is None:
        return []
    interval = layers.interval_channels(position, chart.lower, chart.upper, horizontal=horizontal)
    if chart.shape == "points" or _max_positions(chart, frame) < _MIN_BAND_POSITIONS:
        whiskers = _encoded(alt.Chart().mark_rule(strokeWidth=1.6), chart, frame, interval, selection, 0.75)
        return [_with_dashes(chart, frame, whiskers) if chart.shape == "points" else whiskers]
    return [_encoded(alt.Chart().mark_area(interpolate=_interpolation(chart)), chart, frame, interval, selection, 0.16)]
