"""Names of lines, at their right ends instead of in a legend; of the reference line, too."""

from collections.abc import Iterable
from typing import Any, Final

import altair as alt
import polars as pl

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts.chart_rows import CONTROL
from mematlas.report.charts.numbers import short_number
from mematlas.report.charts.orders import ordered_values
from mematlas.report.charts.text_metrics import elide, text_width, without_common_parts
from mematlas.report.charts.value_scale import ValueScale

LABEL, HEIGHT, CONTROL_LABEL, CONTROL_HEIGHT = "end_label", "end_height", "control_label", "control_height"
REFERENCE_LABEL, REFERENCE_HEIGHT = "reference_label", "reference_height"
_FONT_SIZE: Final = 11
_LINE: Final = 14  # pixels from label to label
_MAX_WIDTH: Final = 140
_DX: Final = 15  # of the text, from the plot; the mark is in between
_ROLES: Final = {
    "train": "training rows",
    "control": "control rows",
    "predictor, shuffled labels": "shuffled labels",
    "0x": "never shown",
    "0x-again": "never shown, again",
}


def series_names(values: list[Any], axis: Axis | None) -> dict[Any, str]:
    """What each series is called: numbers with their unit, models without what all names share."""
    if values and all(isinstance(value, int | float) for value in values):
        title = axis.title if axis is not None else ""
        unit = title.rsplit(", ", 1)[-1]
        before, after = (f"{title} ", "") if " " in unit else ("", f" {unit}" if unit else "")
        return {value: f"{before}{short_number(value)}{after}" for value in values}
    short = without_common_parts([str(value) for value in values])
    return {value: _ROLES.get(str(value), short[str(value)]) for value in values}


def with_end_labels(chart: Chart, frame: pl.DataFrame, scale: ValueScale, height: int) -> pl.DataFrame:
    """`frame` with a name on the last point of each series in each panel, at a height at which no names overlap.

    A control that stands beside several series has one name.
    """
    names = _all_names(chart, frame)
    numbered = frame.with_row_index("end_row")
    panels = numbered.group_by(chart.facet, maintain_order=True) if chart.facet else [((), numbered)]
    records: list[dict[str, Any]] = []
    for _, panel in panels:
        records += _panel_labels(chart, panel, names, scale, height)
    columns: dict[str, Any] = dict.fromkeys((LABEL, CONTROL_LABEL, REFERENCE_LABEL), pl.String)
    columns |= dict.fromkeys((HEIGHT, CONTROL_HEIGHT, REFERENCE_HEIGHT), pl.Float64)
    labels = (
        pl.DataFrame(records, {"end_row": pl.UInt32, **columns})
        .group_by("end_row")
        .agg(pl.col(name).drop_nulls().first() for name in columns)
    )
    used = [name for name in columns if labels[name].is_not_null().any()]
    return numbered.join(labels.select("end_row", *used), "end_row", "left", maintain_order="left").drop("end_row")


def _all_names(chart: Chart, frame: pl.DataFrame) -> dict[str, str]:
    columns: list[tuple[str, Axis | None]] = [(chart.color.column, chart.color)] if chart.color else []
    columns += [(chart.dash, None)] if chart.dash else []
    names: dict[str, str] = {}
    for column, axis in columns:
        for value, name in series_names(ordered_values(frame, column), axis).items():
            names.setdefault(str(value), elide(name, _MAX_WIDTH, _FONT_SIZE))
    return names


def _panel_labels(
    chart: Chart, panel: pl.DataFrame, names: dict[str, str], scale: ValueScale, height: int
) -> list[dict[str, Any]]:
    """One record per label: the row it belongs to, its text and its height, in columns of its kind."""
    found = [*_line_ends(chart, panel, names), *_control_ends(chart, panel, names)]
    if chart.reference is not None and not scale.log:
        text = elide(chart.reference[1], _MAX_WIDTH, _FONT_SIZE)
        found.append((panel["end_row"][0], text, chart.reference[0], REFERENCE_LABEL, REFERENCE_HEIGHT))
    wanted = [height * scale.height_of(value) for _, _, value, *_ in found]
    return [
        {"end_row": row, label: text, place: float(f"{scale.value_at(pixel / height):.6g}")}
        for (row, text, _, label, place), pixel in zip(found, spread(wanted, height), strict=True)
    ]


_Label = tuple[int, str, float, str, str]


def _line_ends(chart: Chart, panel: pl.DataFrame, names: dict[str, str]) -> Iterable[_Label]:
    lines = panel.filter(~pl.col(CONTROL)) if CONTROL in panel.columns else panel
    column = chart.color.column if chart.color else chart.dash
    if column is None:
        return
    for (value,), line in lines.group_by(column, maintain_order=True):
        last = line.sort(chart.x.column, maintain_order=True).row(-1, named=True)
        if value is not None:
            yield last["end_row"], names[str(value)], last[chart.y.column], LABEL, HEIGHT


def _control_ends(chart: Chart, panel: pl.DataFrame, names: dict[str, str]) -> Iterable[_Label]:
    """One label for each kind of control, at the mean of the ends of its lines."""
    if CONTROL not in panel.columns or chart.dash is None:
        return
    series = list(dict.fromkeys([chart.dash, *([chart.color.column] if chart.color else [])]))
    for (kind,), lines in panel.filter(CONTROL).group_by(chart.dash, maintain_order=True):
        ends = lines.sort(chart.x.column, maintain_order=True).group_by(series, maintain_order=True).last()
        yield ends["end_row"][0], names[str(kind)], ends[chart.y.column].mean(), CONTROL_LABEL, CONTROL_HEIGHT  # type: ignore[misc]


def spread(wanted: list[float], height: float) -> list[float]:
    """Heights in pixels as near to the wanted ones as labels of _LINE pixels allow, inside the plot."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [min(max(wanted[i], 0.0), height) for i in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + _LINE)
    limit = height
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - _LINE
    by_label = dict(zip(order, placed, strict=True))
    return [by_label[i] for i in range(len(wanted))]


def label_width(frame: pl.DataFrame) -> int:
    """The room that the labels need beside the plot, in pixels."""
    columns = [name for name in (LABEL, CONTROL_LABEL, REFERENCE_LABEL) if name in frame.columns]
    texts = [text for name in columns for text in frame[name].drop_nulls().unique()]
    return round(_DX + max((text_width(text, _FONT_SIZE) for text in texts), default=-_DX))


def label_layers(frame: pl.DataFrame, y: alt.Y, marks: dict[str, Any]) -> list[alt.Chart]:
    """The layers of all labels; `marks`: the channels color and shape of the lines, for the mark before a name."""
    layers: list[alt.Chart] = []
    for label, place in ((LABEL, HEIGHT), (CONTROL_LABEL, CONTROL_HEIGHT), (REFERENCE_LABEL, REFERENCE_HEIGHT)):
        if label not in frame.columns:
            continue
        channel = y.copy()
        channel["field"] = place
        base = alt.Chart().transform_filter(f"isValid(datum.{label})").encode(y=channel, x=alt.value("width"))
        if label == LABEL:
            layers.append(base.mark_point(filled=True, size=42, xOffset=7, opacity=1).encode(**marks))
        style: dict[str, Any] = {} if label == LABEL else {"style": "reference"}
        text = base.mark_text(align="left", baseline="middle", dx=_DX, fontSize=_FONT_SIZE, **style)
        layers.append(text.encode(text=alt.Text(field=label, type="nominal")))
    return layers
