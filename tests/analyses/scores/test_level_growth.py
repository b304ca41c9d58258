import pytest

from mematlas.analyses.frames.study_tables import Cell
from mematlas.analyses.scores.size.level_growth import fastest_trend
from tests.analyses.synthetic_tables import tables

CELL = Cell(32, 32)


def verdict(smallest, largest, **options):
    found = tables({"small": {(32, 32): smallest}, "large": {(32, 32): largest}}, **options)
    return fastest_trend(found, "small", "large", CELL)


@pytest.mark.parametrize(
    ("smallest", "largest", "expected"),
    [
        ([0] * 100, [32] * 60 + [20] * 10 + [0] * 30, "shows"),
        ([0] * 100, [32] * 10 + [20] * 60 + [0] * 30, "contradicts"),
        ([0] * 100, [32] * 33 + [20] * 30 + [0] * 37, "cannot tell"),
        ([32] * 60 + [0] * 40, [20] * 60 + [0] * 40, "contradicts"),
        ([0] * 100, [0] * 100, "cannot tell"),
    ],
)
def test_the_level_that_gains_most_rows_decides(smallest, largest, expected):
    assert verdict(smallest, largest).verdict == expected


def test_rows_gained_are_those_planted_and_m_of_1_is_apart_from_the_highest_level():
    found = verdict([0] * 50 + [26] * 50, [32] * 30 + [26] * 20 + [6] * 50)
    assert "+30 with M = 1" in found.test
    assert "-30 with M [.8, 1]" in found.test
    assert "-50 with M [0, .2)" not in found.test
    assert "+0 with M [0, .2)" in found.test


def test_swapping_the_models_turns_the_verdict():
    grown = [0] * 100, [32] * 60 + [0] * 40
    assert [verdict(*grown).verdict, verdict(*grown[::-1]).verdict] == ["shows", "contradicts"]


def test_without_grades_it_cannot_tell():
    lengths = {"small": {(32, 32): [3, 3]}, "large": {(32, 32): [32, 3]}}
    found = tables(
        {"small": {(32, 32): [None, None]}, "large": {(32, 32): [32, None]}}, verbatim=lengths, depth="verbatim"
    )
    trend = fastest_trend(found, "small", "large", CELL)
    assert (trend.verdict, trend.test) == ("cannot tell", "M was not graded: only M = 1 is known")
