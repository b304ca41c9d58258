"""Charts as data: what the specifications draw. The pictures themselves are looked at by people."""

from dataclasses import replace

import polars as pl
import pytest

pytest.importorskip("altair")

from mematlas.findings.finding import Axis, Chart
from mematlas.report import tables
from mematlas.report.charts import encodings
from mematlas.report.charts.export import slim, svg, write_picture
from mematlas.report.charts.specification import draw
from tests.report import sample_findings as made

ENDS = ("part_from", "part_to")


def drawing(finding, **changed):
    chart = replace(finding.charts[0], **changed)
    return draw(chart, finding.table(chart.table), "words")


def layers(specification):
    return specification.get("spec", specification)["layer"]


def kind(layer):
    return layer["mark"]["type"] if isinstance(layer["mark"], dict) else layer["mark"]


def values(specification):
    """The lines that are drawn."""
    data = specification["data"]
    return data["values"] if "values" in data else specification["datasets"][data["name"]]


@pytest.mark.parametrize("make", [make for make in made.ALL if make().charts])
def test_every_shape_becomes_a_picture(make):
    picture = svg(drawing(make()))
    assert picture.startswith("<svg")
    assert len(slim(picture)) < len(picture)
    assert "NaN" not in picture
    assert "undefined" not in picture


def test_lines_have_marks_dashes_intervals_and_percent():
    spec = drawing(made.lines()).specification
    rules, line, full, hollow = layers(spec)
    assert [kind(layer) for layer in (rules, line, full, hollow)] == ["rule", "line", "point", "point"]
    assert (rules["encoding"]["y"]["field"], rules["encoding"]["y2"]["field"]) == ("lower", "upper")
    assert line["encoding"]["y"]["axis"]["format"] == "~%"
    assert line["encoding"]["x"]["scale"]["type"] == "log"
    assert line["encoding"]["x"]["axis"]["values"] == [137_664, 287_616, 674_368, 1_841_920]
    assert line["encoding"]["strokeDash"]["scale"]["domain"] == ["train", "control"]
    assert full["encoding"]["shape"]["scale"]["domain"] == [16, 32, 48, 64]
    assert len(set(full["encoding"]["shape"]["scale"]["range"])) == 4
    assert (full["mark"]["filled"], hollow["mark"]["filled"]) == (True, False)


def test_many_places_along_x_make_a_band():
    band = layers(drawing(made.steps()).specification)[0]
    assert kind(band) == "area"
    assert band["mark"]["interpolate"] == "step-after"


def test_where_keeps_the_lines_asked_for():
    found = drawing(made.lines(), where={"role": "train", "context": 32})
    assert found.panels == 1
    assert {line["role"] for line in values(found.specification)} == {"train"}
    assert len(values(found.specification)) == 16


def test_what_was_not_measured_is_not_drawn_and_said():
    found = drawing(made.bars())
    assert found.left_out == "2 of 8 points are not drawn: not measured, or 0 on a logarithmic axis."
    assert all(line["share"] is not None for line in values(found.specification))
    frame = made.bars().table("numbers").with_columns(share=pl.lit(None, pl.Float64))
    assert draw(made.bars().charts[0], frame, "words") is None


def test_a_logarithmic_axis_has_no_zero_and_intervals_stay_above_it():
    frame = pl.DataFrame({"n": [0, 10, 100], "share": [0.5, 0.0, 0.2], "low": [0.1, 0.0, 0.0], "high": [0.9, 0.1, 0.4]})
    chart = Chart(
        "c", "C", "lines", "t", Axis("n", "n", "log"), Axis("share", "rows", "log", True), None, "low", "high"
    )
    found = draw(chart, frame, "words")
    (line,) = values(found.specification)
    assert (line["n"], line["low"]) == (100, 0.1)
    assert found.left_out.startswith("2 of 3 points")


def test_nan_is_not_measured():
    frame = pl.DataFrame({"n": [1, 2], "share": [float("nan"), 0.2]})
    chart = Chart("c", "C", "lines", "t", Axis("n", "n"), Axis("share", "rows", share=True))
    assert [line["share"] for line in values(draw(chart, frame, "words").specification)] == [0.2]


def test_names_too_long_to_stand_side_by_side_turn_the_bars():
    assert layers(drawing(made.bars()).specification)[0]["encoding"]["y"]["field"] == "model"
    short = made.bars().table("numbers").with_columns(model=pl.col("model").str.slice(5, 5))
    upright = draw(made.bars().charts[0], short, "words").specification
    assert layers(upright)[0]["encoding"]["x"]["field"] == "model"


def test_stacked_parts_follow_one_another_and_end_at_the_whole():
    lines = [line for line in values(drawing(made.stacked()).specification) if line["model"] == made.MODELS[0]]
    assert [line["level"] for line in lines] == list(made.LEVELS)
    assert [line["part_from"] for line in lines] == pytest.approx([0, 0.7, 0.85, 0.9, 0.95])
    assert lines[-1]["part_to"] == 1
    thirds = pl.DataFrame({"model": ["m"] * 3, "level": ["a", "b", "c"], "share": [1 / 3] * 3})
    ends = [line[end] for line in values(draw(made.stacked().charts[0], thirds, "w").specification) for end in ENDS]
    assert (min(ends), max(ends)) == (0, 1)
    assert [line["part_label"] for line in lines] == ["70 %", "15 %", "", "", ""]


def test_levels_keep_their_order_where_the_first_bar_lacks_some():
    frame = made.stacked().table("numbers").filter((pl.col("model") != made.MODELS[0]) | (pl.col("level") != "low"))
    spec = draw(made.stacked().charts[0], frame, "words").specification
    assert layers(spec)[0]["encoding"]["color"]["scale"]["domain"] == list(made.LEVELS)
    assert encodings.merged([["a", "c"], ["a", "b", "c"]]) == ["a", "b", "c"]
    assert encodings.merged([["a", "b"], ["b", "a"]]) == ["a", "b"]


def test_a_matrix_says_which_cells_are_unknown():
    cells, numbers, unknown = layers(drawing(made.matrix()).specification)
    assert numbers["encoding"]["text"]["format"] == ".1%"
    assert cells["encoding"]["color"]["scale"]["domain"] == [0, 1]
    assert unknown["mark"]["text"] == "–"
    negative = made.matrix().table("numbers").with_columns(share=pl.col("share") - 0.5)
    scale = layers(draw(made.matrix().charts[0], negative, "w").specification)[0]["encoding"]["color"]["scale"]
    assert scale["domain"] == [-0.4, 0, 0.4]


def test_a_flow_ends_in_the_last_model():
    records = values(drawing(made.flow()).specification)
    blocks = [record for record in records if record["part"] == "block"]
    assert {block["step"] for block in blocks} == set(made.MODELS)
    assert {(b["level"], b["label"]) for b in blocks if b["side"] == "start"} == {
        ("very low", "very low 39 %"),
        ("medium", "medium 23 %"),
        ("very high", "very high 38 %"),
    }
    assert sum(record["part"] == "ribbon" for record in records) == 3 * 9 * 11


def test_a_flow_of_unknown_rows_is_no_picture():
    frame = made.flow().table("numbers").with_columns(rows=pl.lit(None, pl.Int64))
    assert draw(made.flow().charts[0], frame, "words") is None


def test_panels_stand_in_even_rows():
    frame = pl.concat([made.series_frame((context,)) for context in (8, 16, 32, 64)])
    found = draw(made.lines().charts[0], frame, "words")
    assert found.panels == 4
    assert [found.sized(width)["columns"] for width in (1000, 800, 350)] == [4, 2, 1]


def test_a_reference_line_has_its_name():
    line, text = layers(drawing(made.points()).specification)[:2]
    assert line["encoding"]["x"]["field"] == "reference"
    assert text["encoding"]["text"]["field"] == "name"


def test_pictures_are_written_without_a_browser(tmp_path):
    found = drawing(made.lines())
    starts = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}
    for form, start in starts.items():
        write_picture(tmp_path / f"chart.{form}", found, form)
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
    assert tables.cell(value) == text


def test_points_that_are_rows_tell_their_id():
    frame = pl.DataFrame({"x": [0.5, 1.5], "y": [2.0, 3.0], "row": [1_234_567, 8]})
    chart = Chart("map", "Rows", "points", "t", Axis("x", "x"), Axis("y", "y"))
    specification = draw(chart, frame, "words").specification
    tips = layers(specification)[-1]["encoding"]["tooltip"]
    assert tips[0] == {"field": "row", "title": "row id", "type": "nominal"}
    assert [line["row"] for line in values(specification)] == [1_234_567, 8]


@pytest.mark.parametrize("zero", [True, False])
def test_an_upright_axis_reaches_zero_unless_told_else(zero):
    frame = pl.DataFrame({"x": [1, 2], "y": [0.98, 1.02]})
    chart = Chart("near-one", "Near one", "lines", "t", Axis("x", "x"), Axis("y", "y", zero=zero))
    line = next(one for one in layers(draw(chart, frame, "words").specification) if kind(one) == "line")
    assert line["encoding"]["y"]["scale"]["zero"] is zero
