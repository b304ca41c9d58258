"""Which rows of a table a chart draws, and in which words it says what it leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts.orders import ordered_values
from mematlas.report.charts.palette import is_control
from mematlas.report.display_text import printable

MAX_SERIES: Final = 7  # more lines of their own color cannot be told apart
FEW_ROWS: Final = 5  # a share of fewer rows says nothing: its interval covers most of the scale
CONTROL: Final = "is_control"
_ON_LINES: Final = ("lines", "steps", "points")


@dataclass(frozen=True, slots=True)
class ChartRows:
    """chart: as it is drawn; frame: the rows it draws; notes: on what is left out, a sentence each."""

    chart: Chart
    frame: pl.DataFrame
    notes: tuple[str, ...]


def select_rows(chart: Chart, table: pl.DataFrame) -> ChartRows:
    """The rows of the chart's table that it draws; none if nothing was measured."""
    rows = _chart_rows(chart, table)
    chart = _as_drawn(chart, rows)
    notes: list[str] = []
    drawn = _measured(chart, rows, notes)
    if drawn.is_empty() or drawn[chart.y.column].is_null().all():
        return ChartRows(chart, drawn.clear(), ())
    drawn = _of_enough_rows(chart, drawn, notes)
    drawn = _of_few_series(chart, drawn, notes)
    drawn = _clip_intervals(chart, drawn, notes)
    return ChartRows(chart, _with_controls(chart, drawn), tuple(notes))


def count_column(chart: Chart, columns: Sequence[str]) -> str | None:
    """The column with the number of rows behind each value, if there is one."""
    candidates = (chart.count,) if chart.count else ("of", "rows")
    return next((name for name in candidates if name in columns and name != chart.y.column), None)


def _chart_rows(chart: Chart, table: pl.DataFrame) -> pl.DataFrame:
    """The chart's rows and columns, with NaN as null, numbers rounded to six digits, and printable names."""
    axes = [axis.column for axis in (chart.x, chart.y, chart.color) if axis is not None]
    others = [chart.lower, chart.upper, chart.facet, chart.dash, chart.target, count_column(chart, table.columns)]
    others += ["row"] if "row" in table.columns else []
    names = dict.fromkeys([*axes, *(name for name in others if name)])
    rows = table.filter(*(pl.col(name) == value for name, value in chart.where.items())).select(*names)
    floats = [name for name in names if rows[name].dtype.is_float()]
    texts = [name for name in names if rows[name].dtype == pl.String]
    return rows.with_columns(
        *(pl.col(name).fill_nan(None).round_sig_figs(6) for name in floats),
        *(pl.col(name).replace({text: printable(text) for text in rows[name].drop_nulls().unique()}) for name in texts),
    )


def _as_drawn(chart: Chart, rows: pl.DataFrame) -> Chart:
    """The chart with the shape and the columns that fit its rows.

    Bars start at 0, so values beside another reference are dots; a control is dashed, also where it is a color; bars
    that differ in one column differ in color.
    """
    if chart.shape == "bars" and chart.reference is not None and chart.reference[0] != 0:
        chart = replace(chart, shape="points")
    dashes = ordered_values(rows, chart.dash) if chart.dash else []
    if chart.dash and dashes == ["train"]:
        chart = replace(chart, dash=None)
    if chart.shape == "bars" and chart.dash and chart.color is None:
        title = chart.dash.replace("_", " ")
        return replace(chart, dash=None, color=Axis(chart.dash, "rows" if title == "role" else title, "nominal"))
    if chart.shape in _ON_LINES and chart.dash is None and chart.color is not None:
        colors = ordered_values(rows, chart.color.column)
        if any(map(is_control, colors)) and not all(map(is_control, colors)):
            chart = replace(chart, dash=chart.color.column)
    return chart


def _measured(chart: Chart, rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """The rows with a value, above 0 on a logarithmic axis. Matrices and bars also show that a value is missing."""
    if chart.target is not None and rows[chart.target].is_null().all():
        return rows.clear()
    if chart.shape == "matrix" and chart.color is not None and rows[chart.color.column].is_null().all():
        return rows.clear()
    places = rows.drop_nulls(chart.x.column)
    measured = places if chart.shape == "bars" else places.drop_nulls(chart.y.column)
    if chart.shape == "bars" and measured[chart.y.column].null_count():
        notes.append("–: not measured.")
    _note_missing(chart, rows, measured, notes)
    positive = measured
    for axis in (chart.x, chart.y):
        if axis.scale == "log" and chart.shape in _ON_LINES:
            positive = positive.filter(pl.col(axis.column) > 0)
    if positive.height < measured.height:
        dropped = measured.height - positive.height
        notes.append(f"{dropped} of {rows.height} points are not drawn: 0 has no place on a logarithmic axis.")
    return positive


def _note_missing(chart: Chart, rows: pl.DataFrame, measured: pl.DataFrame, notes: list[str]) -> None:
    missing = rows.height - measured.height
    if not missing or measured.is_empty():
        return
    subject = f"{missing} of {rows.height} points are not drawn: not measured"
    if chart.dash is not None:
        left = rows.filter(pl.any_horizontal(pl.col(chart.x.column, chart.y.column).is_null()))
        kinds = ordered_values(left, chart.dash)
        if len(kinds) == 1 and left.height == missing:
            subject += f" (all of them: {'training' if kinds[0] == 'train' else kinds[0]} rows)"
    notes.append(subject + ".")


def _of_enough_rows(chart: Chart, rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Without the points of a line that are means of a few rows, unless all are."""
    count = count_column(chart, rows.columns)
    if chart.shape not in _ON_LINES or count is None or not rows[count].dtype.is_integer():
        return rows
    enough = rows.filter(pl.col(count).is_null() | (pl.col(count) >= FEW_ROWS))
    if enough.is_empty() or enough.height == rows.height:
        return rows
    dropped = rows.height - enough.height
    points = "1 point of fewer than" if dropped == 1 else f"{dropped} points of fewer than"
    notes.append(f"{points} {FEW_ROWS} rows {'is' if dropped == 1 else 'are'} in the table only.")
    return enough


def _of_few_series(chart: Chart, rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """At most MAX_SERIES colors, evenly spaced from the first to the last; parts of stacked bars are left alone."""
    if chart.color is None or chart.shape not in (*_ON_LINES, "bars"):
        return rows
    values = ordered_values(rows, chart.color.column)
    if len(values) <= MAX_SERIES:
        return rows
    kept = [values[round(i * (len(values) - 1) / (MAX_SERIES - 1))] for i in range(MAX_SERIES)]
    notes.append(f"{MAX_SERIES} of {len(values)} series are drawn ({chart.color.title}); the table has all.")
    return rows.filter(pl.col(chart.color.column).is_in(kept))


def value_bounds(chart: Chart, rows: pl.DataFrame) -> tuple[float | None, float | None]:
    """The least and greatest possible value of y: as the axis says, else 0 and 1 for shares that are no differences."""
    if chart.y.bounds != (None, None) or not chart.y.share or chart.shape not in (*_ON_LINES, "bars"):
        return chart.y.bounds
    values = rows[chart.y.column].drop_nulls()
    is_difference = chart.reference is not None and chart.reference[0] == 0
    return (None, None) if is_difference or values.is_empty() or values.min() < 0 or values.max() > 1 else (0, 1)  # type: ignore[operator]


def _clip_intervals(chart: Chart, rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Intervals end at the bounds of the scale; on a logarithmic axis, at half of the lowest value."""
    if chart.lower is None or chart.upper is None:
        return rows
    low, high = value_bounds(chart, rows)
    interval = pl.col(chart.lower, chart.upper)
    clipped = rows.with_columns(interval.clip(low, high)) if chart.shape in (*_ON_LINES, "bars") else rows
    for bound, column, name in ((low, chart.lower, "least"), (high, chart.upper, "greatest")):
        if bound is not None and _differ(rows[column], clipped[column]):
            notes.append(f"Intervals are cut at {bound:g}, the {name} possible value.")
    if chart.y.scale == "log":
        return clipped.with_columns(pl.col(chart.lower).clip(lower_bound=pl.col(chart.y.column).min() / 2))
    return clipped


def _differ(first: pl.Series, second: pl.Series) -> bool:
    return bool(((first - second).abs() > 1e-6).any())


def _with_controls(chart: Chart, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of line charts with a column that says which belong to a control, if some do."""
    if chart.shape not in _ON_LINES or chart.dash is None:
        return rows
    controls: list[Any] = [value for value in ordered_values(rows, chart.dash) if is_control(value)]
    if not controls or len(controls) == rows[chart.dash].n_unique():
        return rows
    return rows.with_columns(pl.col(chart.dash).cast(pl.String).is_in([str(name) for name in controls]).alias(CONTROL))
