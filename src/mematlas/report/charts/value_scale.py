"""The vertical axis of a chart in figures: its ends, and where a value lies."""

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts.chart_rows import value_bounds

_TICKS: Final = 5
_MARGIN: Final = 0.04  # of a logarithmic axis, above and below its values


@dataclass(frozen=True, slots=True)
class ValueScale:
    """low, high: ends of the axis; log: whether it is logarithmic."""

    low: float
    high: float
    log: bool

    def height_of(self, value: float) -> float:
        """Where a value lies: 0 at the lower end, 1 at the upper."""
        if self.log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)

    def value_at(self, height: float) -> float:
        """The inverse of `height_of`."""
        if self.log:
            return float(10 ** (log10(self.low) + height * (log10(self.high) - log10(self.low))))
        return self.low + height * (self.high - self.low)

    def channel_scale(self) -> alt.Scale:
        """The same scale in Vega-Lite."""
        return alt.Scale(type="log" if self.log else "linear", domain=[self.low, self.high], nice=False, zero=False)


def value_scale(chart: Chart, rows: pl.DataFrame) -> ValueScale:
    """The scale of y over all panels: values, intervals and the reference, from 0 where the axis says so."""
    columns = [name for name in (chart.y.column, chart.lower, chart.upper) if name]
    columns += [chart.x.column] if chart.diagonal else []
    values = [float(value) for name in columns for value in rows[name].drop_nulls()]
    if chart.y.scale == "log":
        low, high = (log10(limit(value for value in values if value > 0)) for limit in (min, max))
        margin = _MARGIN * ((high - low) or 1)
        return ValueScale(10 ** (low - margin), 10 ** (high + margin), log=True)
    values += [chart.reference[0]] if chart.reference else []
    values += [0.0] if chart.y.zero else []
    low, high = _nice(min(values), max(values))
    least, greatest = value_bounds(chart, rows)
    low = low if least is None or min(values) < least else max(low, least)
    high = high if greatest is None or max(values) > greatest else min(high, greatest)
    return ValueScale(low if low < high else high - 1, high, log=False)


def _nice(low: float, high: float) -> tuple[float, float]:
    """The interval, widened to whole ticks."""
    if low == high:
        low, high = (low, low + 1) if low >= 0 else (low, 0.0)
    size = 10 ** floor(log10((high - low) / _TICKS))
    step = size * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * size * _TICKS >= (high - low) * 0.9999)
    return round(floor(low / step + 1e-9) * step, 12), round(ceil(high / step - 1e-9) * step, 12)
