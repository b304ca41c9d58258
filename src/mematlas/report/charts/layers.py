"""Layers that several shapes share: intervals, the line that means "nothing", and bars or points side by side."""

from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings

SERIES: Final = "series_name"


def with_series(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with the name of the series (colour and dash) that each line belongs to."""
    parts = [pl.col(column).cast(pl.String) for column in _parts(chart)] or [pl.lit("")]
    return frame.with_columns(pl.concat_str(parts, separator=", ", ignore_nulls=True).alias(SERIES))


def _parts(chart: Chart) -> list[str]:
    return [column for column in (chart.color.column if chart.color else None, chart.dash) if column]


def lies(chart: Chart, frame: pl.DataFrame) -> bool:
    """Whether the picture is turned, because the names under a discrete axis would not stand side by side."""
    return not encodings.fits(encodings.values(frame, chart.x.column))


def places(chart: Chart, frame: pl.DataFrame, *, lying: bool, discrete: bool) -> dict[str, Any]:
    """The channels x and y; several series at one value of a discrete x stand side by side. Needs `with_series`."""
    x = encodings.position(chart.x, frame, discrete=True) if discrete else encodings.along(chart.x, frame)
    y = encodings.position(chart.y, frame, zero=chart.y.zero)
    x["title"] = encodings.wrapped(chart.x.title, 36 if chart.facet else 64)
    y["title"] = encodings.wrapped(chart.y.title, 64 if lying else 36)
    if lying:
        x["axis"]["labelAngle"], x["title"] = 0, None
    found: dict[str, Any] = {"y": alt.Y(**x), "x": alt.X(**y)} if lying else {"x": alt.X(**x), "y": alt.Y(**y)}
    names = encodings.values(frame, SERIES)
    if discrete and len(names) > 1:
        offset = alt.YOffset if lying else alt.XOffset
        found["yOffset" if lying else "xOffset"] = offset(field=SERIES, type="nominal", sort=names)
    return found


def height(chart: Chart, frame: pl.DataFrame, *, lying: bool, series: int) -> int:
    """In pixels."""
    return 20 + frame[chart.x.column].n_unique() * max(30, 16 * series + 8) if lying else 280


def widest(chart: Chart, frame: pl.DataFrame, *, lying: bool) -> int:
    """Of the picture, in pixels: few upright bars stay slender."""
    return 720 if lying else min(720, 120 + 80 * frame.select(chart.x.column, SERIES).n_unique())


def spanning(channels: dict[str, Any], lower: str, upper: str, *, lying: bool) -> dict[str, Any]:
    """The same channels, from the column `lower` to the column `upper`."""
    measured = "x" if lying else "y"
    low = channels[measured].copy()
    low["field"] = lower
    return channels | {measured: low, f"{measured}2": (alt.X2 if lying else alt.Y2)(field=upper)}


def reference(chart: Chart, channels: dict[str, Any], *, lying: bool) -> list[alt.Chart]:
    """The chart's reference line with its name."""
    if chart.reference is None:
        return []
    value, name = chart.reference
    measured = "x" if lying else "y"
    channel = channels[measured].copy()
    channel["field"] = "reference"
    base = alt.Chart(alt.Data(values=[{"reference": value, "name": name}])).encode(**{measured: channel})
    line = base.mark_rule(strokeDash=[2, 3], strokeWidth=1.2, style="reference")
    start = {"y" if lying else "x": alt.value(0)}
    text = base.mark_text(align="left", baseline="bottom", dx=4, dy=-4, style="reference")
    return [line, text.encode(text=alt.Text("name:N"), **start)]
