"""The checks of charts fail where they should."""

from dataclasses import replace

import polars as pl
import pytest

pytest.importorskip("altair")

from jsonschema import ValidationError

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts.chart_rows import select_rows
from mematlas.report.charts.specification import draw
from tests.report import sample_findings as sample
from tests.report.charts import chart_checks as checks


def drawn():
    chart, table = sample.lines().charts[0], sample.lines().table("numbers")
    return chart, table, draw(chart, table, "words")


def changed(value, old, new):
    """A specification with another value in place of `old`, wherever it stands."""
    if value == old:
        return new
    if isinstance(value, dict):
        return {key: changed(item, old, new) for key, item in value.items()}
    return [changed(item, old, new) for item in value] if isinstance(value, list) else value


def test_a_good_chart_passes():
    checks.check_chart(*drawn())


def test_a_text_that_is_too_wide_is_found():
    *_, drawing = drawn()
    wide = replace(drawing, specification=changed(drawing.specification, ["parameters"], ["parameters " * 9]))
    with pytest.raises(AssertionError, match="the picture is"):
        checks.check_texts_lie_inside_the_picture(wide)


def test_a_label_that_vega_cuts_is_found():
    chart, table = sample.bars().charts[0], sample.bars().table("numbers")
    drawing = draw(chart, table, "words")
    tight = replace(drawing, specification=changed(drawing.specification, 0, 9))  # labelLimit: 0 is none
    with pytest.raises(AssertionError, match="is cut by Vega"):
        checks.check_texts_lie_inside_the_picture(tight)


def test_what_vega_lite_does_not_know_is_found():
    *_, drawing = drawn()
    with pytest.raises(ValidationError, match="linee"):
        checks.check_schema(changed(drawing.specification, "line", "linee"))


def test_an_axis_without_a_name_is_found():
    *_, drawing = drawn()
    with pytest.raises(AssertionError):
        checks.check_axes_are_named(changed(drawing.specification, ["parameters"], [""]))


def test_a_colored_control_is_found():
    chart, table, drawing = drawn()
    with pytest.raises(AssertionError):
        checks.check_controls_are_grey_and_dashed(chart, table, changed(drawing.specification, "control", "control "))


def test_eight_series_become_seven_and_impossible_intervals_end_at_the_bound():
    frame = pl.DataFrame(
        [
            {"x": x, "count": 1.0 + x, "low": -2.0, "high": 3.0 + x, "model": f"m{model}"}
            for model in range(9)
            for x in (1, 2, 3)
        ]
    )
    y = Axis("count", "mean count", bounds=(0, None))
    chart = Chart("c", "C", "lines", "t", Axis("x", "x"), y, Axis("model", "model", "nominal"), "low", "high")
    rows = select_rows(chart, frame)
    assert rows.frame["model"].unique(maintain_order=True).to_list() == ["m0", "m1", "m3", "m4", "m5", "m7", "m8"]
    assert rows.frame["low"].min() == 0
    assert rows.notes == (
        "7 of 9 series are drawn (model); the table has all.",
        "Intervals are cut at 0, the least possible value.",
    )
    unbounded = select_rows(replace(chart, y=replace(y, bounds=(None, None))), frame)
    assert unbounded.frame["low"].min() == -2
