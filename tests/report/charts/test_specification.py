"""Charts as data: what the specifications draw. People check the images themselves."""

from dataclasses import replace

import polars as pl
import pytest

pytest.importorskip("altair")

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts.export import minify_svg, svg, write_picture
from mematlas.report.charts.orders import merge_orders
from mematlas.report.charts.specification import draw
from mematlas.report.tables import format_value
from tests.report import sample_findings as sample

ENDS = ("part_from", "part_to")


def drawing(finding, **changed):
    chart = replace(finding.charts[0], **changed)
    return draw(chart, finding.table(chart.table), "words")


def layers(specification):
    return specification.get("spec", specification)["layer"]


def mark_type(layer):
    return layer["mark"]["type"] if isinstance(layer["mark"], dict) else layer["mark"]


def values(specification):
    """The rows that are drawn."""
    data = specification["data"]
    return data["values"] if "values" in data else specification["datasets"][data["name"]]


@pytest.mark.parametrize("factory", [factory for factory in sample.ALL if factory().charts])
def test_every_shape_becomes_an_image(factory):
    picture = svg(drawing(factory()))
    assert picture.startswith("<svg")
    assert len(minify_svg(picture)) < len(picture)
    assert "NaN" not in picture
    assert "undefined" not in picture


def test_lines_have_marks_dashes_intervals_and_percent():
    spec = drawing(sample.lines()).specification
    kinds = [(mark_type(layer), layer["mark"].get("style")) for layer in layers(spec)]
    pair = [("rule", None), ("rule", "control"), ("line", None), ("line", "control"), ("point", None)]
    assert kinds[:6] == [*pair, ("point", "control")]  # hollow marks are those of the control alone
    rules, _, line, _, full, hollow = layers(spec)[:6]
    assert (rules["encoding"]["y"]["field"], rules["encoding"]["y2"]["field"]) == ("lower", "upper")
    assert line["encoding"]["y"]["axis"]["format"] == "~%"
    assert line["encoding"]["x"]["scale"]["type"] == "log"
    assert line["encoding"]["x"]["axis"]["values"] == [137_664, 287_616, 674_368, 1_841_920]
    assert line["encoding"]["strokeDash"]["scale"]["domain"] == ["train", "control"]
    assert full["encoding"]["shape"]["scale"]["domain"] == [16, 32, 48, 64]
    assert len(set(full["encoding"]["shape"]["scale"]["range"])) == 4
    assert (full["mark"]["filled"], hollow["mark"]["filled"]) == (True, False)


def test_many_positions_along_x_make_a_band():
    band = layers(drawing(sample.steps()).specification)[0]
    assert mark_type(band) == "area"
    assert band["mark"]["interpolate"] == "step-after"


def test_where_selects_rows():
    drawn = drawing(sample.lines(), where={"role": "train", "context": 32})
    assert drawn.panels == 1
    assert {row["role"] for row in values(drawn.specification)} == {"train"}
    assert len(values(drawn.specification)) == 16


def test_values_not_measured_are_not_drawn_but_noted():
    drawn = drawing(sample.bars())
    assert drawn.note == "–: not measured."
    assert [row["bar_label"] for row in values(drawn.specification) if row["share"] is None] == ["–", "–"]
    frame = (
        sample.lines()
        .table("numbers")
        .with_columns(share=pl.when(role="train").then(pl.col("share")), rows=pl.lit(384))
    )
    drawn = draw(sample.lines().charts[0], frame, "words")
    assert drawn.note == "32 of 64 points are not drawn: not measured (all of them: control rows)."
    assert all(row["share"] is not None for row in values(drawn.specification))
    frame = sample.bars().table("numbers").with_columns(share=pl.lit(None, pl.Float64))
    assert draw(sample.bars().charts[0], frame, "words") is None


def test_a_logarithmic_axis_has_no_zero_and_intervals_stay_above_it():
    frame = pl.DataFrame({"n": [0, 10, 100], "share": [0.5, 0.0, 0.2], "low": [0.1, 0.0, 0.0], "high": [0.9, 0.1, 0.4]})
    chart = Chart(
        "c", "C", "lines", "t", Axis("n", "n", "log"), Axis("share", "rows", "log", True), None, "low", "high"
    )
    drawn = draw(chart, frame, "words")
    (row,) = values(drawn.specification)
    assert (row["n"], row["low"]) == (100, 0.1)
    assert drawn.note.startswith("2 of 3 points are not drawn: 0 has no place on a logarithmic axis.")


def test_nan_counts_as_not_measured():
    frame = pl.DataFrame({"n": [1, 2], "share": [float("nan"), 0.2]})
    chart = Chart("c", "C", "lines", "t", Axis("n", "n"), Axis("share", "rows", share=True))
    assert [row["share"] for row in values(draw(chart, frame, "words").specification)] == [0.2]


def test_labels_that_do_not_fit_side_by_side_make_bars_horizontal():
    table = sample.bars().table("numbers").head(6)
    upright = draw(sample.bars().charts[0], table, "words").specification
    assert layers(upright)[0]["encoding"]["x"]["field"] == "model"
    names = dict(
        zip(sample.MODELS, ("the smallest of the models", "one of average size", "the largest", ""), strict=True)
    )
    long = table.with_columns(pl.col("model").replace(names))
    lying = draw(sample.bars().charts[0], long, "words").specification
    assert layers(lying)[0]["encoding"]["y"]["field"] == "model"


def test_stacked_parts_follow_one_another_and_end_at_the_whole():
    rows = [row for row in values(drawing(sample.stacked()).specification) if row["model"] == sample.MODELS[0]]
    assert [row["level"] for row in rows] == list(sample.LEVELS)
    assert [row["part_from"] for row in rows] == pytest.approx([0, 0.7, 0.85, 0.9, 0.95])
    assert rows[-1]["part_to"] == 1
    thirds = pl.DataFrame({"model": ["m"] * 3, "level": ["a", "b", "c"], "share": [1 / 3] * 3})
    ends = [row[end] for row in values(draw(sample.stacked().charts[0], thirds, "w").specification) for end in ENDS]
    assert (min(ends), max(ends)) == (0, 1)
    assert [row["part_label"] for row in rows] == ["70 %", "15 %", "", "", ""]


def test_levels_keep_their_order_where_the_first_bar_lacks_some():
    frame = sample.stacked().table("numbers").filter((pl.col("model") != sample.MODELS[0]) | (pl.col("level") != "low"))
    spec = draw(sample.stacked().charts[0], frame, "words").specification
    assert layers(spec)[0]["encoding"]["color"]["scale"]["domain"] == list(sample.LEVELS)
    assert merge_orders([["a", "c"], ["a", "b", "c"]]) == ["a", "b", "c"]
    assert merge_orders([["a", "b"], ["b", "a"]]) == ["a", "b"]


def test_a_matrix_marks_missing_cells():
    cells, numbers, unknown = layers(drawing(sample.matrix()).specification)
    assert numbers["encoding"]["text"]["format"] == ".0%"
    assert cells["encoding"]["color"]["scale"]["domain"] == [0, 1]
    assert unknown["mark"]["text"] == "–"
    negative = sample.matrix().table("numbers").with_columns(share=pl.col("share") - 0.5)
    scale = layers(draw(sample.matrix().charts[0], negative, "w").specification)[0]["encoding"]["color"]["scale"]
    assert scale["domain"] == [-0.4, 0, 0.4]


def test_a_flow_ends_in_the_last_model():
    records = values(drawing(sample.flow()).specification)
    blocks = [record for record in records if record["part"] == "block"]
    assert {block["step"] for block in blocks} == set(sample.MODELS)
    assert {(b["level"], b["label"]) for b in blocks if b["side"] == "start"} == {
        ("very low", "very low 39 %"),
        ("medium", "medium 23 %"),
        ("very high", "very high 38 %"),
    }
    assert sum(record["part"] == "ribbon" for record in records) == 3 * 9 * 11


def test_a_flow_of_unknown_rows_is_no_picture():
    frame = sample.flow().table("numbers").with_columns(rows=pl.lit(None, pl.Int64))
    assert draw(sample.flow().charts[0], frame, "words") is None


def test_panels_are_arranged_in_even_rows():
    frame = pl.concat([sample.series_frame((context,)) for context in (8, 16, 32, 64)])
    drawn = draw(sample.lines().charts[0], frame, "words")
    assert drawn.panels == 4
    assert [drawn.with_width(width)["columns"] for width in (1400, 800, 350)] == [4, 2, 1]


def test_a_reference_line_has_its_name():
    line, text = layers(drawing(sample.points()).specification)[:2]
    assert line["encoding"]["x"]["field"] == "reference"
    assert text["encoding"]["text"]["field"] == "name"


def test_events_are_vertical_lines_at_values_of_x():
    frame = pl.DataFrame({"x": [1, 2], "y": [0.98, 1.02]})
    chart = Chart("shown", "Shown", "lines", "t", Axis("x", "x"), Axis("y", "y"), events=(1.0, 1.5))
    rules = [layer for layer in layers(draw(chart, frame, "words").specification) if mark_type(layer) == "rule"]
    assert [layer["encoding"]["x"]["field"] for layer in rules] == ["event"]
    assert [list(point.values()) for point in rules[0]["data"]["values"]] == [[1.0], [1.5]]
    none = layers(draw(replace(chart, events=()), frame, "words").specification)
    assert "rule" not in [mark_type(layer) for layer in none]


def test_images_are_written_without_a_browser(tmp_path):
    drawn = drawing(sample.lines())
    starts = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}
    for form, start in starts.items():
        write_picture(tmp_path / f"chart.{form}", drawn, form)
        assert (tmp_path / f"chart.{form}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (-0.5, "−0.5"),
        (True, "yes"),
        (0.0, "0"),
    ],
)
def test_cells_are_text(value, text):
    assert format_value(value) == text


def test_points_that_are_rows_have_their_id_in_the_tooltip():
    frame = pl.DataFrame({"x": [0.5, 1.5], "y": [2.0, 3.0], "row": [1_234_567, 8]})
    chart = Chart("map", "Rows", "points", "t", Axis("x", "x"), Axis("y", "y"))
    specification = draw(chart, frame, "words").specification
    tips = layers(specification)[-1]["encoding"]["tooltip"]
    assert tips[0] == {"field": "row", "title": "row id", "type": "nominal"}
    assert [row["row"] for row in values(specification)] == [1_234_567, 8]


@pytest.mark.parametrize("zero", [True, False])
def test_a_vertical_axis_starts_at_zero_unless_configured_otherwise(zero):
    frame = pl.DataFrame({"x": [1, 2], "y": [0.98, 1.02]})
    chart = Chart("near-one", "Near one", "lines", "t", Axis("x", "x"), Axis("y", "y", zero=zero))
    line = next(layer for layer in layers(draw(chart, frame, "words").specification) if mark_type(layer) == "line")
    assert line["encoding"]["y"]["scale"]["domain"][0] == (0 if zero else 0.98)
