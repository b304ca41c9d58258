"""Bars, with whiskers, and stacked bars of parts that sum up."""

from dataclasses import replace
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import encodings, layers
from mematlas.report.charts.panel import Panel

_LOW, _HIGH, _MIDDLE, _LABEL = "part_from", "part_to", "part_middle", "part_label"
_LABELLED_FROM: Final = 0.07  # of the longest bar: shorter parts have no room for their number


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """One bar a value of x, side by side where there are several series."""
    frame = layers.with_series(chart, frame)
    lying = layers.lies(chart, frame)
    places = layers.places(chart, frame, lying=lying, discrete=True)
    bars = alt.Chart().mark_bar().encode(**places, tooltip=encodings.tooltip(chart, frame))
    if chart.color is not None:
        bars = bars.encode(color=encodings.color(chart.color, frame))
    if chart.dash is not None:
        bars = bars.encode(encodings.filling(chart.dash, encodings.tests_of(chart, frame)))
    marks = [bars, *_whiskers(chart, places, lying), *layers.reference(chart, places, lying=lying)]
    series = frame[layers.SERIES].n_unique()
    height, widest = layers.height(chart, frame, lying=lying, series=series), layers.widest(chart, frame, lying=lying)
    return Panel(marks, frame.to_dicts(), height, widest=widest)


def _whiskers(chart: Chart, places: dict[str, Any], lying: bool) -> list[alt.Chart]:
    if chart.lower is None or chart.upper is None:
        return []
    channels = layers.spanning(places, chart.lower, chart.upper, lying=lying)
    return [alt.Chart().mark_rule(strokeWidth=1.5, style="whisker").encode(**channels)]


def draw_stacked(chart: Chart, frame: pl.DataFrame) -> Panel:
    """Parts on top of one another, each with its number where there is room."""
    if chart.color is None:
        raise ValueError(f"chart {chart.name}: stacked bars need a column of parts (color)")
    parts = _parts(chart, chart.color, frame)
    frame = layers.with_series(_without_colour(chart), _stacked(chart, chart.color, frame, parts))
    lying = layers.lies(chart, frame)
    places = layers.places(chart, frame, lying=lying, discrete=True)
    series = frame[layers.SERIES].n_unique()
    bars = (
        alt.Chart()
        .mark_bar()
        .encode(
            **layers.spanning(places, _LOW, _HIGH, lying=lying),
            color=encodings.level_color(chart.color, parts),
            tooltip=encodings.tooltip(chart, frame),
        )
    )
    middle = places["x" if lying else "y"].copy()
    middle["field"] = _MIDDLE
    ink = alt.ExprRef(encodings.INK_ON_SHADE.format(column=chart.color.column))
    labels = alt.Chart().mark_text(fontSize=11, color=ink)
    labels = labels.encode(**places | {"x" if lying else "y": middle}, text=alt.Text(field=_LABEL, type="nominal"))
    height = layers.height(chart, frame, lying=lying, series=series)
    widest = layers.widest(chart, frame, lying=lying)
    return Panel([bars, labels], frame.to_dicts(), height, widest=widest, levels=len(parts))


def _without_colour(chart: Chart) -> Chart:
    """Bars that stand side by side differ in their dash; the colours are parts of one bar."""
    return replace(chart, color=None)


def _parts(chart: Chart, color: Axis, frame: pl.DataFrame) -> list[Any]:
    """The parts from the lowest up, though a bar may lack some."""
    if frame[color.column].dtype.is_numeric():
        return encodings.values(frame, color.column)
    bars = frame.group_by(_bar(chart), maintain_order=True)
    return encodings.merged(encodings.values(bar, color.column) for _, bar in bars)


def _bar(chart: Chart) -> list[str]:
    return [chart.x.column, *(column for column in (chart.facet, chart.dash) if column)]


def _stacked(chart: Chart, color: Axis, frame: pl.DataFrame, parts: list[Any]) -> pl.DataFrame:
    """`frame` with where each part begins, ends and has its middle, and its label."""
    number = pl.col(chart.y.column)
    order = pl.col(color.column).replace_strict(parts, range(len(parts)), return_dtype=pl.Int64)
    high = number.cum_sum().over(_bar(chart)).round(5)  # parts that sum up to 1 end at 1
    frame = frame.sort(order, maintain_order=True).with_columns(high.alias(_HIGH), (high - number).round(5).alias(_LOW))
    digits = (100 * number).round(0).cast(pl.Int64) if chart.y.share else number.round_sig_figs(3)
    text = digits.cast(pl.String) + (" %" if chart.y.share else "")
    shown = number >= _LABELLED_FROM * pl.col(_HIGH).max()
    middle = (pl.col(_LOW) + pl.col(_HIGH)) / 2
    return frame.with_columns(middle.alias(_MIDDLE), pl.when(shown).then(text).otherwise(pl.lit("")).alias(_LABEL))
