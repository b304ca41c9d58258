"""A chart's columns as Vega-Lite encodings: what all shapes share."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart

SHORT_NUMBER: Final = "replace(format(datum.value, '.3~s'), 'G', 'B')"
_FEW: Final = 8
_DASHES: Final = ([1, 0], [6, 4], [1.5, 4], [10, 3, 1.5, 3], [12, 5], [3, 3], [8, 3, 2, 3, 2, 3])
_FILLS: Final = (1.0, 0.25, 0.6)
#: Ink on a cell or bar of any shade: at this luminance black and white are equally far away.
INK_ON_SHADE: Final = "luminance(scale('color', datum[{column!r}])) > 0.179 ? '#101418' : '#FFFFFF'"
#: Category colours in an order in which neighbours differ most, each with a mark of its own.
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")


def merged(sequences: Iterable[Sequence[Any]]) -> list[Any]:
    """One order of all values that agrees with each of the sequences, which may leave some out; as met if none does."""
    sequences = [list(sequence) for sequence in sequences]
    sorter: TopologicalSorter[Any] = TopologicalSorter()
    for sequence in sequences:
        for at, value in enumerate(sequence):
            sorter.add(value, *sequence[max(0, at - 1) : at])
    try:
        return list(sorter.static_order())
    except CycleError:
        return list(dict.fromkeys(value for sequence in sequences for value in sequence))


def is_discrete(axis: Axis) -> bool:
    return axis.scale in ("nominal", "ordinal")


def values(frame: pl.DataFrame, column: str) -> list[Any]:
    """The column's values in the order to show: ascending for numbers, of the categories of an Enum, as met else."""
    found = frame[column].drop_nulls().unique(maintain_order=True)
    if isinstance(found.dtype, pl.Enum):
        return [name for name in found.dtype.categories if name in set(found)]
    return (found.sort() if found.dtype.is_numeric() else found).to_list()


def tests_of(chart: Chart, frame: pl.DataFrame) -> list[Any]:
    """The values of the dash column, what the study is about ("train") first."""
    found = [] if chart.dash is None else values(frame, chart.dash)
    return sorted(found, key=lambda value: value != "train")


def position(axis: Axis, frame: pl.DataFrame, *, discrete: bool = False, zero: bool = True) -> dict[str, Any]:
    """Keywords of an x or y channel."""
    if discrete or is_discrete(axis):
        shown = values(frame, axis.column)
        numbers = frame[axis.column].dtype.is_numeric()
        looks = _short(shown) if numbers else alt.Axis(labelAngle=0 if fits(shown) else -40, labelLimit=190)
        return {"field": axis.column, "type": "ordinal", "title": axis.title, "sort": shown, "axis": looks}
    found = values(frame, axis.column)
    scale = alt.Scale(type="log", nice=False, padding=14) if axis.scale == "log" else alt.Scale(zero=zero, nice=True)
    return {
        "field": axis.column,
        "type": "quantitative",
        "title": axis.title,
        "scale": scale,
        "axis": _ticks(axis, found),
    }


def along(axis: Axis, frame: pl.DataFrame) -> dict[str, Any]:
    """Keywords of the channel that a series runs along: few values are the ticks, and no zero is forced."""
    channel = position(axis, frame, zero=False)
    found = values(frame, axis.column)
    if channel["type"] == "quantitative":
        if axis.scale != "log":
            channel["scale"] = alt.Scale(zero=False, nice=False, padding=14)
        channel["axis"]["grid"] = False
        if len(found) <= _FEW and frame[axis.column].dtype.is_numeric():
            channel["axis"]["values"] = found
    return channel


def _ticks(axis: Axis, found: list[Any]) -> alt.Axis:
    if axis.share:
        return alt.Axis(format="~%", tickCount=5)
    return _short(found, tickCount=5)


def _short(found: list[Any], **looks: Any) -> alt.Axis:
    if found and max(map(abs, found)) >= 10_000:
        looks["labelExpr"] = SHORT_NUMBER
    return alt.Axis(labelAngle=0, **looks)


def fits(shown: list[Any]) -> bool:
    """Whether such labels stand side by side under an axis."""
    return sum(len(str(value)) + 2 for value in shown) <= 44


def color(axis: Axis, frame: pl.DataFrame) -> alt.Color:
    """A category's colour, of Okabe and Ito."""
    scale = alt.Scale(domain=values(frame, axis.column), range="category")
    return alt.Color(field=axis.column, type="nominal", title=axis.title, scale=scale)


def level_color(axis: Axis, levels: list[Any]) -> alt.Color:
    """A level's colour on the ramp; a category's where the levels have no order."""
    scale = alt.Scale(domain=levels, range="category" if axis.scale == "nominal" else "ordinal")
    return alt.Color(field=axis.column, type="nominal", title=axis.title, scale=scale)


def shape(axis: Axis, frame: pl.DataFrame) -> alt.Shape:
    """The mark that goes with the colour, so that colour never stands alone."""
    shown = values(frame, axis.column)
    marks = [SHAPES[at % len(SHAPES)] for at in range(len(shown))]
    scale = alt.Scale(domain=shown, range=marks)
    return alt.Shape(field=axis.column, type="nominal", title=axis.title, scale=scale)


def dash(column: str, shown: list[Any], title: str | None = None) -> alt.StrokeDash:
    """A dash for each of the values `shown`."""
    marks = [list(_DASHES[at % len(_DASHES)]) for at in range(len(shown))]
    return alt.StrokeDash(
        field=column,
        type="nominal",
        title=title or words(column),
        scale=alt.Scale(domain=shown, range=marks),
        legend=alt.Legend(symbolType="stroke", symbolSize=320),
    )


def filling(column: str, shown: list[Any]) -> alt.FillOpacity:
    """Full bars for the first value of the dash column, pale ones for the next."""
    marks = [_FILLS[at % len(_FILLS)] for at in range(len(shown))]
    scale = alt.Scale(domain=shown, range=marks)
    return alt.FillOpacity(field=column, type="ordinal", sort=shown, title=words(column), scale=scale)


def broken(text: str) -> list[str]:
    """A long name in two lines, cut at the sign nearest to its middle."""
    cuts = [at for at, sign in enumerate(text) if sign in " -_/"]
    if len(text) <= 12 or not cuts:
        return [text]
    at = min(cuts, key=lambda cut: abs(cut - len(text) / 2))
    return [text[: at + (text[at] != " ")], text[at + 1 :]]


def broken_labels(shown: list[Any]) -> str:
    """The expression that gives an axis' labels in two lines where they are long."""
    return f"({json.dumps({str(value): broken(str(value)) for value in shown})})[datum.value]"


def wrapped(title: str, letters: int) -> list[str]:
    """A title in lines of so many letters."""
    return textwrap.wrap(title, letters)


def words(column: str | None) -> str:
    return (column or "").replace("_", " ")


def tooltip(chart: Chart, frame: pl.DataFrame) -> list[alt.Tooltip]:
    """What a pointer reads: every drawn column, and the row's id or the number of rows where the table has it."""
    titles = {axis.column: axis.title for axis in (chart.x, chart.y, chart.color) if axis is not None}
    shares = {axis.column for axis in (chart.x, chart.y, chart.color) if axis is not None and axis.share}
    if chart.y.share or (chart.shape == "matrix" and chart.color is not None and chart.color.share):
        shares |= {column for column in (chart.lower, chart.upper) if column}
    titles |= {column: name for column, name in ((chart.lower, "interval from"), (chart.upper, "to")) if column}
    titles |= {column: words(column) for column in (chart.facet, chart.dash, chart.target) if column}
    if "rows" in frame.columns:
        titles.setdefault("rows", "rows")
    found = [alt.Tooltip(field="row", type="nominal", title="row id")] if "row" in frame.columns else []
    for column, title in titles.items():
        if frame[column].dtype.is_numeric():
            form = ".2%" if column in shares else ",.5~g"
            found.append(alt.Tooltip(field=column, type="quantitative", title=title, format=form))
        else:
            found.append(alt.Tooltip(field=column, type="nominal", title=title))
    return found
