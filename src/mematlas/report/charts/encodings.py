"""The columns of a chart as Vega-Lite encoding channels, for charts of every shape."""

import json
from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import numbers
from mematlas.report.charts.chart_rows import count_column
from mematlas.report.charts.end_labels import series_names
from mematlas.report.charts.orders import ordered_values
from mematlas.report.charts.palette import Palette, is_control
from mematlas.report.charts.text_metrics import text_width, without_common_parts, wrap

_MAX_TICKS: Final = 8
_CONTROL_DASHES: Final = ([6, 4], [1.5, 4], [3, 3])
_DASHES: Final = ([1, 0], [10, 3, 1.5, 3], [12, 5], [8, 3, 2, 3, 2, 3])
#: Text color on a shaded cell or bar: at this luminance, black and white have the same contrast.
TEXT_COLOR_ON_SHADE: Final = "luminance(scale('color', datum[{column!r}])) > 0.179 ? '#101418' : '#FFFFFF'"
#: Marks of the categories, one for each of the category colors.
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
FONT_SIZE: Final = 12  # of the labels of axes
_TITLE_SIZE: Final = 13
_LABEL_WIDTH: Final = 150  # of a line of a label beside a horizontal bar or a row of a matrix
_MAX_LINES: Final = 3
_ROOM: Final = 280  # for labels side by side: the plot on a page 390 pixels wide


def is_discrete(axis: Axis) -> bool:
    return axis.scale in ("nominal", "ordinal")


def dash_values(chart: Chart, frame: pl.DataFrame) -> list[Any]:
    """The values of the dash column, "train" first and controls last."""
    present = [] if chart.dash is None else ordered_values(frame, chart.dash)
    return sorted(present, key=lambda value: (value != "train", is_control(value)))


def axis_channel(axis: Axis, frame: pl.DataFrame, *, discrete: bool = False, zero: bool = True) -> dict[str, Any]:
    """Keyword arguments of an x or y channel."""
    if discrete or is_discrete(axis):
        labels = ordered_values(frame, axis.column)
        is_numeric = frame[axis.column].dtype.is_numeric()
        label_axis = number_axis(labels) if is_numeric else alt.Axis(labelAngle=0, labelLimit=0)
        return {"field": axis.column, "type": "ordinal", "title": axis.title, "sort": labels, "axis": label_axis}
    ticks = ordered_values(frame, axis.column)
    scale = alt.Scale(type="log", nice=False, padding=14) if axis.scale == "log" else alt.Scale(zero=zero, nice=True)
    return {
        "field": axis.column,
        "type": "quantitative",
        "title": axis.title,
        "scale": scale,
        "axis": value_axis(axis, ticks),
    }


def series_axis_channel(axis: Axis, frame: pl.DataFrame) -> dict[str, Any]:
    """Keyword arguments of the channel along which a series runs: few values become the ticks, and 0 is not forced."""
    channel = axis_channel(axis, frame, zero=False)
    ticks = ordered_values(frame, axis.column)
    if channel["type"] == "quantitative":
        if axis.scale != "log":
            channel["scale"] = alt.Scale(zero=False, nice=False, padding=14)
        channel["axis"]["grid"] = False
        if len(ticks) <= _MAX_TICKS and frame[axis.column].dtype.is_numeric() and not axis.share:
            channel["axis"]["values"] = ticks
            if channel["axis"].to_dict().get("labelExpr") is None:
                channel["axis"]["format"] = _plain_format(ticks)
    return channel


def value_axis(axis: Axis, values: list[Any]) -> alt.Axis:
    """An axis of numbers, in percent for shares."""
    if axis.share:
        return alt.Axis(format="~%", tickCount=5)
    return number_axis(values, tickCount=5)


def number_axis(values: list[Any], **options: Any) -> alt.Axis:
    """An axis with short numbers, if they are large."""
    numeric = [abs(value) for value in values if isinstance(value, int | float)]
    if numeric and max(numeric) >= 10_000:
        options["labelExpr"] = numbers.SHORT_NUMBER_LABEL
    elif numeric and "tickCount" not in options:
        options["format"] = _plain_format(values)
    return alt.Axis(labelAngle=0, **options)


def _plain_format(values: list[Any]) -> str:
    """The format of a few numbers: digits without exponents."""
    return ",d" if all(float(value).is_integer() for value in values) else ",.3~r"


def labels_fit(labels: list[Any]) -> bool:
    """Whether these labels fit side by side under an axis, also on a narrow page."""
    short = without_common_parts([str(label) for label in labels])
    return sum(text_width(name, FONT_SIZE) + 10 for name in short.values()) <= _ROOM


def label_lines(labels: Sequence[Any], width: float = _LABEL_WIDTH) -> dict[str, list[str]]:
    """Labels in lines that fit beside an axis, without the parts that all share; the tooltip has them in full."""
    short = without_common_parts([str(label) for label in labels])
    return {name: wrap(text, width, FONT_SIZE, _MAX_LINES) for name, text in short.items()}


def label_expression(lines: dict[str, list[str]]) -> str:
    """A Vega expression that shows the labels of an axis in these lines."""
    return f"({json.dumps(lines)})[datum.value]"


def slant_if_narrow(axis: alt.Axis, lines: dict[str, list[str]], count: int, *, faceted: bool) -> None:
    """Slant the labels below a plot that is too narrow to hold `count` of them side by side."""
    widest = max((text_width(line, FONT_SIZE) for label in lines.values() for line in label), default=0) + 8
    is_narrow = f"{'child_width' if faceted else 'width'} < {widest * count:.0f}"
    axis["labelAngle"] = alt.ExprRef(f"{is_narrow} ? -40 : 0")
    axis["labelAlign"] = alt.ExprRef(f"{is_narrow} ? 'right' : 'center'")
    axis["labelBaseline"] = alt.ExprRef(f"{is_narrow} ? 'middle' : 'top'")
    axis["labelOverlap"] = False


def color_channel(axis: Axis, frame: pl.DataFrame, palette: Palette, *, legend: bool = True) -> alt.Color:
    """The channel of colors of series: the same for the same value in all charts of a page."""
    values = ordered_values(frame, axis.column)
    options = _legend(axis, values, legend)
    scale = alt.Scale(domain=values, range=palette.colors(values))
    return alt.Color(field=axis.column, type="nominal", title=axis.title, scale=scale, **options)


def level_color_channel(axis: Axis, levels: list[Any], palette: Palette) -> alt.Color:
    """The channel of level colors, from the ramp; category colors if the levels have no order."""
    colors: Any = palette.colors(levels) if axis.scale == "nominal" or palette.are_levels(levels) else "ordinal"
    return alt.Color(field=axis.column, type="nominal", title=axis.title, scale=alt.Scale(domain=levels, range=colors))


def shape_channel(axis: Axis, frame: pl.DataFrame, *, legend: bool = True) -> alt.Shape:
    """The channel of marks, which repeats the information of the color channel."""
    categories = ordered_values(frame, axis.column)
    marks = [SHAPES[i % len(SHAPES)] for i in range(len(categories))]
    scale = alt.Scale(domain=categories, range=marks)
    options = _legend(axis, categories, legend)
    return alt.Shape(field=axis.column, type="nominal", title=axis.title, scale=scale, **options)


def _legend(axis: Axis, values: list[Any], shown: bool) -> dict[str, Any]:
    if not shown:
        return {"legend": None}
    names = {str(value): name for value, name in series_names(values, None).items()}
    return {"legend": alt.Legend(labelExpr=f"({json.dumps(names)})[datum.value]", labelLimit=0)}


def dash_channel(column: str, values: list[Any], title: str | None = None, *, legend: bool = True) -> alt.StrokeDash:
    """The channel of dash patterns, one for each of `values`: those of controls are dashed in every chart."""
    plain, controls = iter(_DASHES * len(values)), iter(_CONTROL_DASHES * len(values))
    dashes = [list(next(controls if is_control(value) else plain)) for value in values]
    return alt.StrokeDash(
        field=column,
        type="nominal",
        title=title or column_title(column),
        scale=alt.Scale(domain=values, range=dashes),
        legend=alt.Legend(symbolType="stroke", symbolSize=320) if legend else None,
    )


def wrap_title(title: str, width: float) -> list[str]:
    """The title of an axis in lines of at most `width` pixels."""
    return wrap(title, width, _TITLE_SIZE)


def column_title(column: str | None) -> str:
    return (column or "").replace("_", " ")


def tooltip_channels(chart: Chart, frame: pl.DataFrame) -> list[alt.Tooltip]:
    """The columns of the tooltip: all drawn columns, and the row id or the number of rows if the table has them."""
    titles = {axis.column: axis.title for axis in (chart.x, chart.y, chart.color) if axis is not None}
    shares = {axis.column for axis in (chart.x, chart.y, chart.color) if axis is not None and axis.share}
    if chart.y.share or (chart.shape == "matrix" and chart.color is not None and chart.color.share):
        shares |= {column for column in (chart.lower, chart.upper) if column}
    titles |= {column: name for column, name in ((chart.lower, "interval from"), (chart.upper, "to")) if column}
    titles |= {column: column_title(column) for column in (chart.facet, chart.dash, chart.target) if column}
    count = count_column(chart, frame.columns)
    if count is not None:
        titles.setdefault(count, "rows")
    row = [alt.Tooltip(field="row", type="nominal", title="row id")] if "row" in frame.columns else []
    return row + [numbers.tooltip(frame, column, title, share=column in shares) for column, title in titles.items()]
