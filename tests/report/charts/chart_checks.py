"""What holds for every chart of every analysis; each check raises AssertionError."""

from collections.abc import Iterator
from math import cos, radians, sin
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from mematlas.findings.finding import Chart
from mematlas.report.charts.chart_rows import CONTROL, MAX_SERIES, select_rows, value_bounds
from mematlas.report.charts.export import PAPER_INCHES, fitting_specification
from mematlas.report.charts.palette import is_control
from mematlas.report.charts.specification import VEGA_LITE, Drawing
from mematlas.report.charts.text_metrics import text_width
from mematlas.report.charts.theme import config

NARROW = 356  # pixels: a phone, or a column of a paper
ON_LINES = ("lines", "steps", "points")
assert PAPER_INCHES["column"] * 72 / 8 * 12 >= NARROW


def check_chart(chart: Chart, table: pl.DataFrame, drawing: Drawing) -> None:
    """All checks of one chart that has something to draw."""
    check_schema(drawing.specification)
    check_axes_are_named(drawing.specification)
    check_series_can_be_told_apart(chart, table)
    check_intervals_are_possible(chart, table)
    check_controls_are_grey_and_dashed(chart, table, drawing.specification)
    check_texts_lie_inside_the_picture(drawing)


def check_schema(specification: dict[str, Any]) -> None:
    """That Vega-Lite's schema allows the specification."""
    schema = alt.TopLevelFacetSpec if "spec" in specification else alt.TopLevelLayerSpec
    records = specification["data"]["values"][:1]  # they are all alike
    schema.from_dict(specification | {"data": {"values": records}})


def layers(specification: dict[str, Any]) -> list[dict[str, Any]]:
    return specification.get("spec", specification)["layer"]


def check_axes_are_named(specification: dict[str, Any]) -> None:
    for layer in layers(specification):
        for name in ("x", "y"):
            channel = layer["encoding"].get(name, {})
            if "field" in channel and channel.get("axis", {}) is not None and channel.get("type") == "quantitative":
                assert any(channel["title"]), channel
                assert "_" not in "".join(channel["title"]).replace("R_mem", ""), channel["title"]


def check_series_can_be_told_apart(chart: Chart, table: pl.DataFrame) -> None:
    rows = select_rows(chart, table)
    if rows.chart.color is not None and rows.chart.shape in (*ON_LINES, "bars"):
        assert rows.frame[rows.chart.color.column].n_unique() <= MAX_SERIES


def check_intervals_are_possible(chart: Chart, table: pl.DataFrame) -> None:
    rows = select_rows(chart, table)
    low, high = value_bounds(rows.chart, rows.frame)
    if rows.chart.lower is None or rows.chart.upper is None or rows.chart.shape not in (*ON_LINES, "bars"):
        return
    assert low is None or (rows.frame[rows.chart.lower].drop_nulls() >= low - 1e-6).all()
    assert high is None or (rows.frame[rows.chart.upper].drop_nulls() <= high + 1e-6).all()


def check_controls_are_grey_and_dashed(chart: Chart, table: pl.DataFrame, specification: dict[str, Any]) -> None:
    rows = select_rows(chart, table)
    if CONTROL not in rows.frame.columns or rows.chart.shape == "points":
        return
    lines = [
        layer
        for layer in layers(specification)
        if layer["mark"]["type"] == "line" and "strokeDash" in layer["encoding"]
    ]
    grey = [layer for layer in lines if layer["mark"].get("style") == "control"]
    assert grey
    assert all("color" not in layer["encoding"] for layer in grey)
    scale = grey[0]["encoding"]["strokeDash"]["scale"]
    dashes = dict(zip(scale["domain"], scale["range"], strict=True))
    assert all((dashes[value] == [1, 0]) is False for value in dashes if is_control(value))


def check_texts_lie_inside_the_picture(drawing: Drawing) -> None:
    """On a narrow page no text is cut, and no name of an axis is shortened by Vega."""
    options = {"vl_version": VEGA_LITE, "config": config("light", drawing.levels, drawing.legend_columns(NARROW))}
    picture = vl_convert.vegalite_to_scenegraph(fitting_specification(drawing, NARROW), **options)
    assert picture["width"] <= NARROW + 2, f"the picture is {picture['width']} wide, for {NARROW}"
    assert not has_nan(picture), "a mark has no place"
    left, right = -picture["origin"][0], picture["width"] - picture["origin"][0]
    for text, start, end in texts(picture["scenegraph"], 0):
        assert left - 2 <= start, f"{text!r} begins at {start:.0f}, the picture at {left}"
        assert end <= right + 2, f"{text!r} ends at {end:.0f}, the picture at {right}"


def has_nan(node: Any) -> bool:
    """Whether a scene has a number that is none."""
    if isinstance(node, dict | list):
        return any(map(has_nan, node.values() if isinstance(node, dict) else node))
    return isinstance(node, float) and node != node


def texts(node: dict[str, Any], x: float) -> Iterator[tuple[str, float, float]]:
    """Each line of text of a scene with its left and right end."""
    for item in node.get("items", ()):
        if node.get("marktype") == "text" and item.get("text") not in (None, ""):
            limit = item.get("limit") or 1e9
            lines = item["text"] if isinstance(item["text"], list) else [item["text"]]
            for line in (str(line) for line in lines if str(line).strip()):
                assert text_width(line, item.get("fontSize", 11)) <= limit + 1, f"{line!r} is cut by Vega"
                yield _ends(line, item, x)
        yield from texts(item, x + item.get("x", 0) if node.get("marktype") == "group" else x)


def _ends(line: str, item: dict[str, Any], x: float) -> tuple[str, float, float]:
    bold = 1.1 if item.get("fontWeight") == "bold" else 1
    width = text_width(line, item.get("fontSize", 11)) * bold
    before = {"right": width, "center": width / 2}.get(item.get("align", "left"), 0)
    angle = radians(item.get("angle", 0))
    anchor = x + item.get("x", 0) + item.get("dx", 0) * cos(angle) - item.get("dy", 0) * sin(angle)
    ends = sorted((anchor - before * cos(angle), anchor + (width - before) * cos(angle)))
    return line, *ends
