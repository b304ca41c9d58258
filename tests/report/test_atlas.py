"""The atlas of a family: its numbers against known ones, its labels, and the studies that lack what it shows."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import polars as pl
import pytest

pytest.importorskip("altair")

from mematlas.analyses import ANALYSES
from mematlas.report.atlas import family_atlas
from mematlas.report.atlas_drawing import (
    narrow_picture,
    page_palette,
    paper_palette,
    spread,
    wide_picture,
    write_atlas,
)
from mematlas.report.cell import Cell
from mematlas.report.page import pictures_folder, write_report
from tests.analyses.synthetic_tables import tables
from tests.report import sample_findings as sample
from tests.report.test_browser import open_page
from tests.report.test_hostile import PAYLOADS

CELL = (32, 32)
_LETTER = 0.5 * 14  # a narrower letter than any of the usual fonts has on average: labels are at least this wide


def findings(matches, **options):
    """The two findings that the atlas is made from; matches[model] = tokens right, row by row, at 32 + 32 tokens."""
    made = tables({model: {CELL: values} for model, values in matches.items()}, **options)
    return [ANALYSES.load(name).compute(made) for name in ("distribution", "transitions")]


def family(count, names=None, *, control=True):
    """`count` models of which each gets three more tokens right than the one before; a fifth of the rows is control."""
    names = names or [f"model {number}" for number in range(count)]
    values = {name: [min(32, row % 20 + 3 * number) for row in range(40)] for number, name in enumerate(names)}
    roles = (["train"] * 32 + ["control"] * 8) if control else None
    return findings(values, roles=roles, parameters=dict.fromkeys(names) if names[0][0] != "m" else None)


def test_rows_levels_and_control_are_those_of_the_study():
    matches = {"small": [0, 0, 10, 32, 0, 0, 0, 20], "large": [0, 10, 32, 32, 0, 20, 0, 32]}
    made = family_atlas(findings(matches, roles=["train"] * 4 + ["control"] * 4))
    assert made.steps == ("10", "100")
    assert made.levels == ("very low", "low", "medium", "high", "very high")
    assert made.shares() == [[0.5, 0.25, 0, 0, 0.25], [0.25, 0.25, 0, 0, 0.5]]
    assert {flow[1:] for flow in made.flows if flow.rows} == {(0, 0, 1), (0, 1, 1), (1, 4, 1), (4, 4, 1)}
    assert made.control == (2, 0, 0, 1, 1)  # of the large model
    assert (made.rows, made.cell) == (4, Cell(*CELL))
    assert (
        made.description == "4 rows by level of M. Share on the level very high: 10 25 %, 100 50 %. Control rows: 25 %."
    )


def test_one_model_stands_beside_its_control():
    made = family_atlas(findings({"m": [0, 16, 32, 32, 3]}, roles=["train"] * 4 + ["control"]))
    assert (made.steps, made.shares(), made.control) == (("m",), [[0.25, 0, 0.25, 0, 0.5]], (1, 0, 0, 0, 0))
    assert made.layout.ribbons == []
    assert "control" in wide_picture(made, page_palette(5))


def test_scores_that_are_not_graded_have_two_levels():
    made = family_atlas(findings({"a": [0, 32, 0], "b": [32, 32, 0]}, depth="verbatim"))
    assert (made.levels, made.shares()) == (("M < 1", "M = 1"), [[2 / 3, 1 / 3], [1 / 3, 2 / 3]])
    assert made.control is None
    assert "control" not in wide_picture(made, page_palette(2))
    assert "var(--level-4)" in wide_picture(made, page_palette(2))  # the color of reciting is the same with two levels


def test_recited_rows_alone_have_an_atlas_without_control():
    made = family_atlas(findings({"a": [32, 0], "b": [32, 32]}, complete=False))
    assert made.steps == ("10", "100")
    assert made.control is None


def test_other_findings_have_no_atlas(tmp_path):
    assert family_atlas([]) is None
    assert family_atlas(sample.all_findings()) is None
    page = write_report(sample.study(tmp_path, [sample.lacking()], gallery=False))
    assert 'class="atlas"' not in page.read_text()


def labels(image):
    """(x from, x to, y, text) of every label, with letters of the least likely width."""
    places = []
    for text in ElementTree.fromstring(image).iter("{http://www.w3.org/2000/svg}text"):
        words = "".join(text.itertext())
        x, y, width = float(text.get("x")), float(text.get("y")), len(words) * _LETTER
        start = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor")]
        places.append((start, start + width, y, words))
    return places


LONG = "an-organization-with-a-long-name/and-a-model-without-any-end-7B"


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("picture", [wide_picture, narrow_picture])
def test_labels_are_whole_inside_and_apart(count, long, picture):
    names = [f"{LONG}-{number}" for number in range(count)] if long else None
    made = family_atlas(family(count, names))
    image = picture(made, paper_palette(5))
    width, height = (float(ElementTree.fromstring(image).get(name)) for name in ("width", "height"))
    places = labels(image)
    for left, right, y, words in places:
        assert left >= -1, words
        assert right <= width + 1, words
        assert 0 < y <= height, words
    for number, (left, right, y, words) in enumerate(places):
        for other_left, other_right, other_y, others in places[number + 1 :]:
            assert abs(y - other_y) >= 14 or right <= other_left or other_right <= left, (words, others)
    together = re.sub(r"\s", "", "".join(words for *_, words in places))
    assert all(re.sub(r"\s", "", step) in together for step in made.steps) or picture is narrow_picture
    assert "…" not in together


def test_labels_are_moved_apart_no_further_than_needed():
    assert spread([100, 50, 20], 10, 0, 120) == [100, 50, 20]
    assert spread([100, 98, 96], 10, 0, 120) == [100, 90, 80]
    assert spread([12, 8, 4], 10, 0, 120) == [20, 10, 0]
    assert spread([130, 125], 10, 0, 120) == [120, 110]


def test_the_picture_is_a_file_in_every_format(tmp_path):
    (tmp_path / "s").mkdir()
    study = sample.study(tmp_path / "s", [replace(each, charts=()) for each in family(3)], gallery=False)
    folder = pictures_folder(write_report(study, formats=("svg", "png", "pdf")))
    assert (folder / "atlas.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "atlas.pdf").read_bytes().startswith(b"%PDF")
    image = (folder / "atlas.svg").read_text()
    assert "var(" not in image  # a file has no style sheet
    assert ElementTree.fromstring(image).get("role") == "img"
    page = (tmp_path / "s" / "report.html").read_text()
    assert page.count('class="atlas-wide"') == page.count('class="atlas-narrow"') == 1
    assert "--level-4:" in page


def test_names_in_the_picture_are_text():
    names = [f"{number} {payload}" for number, payload in enumerate(PAYLOADS[:12])]
    made = family_atlas(family(12, names))
    for image in (wide_picture(made, page_palette(5)), write_atlas(made, "svg").decode()):
        elements = list(ElementTree.fromstring(image).iter())
        assert {each.tag.rpartition("}")[2] for each in elements} == {
            "svg",
            "g",
            "path",
            "rect",
            "text",
            "title",
            "tspan",
        }
        assert not [name for each in elements for name in each.attrib if name.startswith("on")]
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f-\x9f]", image)


def test_unknown_levels_in_a_table_make_no_picture():
    distribution, transitions = family(2)
    flow = transitions.table("flow").with_columns(pl.lit("unheard of").alias("target"))
    changed = tuple(replace(t, frame=flow) if t.name == "flow" else t for t in transitions.tables)
    assert family_atlas([distribution, replace(transitions, tables=changed)]) is None


@pytest.mark.browser
def test_the_picture_fits_the_screen_and_its_labels_stand_apart_in_real_fonts(browser, tmp_path):
    study = sample.study(tmp_path, [replace(each, charts=()) for each in family(12)], gallery=False)
    page = write_report(study)
    for width, shown, other in ((1280, ".atlas-wide", ".atlas-narrow"), (390, ".atlas-narrow", ".atlas-wide")):
        console, _ = open_page(browser, page, width)
        assert console == []
        assert not browser.find_element("css selector", other).is_displayed()
        boxes = browser.execute_script(
            "return [...document.querySelectorAll(arguments[0] + ' text')].map((text) => {"
            " const box = text.getBoundingClientRect();"
            " return [box.left, box.right, box.top + 2, box.bottom - 2, text.textContent]; })",
            shown,
        )
        assert len(boxes) > 12
        for number, (left, right, top, bottom, words) in enumerate(boxes):
            assert 0 <= left < right <= width, words
            for other_left, other_right, other_top, other_bottom, others in boxes[number + 1 :]:
                apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
                assert apart, (words, others)
