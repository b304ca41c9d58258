import pytest

from mematlas.analyses.frames.study_tables import Cell
from mematlas.analyses.scores.size.level_growth import fastest_growth_trend
from tests.analyses.synthetic_tables import tables

CELL = Cell(32, 32)


def trend_of(smallest, largest, **options):
    study = tables({"small": {(32, 32): smallest}, "large": {(32, 32): largest}}, **options)
    return fastest_growth_trend(study, "small", "large", CELL)


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
    assert trend_of(smallest, largest).verdict == expected


def test_rows_gained_are_those_planted_and_m_of_1_is_not_part_of_the_highest_level():
    trend = trend_of([0] * 50 + [26] * 50, [32] * 30 + [26] * 20 + [6] * 50)
    assert "+30 with M = 1" in trend.test
    assert "-30 in [.8, 1]" in trend.test
    assert "-50 in [0, .2)" not in trend.test
    assert "+0 in [0, .2)" in trend.test


def test_swapping_the_models_reverses_the_verdict():
    grown = [0] * 100, [32] * 60 + [0] * 40
    assert [trend_of(*grown).verdict, trend_of(*grown[::-1]).verdict] == ["shows", "contradicts"]


def test_without_graded_scores_the_verdict_is_cannot_tell():
    lengths = {"small": {(32, 32): [3, 3]}, "large": {(32, 32): [32, 3]}}
    study = tables(
        {"small": {(32, 32): [None, None]}, "large": {(32, 32): [32, None]}}, verbatim=lengths, depth="verbatim"
    )
    trend = fastest_growth_trend(study, "small", "large", CELL)
    assert (trend.verdict, trend.test) == ("cannot tell", "M was not graded: only M = 1 is known")
