"""The numbers a report begins with, from findings with known ones."""

import pytest

pytest.importorskip("altair")

from mematlas.analyses import ANALYSES
from mematlas.report.cell import Cell, nearest_cell, reference_cell
from mematlas.report.headline_numbers import headline_numbers, in_percent
from tests.analyses.synthetic_tables import tables, with_copies

MODELS = ("small", "large")


def made(matches, names=("distribution", "transitions"), copies=None, **options):
    study = tables(matches, **options)
    study = study if copies is None else with_copies(study, copies)
    return [ANALYSES.load(name).compute(study) for name in names]


def scores(small, large, cell=(32, 32)):
    return {"small": {cell: small}, "large": {cell: large}}


def test_numbers_are_of_the_largest_model_in_the_reference_cell():
    matches = scores([0, 0, 0, 32, 8], [0, 32, 32, 32, 0])
    matches = {model: cells | {(8, 8): [8] * 5} for model, cells in matches.items()}
    findings = made(matches, roles=["train"] * 4 + ["control"])
    assert reference_cell(findings) == Cell(32, 32)
    recited, beyond, verbatim = headline_numbers(findings, MODELS)
    assert (recited.value, recited.unit, recited.interval) == ("75.0", "%", "30.1 to 95.4")
    assert recited.meaning == "of 4 rows recited whole"
    assert (beyond.value, beyond.unit) == ("+75.0", "points")
    assert "control" in beyond.meaning
    assert (verbatim.value, verbatim.meaning) == ("75.0", "of rows recited for 16 tokens without a miss")
    assert recited.picture.count("<circle") == 2
    assert "control-line" in recited.picture
    assert 'class="band"' in verbatim.picture


def test_copies_of_a_text_count_once():
    findings = made(scores([0] * 6, [32, 32, 32, 32, 0, 0]), ("distribution",), copies=[0, 0, 0, 0, 1, 2])
    recited = headline_numbers(findings, MODELS)[0]
    assert (recited.value, recited.meaning) == ("33.3", "of 3 distinct texts recited whole")


def test_without_control_mean_m_stands_for_itself():
    findings = made(scores([0, 0], [16, 32]), ("distribution",))
    mean = headline_numbers(findings, MODELS)[1]
    assert (mean.value, mean.unit, mean.meaning) == ("75.0", "%", "of tokens right (mean M)")
    assert "control" not in mean.picture


def test_scores_that_are_not_graded_say_what_stays_memorized():
    findings = made(scores([0, 32, 32], [32, 32, 0]), depth="verbatim")
    numbers = headline_numbers(findings, MODELS)
    assert [number.finding for number in numbers] == ["distribution", "distribution", "transitions"]
    assert numbers[-1].value == "50.0"


def test_a_study_without_these_findings_has_no_numbers():
    assert headline_numbers([], MODELS) == []
    assert headline_numbers(made(scores([0], [32]), ("size",)), MODELS) == []


def test_cells_and_shares_in_words():
    assert nearest_cell([Cell(8, 32), Cell(32, 64), Cell(24, 32)]) == Cell(32, 64)
    assert nearest_cell([]) is None
    assert str(Cell(32, 64)) == "32 + 64"
    assert [in_percent(value) for value in (0, 0.004, 0.5, 1, -0.123)] == ["0.0", "0.40", "50.0", "100.0", "−12.3"]
