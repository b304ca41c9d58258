"""Names at the ends of lines, colors, and widths of text."""

import polars as pl
import pytest

pytest.importorskip("altair")

from mematlas.findings.finding import Axis, Chart
from mematlas.report.charts import numbers, text_metrics
from mematlas.report.charts.chart_rows import select_rows
from mematlas.report.charts.end_labels import series_names, spread
from mematlas.report.charts.export import fit_texts
from mematlas.report.charts.palette import Palette, palette_of
from mematlas.report.charts.specification import draw
from mematlas.report.charts.theme import config
from mematlas.report.charts.value_scale import value_scale
from tests.report import sample_findings as sample

MANY = tuple(f"m{number}" for number in range(12))


def expressions(palette, values):
    return [color.to_dict()["expr"] for color in palette.colors(values)]


def test_labels_keep_their_distance_and_stay_inside():
    assert spread([100, 20], 280) == [100, 20]
    assert spread([100, 104, 100], 280) == [100, 128, 114]
    assert spread([279, 280], 280) == [266, 280]
    assert spread([-50], 280) == [0]


def test_every_line_has_its_name_once_in_every_panel_and_controls_share_one():
    finding = sample.lines()
    specification = draw(finding.charts[0], finding.table("numbers"), "words").specification
    rows = (
        next(iter(specification["datasets"].values()))
        if "datasets" in specification
        else specification["data"]["values"]
    )
    names = [(row["context"], row["end_label"]) for row in rows if row.get("end_label")]
    assert sorted(names) == [(context, f"{length} tokens") for context in (16, 32) for length in (16, 32, 48, 64)]
    assert [row["control_label"] for row in rows if row.get("control_label")] == ["control rows"] * 2
    assert "legend" not in str(
        [layer["encoding"].get("color", {}).get("legend", "") for layer in specification["spec"]["layer"]]
    )


def test_numbers_have_units_and_models_lose_what_all_share():
    assert series_names([16, 32], Axis("continuation", "continuation, tokens")) == {16: "16 tokens", 32: "32 tokens"}
    assert series_names([1e9], Axis("parameters", "parameters")) == {1e9: "1B parameters"}
    assert series_names([200], Axis("cohort", "shown by step")) == {200: "shown by step 200"}
    assert series_names(["neox-0.14m-step-7", "neox-2m-step-7"], None)["neox-2m-step-7"] == "2m"
    assert series_names(["Min-K%", "Min-K%++"], None)["Min-K%"] == "Min-K%"


def test_a_model_has_one_color_whatever_else_is_drawn():
    palette = Palette(("a", "b", "c"))
    assert expressions(palette, ["c"]) == expressions(palette, ["a", "b", "c"])[2:] == ["ink.category[2]"]
    many = expressions(Palette(MANY), MANY)
    assert len(set(many)) == 12
    assert many[0] == "ink.many[0]"
    assert many[-1] == "ink.many[20]"
    assert expressions(palette, ["precision", "recall"]) == ["ink.category[0]", "ink.category[1]"]


def test_levels_classes_and_controls_have_their_own_colors():
    palette = Palette(("a",))
    assert expressions(palette, ["very low", "very high", "control"]) == [
        "ink.levels[0]",
        "ink.levels[4]",
        "ink.control",
    ]
    assert expressions(palette, ["unmemorized"]) == expressions(palette, ["memorized", "unmemorized"])[1:]
    assert expressions(palette, ["train", "control"]) == ["ink.category[0]", "ink.control"]


def test_models_are_ordered_by_size():
    frame = pl.DataFrame({"model": ["big", "small"], "parameters": [10, 1]})
    assert palette_of([frame, pl.DataFrame({"x": [1]})]).models == ("small", "big")


def luminance(color):
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_thin_lines_stand_out_from_the_page(theme):
    page = {"light": 1.0, "dark": luminance("#15191E")}[theme]
    ink = config(theme, 5, 1)["params"][0]["value"]
    for color in (*ink["category"], *ink["many"], ink["control"]):
        low, high = sorted((luminance(color), page))
        assert (high + 0.05) / (low + 0.05) >= 2.8, color


def test_text_is_measured_wrapped_and_shortened():
    assert text_metrics.text_width("0%", 12) == pytest.approx(17.34)
    lines = text_metrics.wrap("step 382 + step 574 + step 765", 75)
    assert lines == ["step 382 +", "step 574 +", "step 765"]
    assert text_metrics.wrap("step 382 + step 574 + step 765", 75, lines=2)[1].count("…") == 1
    assert text_metrics.elide("short", 100) == "short"
    assert text_metrics.text_width(text_metrics.elide("a very long name of a series", 80), 12) <= 80


def test_images_say_how_wide_their_texts_are():
    image = '<svg><text font-size="12px" x="1">0%</text><text font-size="12px">\u4e2d</text></svg>'
    assert fit_texts(image).count('textLength="17.3" lengthAdjust="spacingAndGlyphs">0%<') == 1
    assert fit_texts(image).count("textLength") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(674_368, "674k"), (1_841_920, "1.84M"), (12_000_000_000, "12B"), (999_999, "1M"), (16, "16"), (0.1, "0.1")],
)
def test_numbers_are_short(value, text):
    assert numbers.short_number(value) == text


def test_bars_beside_chance_are_dots_and_the_axis_need_not_start_at_zero():
    table = pl.DataFrame({"method": ["a", "b"], "auroc": [0.7, 0.6]})
    chart = Chart("m", "M", "bars", "t", Axis("method", "method", "nominal"), Axis("auroc", "AUROC", zero=False))
    assert select_rows(chart, table).chart.shape == "bars"
    by_chance = Chart(**{name: getattr(chart, name) for name in Chart.__slots__} | {"reference": (0.5, "chance")})
    rows = select_rows(by_chance, table)
    assert rows.chart.shape == "points"
    assert value_scale(rows.chart, rows.frame).low == 0.5


def test_a_point_of_two_rows_stands_in_the_table_only():
    table = pl.DataFrame({"level": ["low", "high"], "share": [0.5, 0.4], "rows": [2, 90]})
    chart = Chart("l", "L", "lines", "t", Axis("level", "level", "ordinal"), Axis("share", "rows", share=True))
    rows = select_rows(chart, table)
    assert rows.frame["level"].to_list() == ["high"]
    assert rows.notes == ("1 point of fewer than 5 rows is in the table only.",)
    assert select_rows(chart, table.head(1)).frame.height == 1


def test_one_value_at_its_bound_still_has_an_axis():
    table = pl.DataFrame({"n": [1, 2], "auroc": [1.0, 1.0]})
    chart = Chart("a", "A", "lines", "t", Axis("n", "n"), Axis("auroc", "AUROC", zero=False, bounds=(0, 1)))
    scale = value_scale(chart, table)
    assert (scale.low, scale.high) == (0, 1)
    assert scale.height_of(1.0) == 1
