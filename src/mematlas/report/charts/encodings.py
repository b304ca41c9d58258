"""The columns of a chart as Vega-Lite encoding channels, for charts of every shape."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart

SHORT_NUMBER_LABEL: Final = "replace(format(datum.value, '.3~s'), 'G', 'B')"
_MAX_TICKS: Final = 8
_DASHES: Final = ([1, 0], [6, 4], [1.5, 4], [10, 3, 1.5, 3], [12, 5], [3, 3], [8, 3, 2, 3, 2, 3])
_FILLS: Final = (1.0, 0.25, 0.6)
#: Text color on a shaded cell or bar: at this luminance, black and white have the same contrast.
TEXT_COLOR_ON_SHADE: Final = "luminance(scale('color', datum[{column!r}])) > 0.179 ? '#101418' : '#FFFFFF'"
#: Marks of the categories, one for each of the category colors.
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")


def merge_orders(sequences: Iterable[Sequence[Any]]) -> list[Any]:
    """One order of all values that agrees with each sequence; the order of first occurrence if there is none."""
    sequences = [list(sequence) for sequence in sequences]
    sorter: TopologicalSorter[Any] = TopologicalSorter()
    for sequence in sequences:
        for i, value in enumerate(sequence):
            sorter.add(value, *sequence[max(0, i - 1) : i])
    try:
        return list(sorter.static_order())
    except CycleError:
        return list(dict.fromkeys(value for sequence in sequences for value in sequence))


def is_discrete(axis: Axis) -> bool:
    return axis.scale in ("nominal", "ordinal")


def ordered_values(frame: pl.DataFrame, column: str) -> list[Any]:
    """The column's distinct values in display order: ascending numbers, an Enum's category order, else as found."""
    distinct = frame[column].drop_nulls().unique(maintain_order=True)
    if isinstance(distinct.dtype, pl.Enum):
        return [category for category in distinct.dtype.categories if category in set(distinct)]
    return (distinct.sort() if distinct.dtype.is_numeric() else distinct).to_list()


def dash_values(chart: Chart, frame: pl.DataFrame) -> list[Any]:
    """The values of the dash column, "train" first."""
    present = [] if chart.dash is None else ordered_values(frame, chart.dash)
    return sorted(present, key=lambda value: value != "train")


def axis_channel(axis: Axis, frame: pl.DataFrame, *, discrete: bool = False, zero: bool = True) -> dict[str, Any]:
    """Keyword arguments of an x or y channel."""
    if discrete or is_discrete(axis):
        labels = ordered_values(frame, axis.column)
        is_numeric = frame[axis.column].dtype.is_numeric()
        label_axis = (
            _number_axis(labels)
            if is_numeric
            else alt.Axis(labelAngle=0 if labels_fit(labels) else -40, labelLimit=190)
        )
        return {"field": axis.column, "type": "ordinal", "title": axis.title, "sort": labels, "axis": label_axis}
    ticks = ordered_values(frame, axis.column)
    scale = alt.Scale(type="log", nice=False, padding=14) if axis.scale == "log" else alt.Scale(zero=zero, nice=True)
    return {
        "field": axis.column,
        "type": "quantitative",
        "title": axis.title,
        "scale": scale,
        "axis": _value_axis(axis, ticks),
    }


def series_axis_channel(axis: Axis, frame: pl.DataFrame) -> dict[str, Any]:
    """Keyword arguments of the channel along which a series runs: few values become the ticks, and 0 is not forced."""
    channel = axis_channel(axis, frame, zero=False)
    ticks = ordered_values(frame, axis.column)
    if channel["type"] == "quantitative":
        if axis.scale != "log":
            channel["scale"] = alt.Scale(zero=False, nice=False, padding=14)
        channel["axis"]["grid"] = False
        if len(ticks) <= _MAX_TICKS and frame[axis.column].dtype.is_numeric():
            channel["axis"]["values"] = ticks
    return channel


def _value_axis(axis: Axis, values: list[Any]) -> alt.Axis:
    if axis.share:
        return alt.Axis(format="~%", tickCount=5)
    return _number_axis(values, tickCount=5)


def _number_axis(values: list[Any], **options: Any) -> alt.Axis:
    if values and max(map(abs, values)) >= 10_000:
        options["labelExpr"] = SHORT_NUMBER_LABEL
    return alt.Axis(labelAngle=0, **options)


def labels_fit(labels: list[Any]) -> bool:
    """Whether these labels fit side by side under an axis."""
    return sum(len(str(value)) + 2 for value in labels) <= 44


def color_channel(axis: Axis, frame: pl.DataFrame) -> alt.Color:
    """The channel of category colors (Okabe and Ito)."""
    scale = alt.Scale(domain=ordered_values(frame, axis.column), range="category")
    return alt.Color(field=axis.column, type="nominal", title=axis.title, scale=scale)


def level_color_channel(axis: Axis, levels: list[Any]) -> alt.Color:
    """The channel of level colors, from the ramp; category colors if the levels have no order."""
    scale = alt.Scale(domain=levels, range="category" if axis.scale == "nominal" else "ordinal")
    return alt.Color(field=axis.column, type="nominal", title=axis.title, scale=scale)


def shape_channel(axis: Axis, frame: pl.DataFrame) -> alt.Shape:
    """The channel of marks, which repeats the information of the color channel."""
    categories = ordered_values(frame, axis.column)
    marks = [SHAPES[i % len(SHAPES)] for i in range(len(categories))]
    scale = alt.Scale(domain=categories, range=marks)
    return alt.Shape(field=axis.column, type="nominal", title=axis.title, scale=scale)


def dash_channel(column: str, values: list[Any], title: str | None = None) -> alt.StrokeDash:
    """The channel of dash patterns, one for each of `values`."""
    dashes = [list(_DASHES[i % len(_DASHES)]) for i in range(len(values))]
    return alt.StrokeDash(
        field=column,
        type="nominal",
        title=title or column_title(column),
        scale=alt.Scale(domain=values, range=dashes),
        legend=alt.Legend(symbolType="stroke", symbolSize=320),
    )


def fill_channel(column: str, values: list[Any]) -> alt.FillOpacity:
    """The channel of bar opacity: full for the first of `values`, paler for the next."""
    opacities = [_FILLS[i % len(_FILLS)] for i in range(len(values))]
    scale = alt.Scale(domain=values, range=opacities)
    return alt.FillOpacity(field=column, type="ordinal", sort=values, title=column_title(column), scale=scale)


def split_label(text: str) -> list[str]:
    """A long label in two lines, split at the separator nearest to its middle."""
    separators = [i for i, letter in enumerate(text) if letter in " -_/"]
    if len(text) <= 12 or not separators:
        return [text]
    split = min(separators, key=lambda i: abs(i - len(text) / 2))
    return [text[: split + (text[split] != " ")], text[split + 1 :]]


def split_label_expression(labels: list[Any]) -> str:
    """A Vega expression that shows the long labels of an axis in two lines."""
    return f"({json.dumps({str(label): split_label(str(label)) for label in labels})})[datum.value]"


def wrap_title(title: str, letters: int) -> list[str]:
    """A title in lines of at most `letters` letters."""
    return textwrap.wrap(title, letters)


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
    if "rows" in frame.columns:
        titles.setdefault("rows", "rows")
    channels = [alt.Tooltip(field="row", type="nominal", title="row id")] if "row" in frame.columns else []
    for column, title in titles.items():
        if frame[column].dtype.is_numeric():
            number_format = ".2%" if column in shares else ",.5~g"
            channels.append(alt.Tooltip(field=column, type="quantitative", title=title, format=number_format))
        else:
            channels.append(alt.Tooltip(field=column, type="nominal", title=title))
    return channels
