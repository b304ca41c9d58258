"""Lines, steps and points: a quantity along another, with intervals."""

from typing import Any, Final, Literal

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings, layers
from mematlas.report.charts.panel import Panel

_BAND_FROM: Final = 9  # so many places along x make a band of the interval; fewer get whiskers
_MARKS_UP_TO: Final = 20  # so many places along x get marks of their own; of more, every few, in turns
_MARKED: Final = "marked"


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """A line (or steps, or points alone) a series, its interval as a band or as whiskers."""
    frame = _with_marks(chart, layers.with_series(chart, frame))
    discrete = chart.shape == "points" and encodings.is_discrete(chart.x)
    lying = discrete and layers.lies(chart, frame)
    places = layers.places(chart, frame, lying=lying, discrete=discrete)
    chosen = _chosen(chart)
    marks = [*layers.reference(chart, places, lying=lying), *_intervals(chart, frame, places, chosen, lying)]
    if chart.shape != "points":
        marks.append(
            _dashed(
                chart, frame, _marked(alt.Chart().mark_line(interpolate=_curve(chart)), chart, frame, places, chosen)
            )
        )
    points = _points(chart, frame, places, chosen)
    marks += [points[0].add_params(chosen), *points[1:]] if chosen is not None else points
    series = frame[layers.SERIES].n_unique()
    records = (frame if discrete else frame.drop(layers.SERIES)).to_dicts()
    return Panel(marks, records, layers.height(chart, frame, lying=lying, series=series))


def _longest(chart: Chart, frame: pl.DataFrame) -> int:
    """Places along x of the series that has most."""
    return max(series[chart.x.column].n_unique() for _, series in frame.group_by(layers.SERIES))


def _with_marks(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """Where a line has too many places for a mark each: every few of them, each series at others."""
    step = _longest(chart, frame) // 7
    if chart.shape == "points" or _longest(chart, frame) <= _MARKS_UP_TO:
        return frame
    series = pl.col(layers.SERIES).rank("dense") * 2
    return frame.with_columns(((pl.col(chart.x.column).rank("dense") + series) % step == 0).alias(_MARKED))


def _curve(chart: Chart) -> Literal["step-after", "linear"]:
    return "step-after" if chart.shape == "steps" else "linear"


def _chosen(chart: Chart) -> alt.Parameter | None:
    """A series picked by its name in the legend; the others fade."""
    return None if chart.color is None else alt.selection_point(fields=[chart.color.column], bind="legend")


def _dashed(chart: Chart, frame: pl.DataFrame, marked: alt.Chart) -> alt.Chart:
    """Lines told apart by the dash column."""
    if chart.dash is None:
        return marked
    return marked.encode(encodings.dash(chart.dash, encodings.tests_of(chart, frame)))


def _marked(
    base: alt.Chart,
    chart: Chart,
    frame: pl.DataFrame,
    places: dict[str, Any],
    chosen: alt.Parameter | None,
    seen: float = 1.0,
) -> alt.Chart:
    """`base` in its place and colour, faded where another series is picked; a mark for each value of the dash."""
    marked = base.encode(**places, opacity=alt.value(seen))
    if chart.dash is not None:
        marked = marked.encode(detail=alt.Detail(field=chart.dash, type="nominal"))
    if chart.color is None or chosen is None:
        return marked
    opacity = alt.when(chosen).then(alt.value(seen)).otherwise(alt.value(0.08))
    return marked.encode(color=encodings.color(chart.color, frame), opacity=opacity)


def _points(chart: Chart, frame: pl.DataFrame, places: dict[str, Any], chosen: alt.Parameter | None) -> list[alt.Chart]:
    """Full marks for the first value of the dash column (training rows), hollow ones for the others."""
    if chart.dash is None:
        return [_point(chart, frame, places, chosen, alt.Chart().mark_point(filled=True))]
    first, *others = encodings.tests_of(chart, frame)
    own, other = {"field": chart.dash, "equal": first}, {"not": {"field": chart.dash, "equal": first}}
    full = alt.Chart().mark_point(filled=True).transform_filter(own)
    hollow = alt.Chart().mark_point(filled=False).transform_filter(other)
    return [_point(chart, frame, places, chosen, mark) for mark in ([full, hollow] if others else [full])]


def _point(
    chart: Chart, frame: pl.DataFrame, places: dict[str, Any], chosen: alt.Parameter | None, mark: alt.Chart
) -> alt.Chart:
    mark = mark.transform_filter(f"datum.{_MARKED}") if _MARKED in frame.columns else mark
    marked = _marked(mark, chart, frame, places, chosen).encode(tooltip=encodings.tooltip(chart, frame))
    return marked if chart.color is None else marked.encode(shape=encodings.shape(chart.color, frame))


def _intervals(
    chart: Chart, frame: pl.DataFrame, places: dict[str, Any], chosen: alt.Parameter | None, lying: bool
) -> list[alt.Chart]:
    if chart.lower is None or chart.upper is None:
        return []
    channels = layers.spanning(places, chart.lower, chart.upper, lying=lying)
    if chart.shape == "points" or _longest(chart, frame) < _BAND_FROM:
        whiskers = _marked(alt.Chart().mark_rule(strokeWidth=1.6), chart, frame, channels, chosen, 0.75)
        return [_dashed(chart, frame, whiskers) if chart.shape == "points" else whiskers]
    return [_marked(alt.Chart().mark_area(interpolate=_curve(chart)), chart, frame, channels, chosen, 0.16)]
