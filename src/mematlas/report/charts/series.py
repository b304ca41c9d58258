"""Lines, steps and points: one quantity against another, with intervals."""

import json
from typing import Any, Final, Literal

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings, end_labels, layers
from mematlas.report.charts.chart_rows import CONTROL
from mematlas.report.charts.numbers import with_written_numbers
from mematlas.report.charts.palette import Palette, is_control
from mematlas.report.charts.panel import Panel
from mematlas.report.charts.value_scale import value_scale

_HEIGHT: Final = 280
_MIN_BAND_POSITIONS: Final = 9  # positions along x: intervals are drawn as a band; below, as whiskers
_MAX_MARKED_POSITIONS: Final = 20  # positions along x that all get marks; with more, only every few
_MARKED: Final = "marked"


def draw(chart: Chart, frame: pl.DataFrame, palette: Palette) -> Panel:
    """A line (or steps, or only points) per series, with its interval as a band or as whiskers.

    Lines are named at their ends; points have a legend.
    """
    frame = with_written_numbers(_with_marks(chart, layers.with_series_names(chart, frame)))
    discrete = chart.shape == "points" and encodings.is_discrete(chart.x)
    horizontal = discrete and layers.is_horizontal(chart, frame)
    channels = layers.position_channels(chart, frame, horizontal=horizontal, discrete=discrete)
    scale = value_scale(chart, frame)
    is_named = chart.shape != "points"
    if not horizontal:
        channels["y"]["scale"] = scale.channel_scale()
        if chart.diagonal is not None:
            channels["x"]["scale"] = scale.channel_scale()
    if is_named:
        frame = end_labels.with_end_labels(chart, frame, scale, _HEIGHT)
    drawn = _Series(chart, frame, channels, palette, horizontal)
    chart_layers = [
        *layers.diagonal_line(chart, channels, scale.low, scale.high),
        *layers.reference_line(chart, channels, horizontal=horizontal, label=not is_named),
        *layers.event_lines(chart, channels),
        *drawn.intervals(),
        *(drawn.lines() if is_named else []),
        *drawn.points(),
        *(end_labels.label_layers(frame, channels["y"], drawn.mark_channels()) if is_named else []),
    ]
    series = frame[layers.SERIES].n_unique()
    records = (frame if discrete else frame.drop(layers.SERIES)).to_dicts()
    height = layers.height(chart, frame, horizontal=horizontal, series=series)
    room = end_labels.label_width(frame) if is_named else layers.reference_room(chart, horizontal=horizontal)
    max_width = 60 + _HEIGHT + room if chart.diagonal else 720
    return Panel(
        chart_layers, records, height, max_width=max_width, min_width=150 if is_named else 200, label_width=room
    )


class _Series:
    """The layers of the series of a chart. Controls have layers of their own, which are grey."""

    def __init__(
        self, chart: Chart, frame: pl.DataFrame, channels: dict[str, Any], palette: Palette, horizontal: bool
    ) -> None:
        self.chart, self.frame, self.channels, self.palette = chart, frame, channels, palette
        self.horizontal = horizontal
        self.has_legend = chart.shape == "points"
        self.dashes = encodings.dash_values(chart, frame)
        self.positions = max(rows[chart.x.column].n_unique() for _, rows in frame.group_by(layers.SERIES))

    def lines(self) -> list[alt.Chart]:
        """The lines, with a pattern for each value of the dash column."""
        interpolate = _interpolation(self.chart)
        return self._split(lambda style: self._with_dashes(alt.Chart().mark_line(interpolate=interpolate, **style)))

    def points(self) -> list[alt.Chart]:
        """Filled marks for the first value of the dash column (training rows), hollow marks for the others."""
        tooltip = encodings.tooltip_channels(self.chart, self.frame)
        shape = {} if self.chart.color is None else {"shape": self._shape()}

        def mark(style: dict[str, Any], *, filled: bool) -> alt.Chart:
            point = alt.Chart().mark_point(filled=filled, **style).encode(**self.channels, tooltip=tooltip, **shape)
            return point.transform_filter(f"datum.{_MARKED}") if _MARKED in self.frame.columns else point

        if self.chart.dash is None:
            return self._split(lambda style: mark(style, filled=True))
        is_first, others = f"datum[{self.chart.dash!r}] === {json.dumps(self.dashes[0])}", self.dashes[1:]
        if self.chart.color is not None and self.chart.dash == self.chart.color.column:
            is_first, others = f"!datum.{CONTROL}", list(filter(is_control, others))  # colors alone tell the rest apart
        filled = self._colored(mark({}, filled=True)).transform_filter(is_first)
        rows = self.frame.filter(pl.col(self.chart.dash).is_in(others))
        hollow = self._split(lambda style: mark(style, filled=False).transform_filter(f"!({is_first})"), rows)
        return [filled, *hollow] if len(self.dashes) > 1 else [filled]

    def intervals(self) -> list[alt.Chart]:
        """Whiskers at few positions, else bands."""
        chart = self.chart
        if chart.lower is None or chart.upper is None:
            return []
        channels = layers.interval_channels(self.channels, chart.lower, chart.upper, horizontal=self.horizontal)
        if chart.shape == "points" or self.positions < _MIN_BAND_POSITIONS:
            is_zero = f"datum[{chart.y.column!r}] === 0"
            opacity = alt.when(is_zero).then(alt.value(0.35)).otherwise(alt.value(0.75))  # a value of 0 is no bar
            return self._split(
                lambda style: alt.Chart().mark_rule(strokeWidth=1.6, **style).encode(**channels, opacity=opacity)
            )
        band: dict[str, Any] = {"interpolate": _interpolation(chart), "opacity": 0.16}
        return self._split(lambda style: alt.Chart().mark_area(**style, **band).encode(**channels))

    def mark_channels(self) -> dict[str, Any]:
        """The channels color and shape."""
        return {} if self.chart.color is None else {"color": self._color(), "shape": self._shape()}

    def _split(self, layer: Any, rows: pl.DataFrame | None = None) -> list[alt.Chart]:
        """The layer that `layer` makes of a mark's options: in color, and once more in grey for controls.

        rows: those that the layer draws, all by default; a layer of no rows is left out, as it has no extent.
        """
        rows = self.frame if rows is None else rows
        colored = self._colored(layer({}))
        if CONTROL not in rows.columns:
            return [colored]
        grey = self._detailed(layer({"style": "control"}))
        parts = {False: colored.transform_filter(f"!datum.{CONTROL}"), True: grey.transform_filter(f"datum.{CONTROL}")}
        return [part for of_control, part in parts.items() if of_control in rows[CONTROL]]

    def _colored(self, layer: alt.Chart) -> alt.Chart:
        layer = self._detailed(layer)
        return layer if self.chart.color is None else layer.encode(color=self._color())

    def _detailed(self, layer: alt.Chart) -> alt.Chart:
        """Separate marks for each series, whatever their color."""
        columns = [self.chart.color.column] if self.chart.color else []
        columns += [self.chart.dash] if self.chart.dash and self.chart.dash not in columns else []
        return layer.encode(detail=[alt.Detail(field=name, type="nominal") for name in columns]) if columns else layer

    def _with_dashes(self, lines: alt.Chart) -> alt.Chart:
        lines = lines.encode(**self.channels)
        if self.chart.dash is None:
            return lines
        named = sum(not is_control(value) for value in self.dashes) <= 1
        return lines.encode(encodings.dash_channel(self.chart.dash, self.dashes, legend=not named))

    def _color(self) -> alt.Color:
        assert self.chart.color is not None
        return encodings.color_channel(self.chart.color, self.frame, self.palette, legend=self.has_legend)

    def _shape(self) -> alt.Shape:
        assert self.chart.color is not None
        return encodings.shape_channel(self.chart.color, self.frame, legend=self.has_legend)


def _with_marks(chart: Chart, frame: pl.DataFrame) -> pl.DataFrame:
    """If a line has too many positions for marks: a column that selects some of them, different in each series."""
    positions = max(rows[chart.x.column].n_unique() for _, rows in frame.group_by(layers.SERIES))
    if chart.shape == "points" or positions <= _MAX_MARKED_POSITIONS:
        return frame
    series = pl.col(layers.SERIES).rank("dense") * 2
    return frame.with_columns(((pl.col(chart.x.column).rank("dense") + series) % (positions // 7) == 0).alias(_MARKED))


def _interpolation(chart: Chart) -> Literal["step-after", "linear"]:
    return "step-after" if chart.shape == "steps" else "linear"
