from dataclasses import replace

import polars as pl
import pytest

from mematlas.analyses.family.transitions.growth import growth_trends
from tests.analyses.synthetic_tables import tables

CELL = (32, 32)


def grown(*memorized: int, count: int = 1000, **options):
    """Models of 10, 100, 1000 ... parameters that recite the given numbers of rows, the first ones."""
    return tables({f"m{i}": {CELL: [32] * hits + [0] * (count - hits)} for i, hits in enumerate(memorized)}, **options)


def growth_trend(study):
    """The verdict on our own trend, growth per tenfold."""
    return growth_trends(study)[1]


@pytest.mark.parametrize(
    ("memorized", "verdict"),
    [((0, 100, 120), "shows"), ((0, 20, 120), "contradicts"), ((50, 100, 150), "cannot tell")],
)
def test_growth_in_the_lower_part_is_compared_with_that_in_the_upper(memorized, verdict):
    assert growth_trend(grown(*memorized)).verdict == verdict


def test_growth_is_per_tenfold_of_parameters():
    sizes = {"m0": 10**6, "m1": 10**8, "m2": 10**9}
    trend = growth_trend(grown(0, 100, 150, parameters=sizes))
    assert trend.verdict == "cannot tell"
    assert "rows memorized: 0 by m0, 100 by m1, 150 by m2" in trend.test
    assert "Per tenfold of parameters +50.0 in the lower part and +50.0 in the upper, +0.0 apart" in trend.test


def test_the_interval_is_that_of_a_sum_over_rows():
    # weights -1, 2, -1: rows of the second and third model only count +1 each, those of the third only -1 each
    trend = growth_trend(grown(0, 30, 40))
    half_width = 1.96 * (40 - 20**2 / 1000) ** 0.5
    assert f"+20.0 apart (95 % interval +{20 - half_width:.1f} to +{20 + half_width:.1f})" in trend.test


def test_the_middle_is_that_of_the_log_axis():
    sizes = {"m0": 10**6, "m1": 10**7, "m2": 9 * 10**7, "m3": 10**10}
    assert "by m0, 60 by m2, 90 by m3" in growth_trend(grown(0, 50, 60, 90, parameters=sizes)).test


def test_fewer_forgotten_rows_are_not_slowing_growth():
    assert growth_trend(grown(300, 250, 50)).verdict == "cannot tell"


def test_of_recited_rows_alone_the_interval_is_a_little_wider():
    study = grown(0, 30, 40)
    recited_only = replace(study, scores=study.scores.filter(pl.col("matches") == 32), complete=False)
    half_width = 1.96 * 40**0.5
    assert growth_trend(recited_only).test == (
        "it takes three models of known and different size, scored in one cell"
    )  # m0 recites nothing and has no record
    recited_by_all = replace(grown(1, 31, 41), complete=False)
    recited_by_all = replace(recited_by_all, scores=recited_by_all.scores.filter(pl.col("matches") == 32))
    assert (
        f"+20.0 apart (95 % interval +{20 - half_width:.1f} to +{20 + half_width:.1f})"
        in growth_trend(recited_by_all).test
    )


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (grown(0, 50), "it takes three models"),
        (grown(0, 50, 90, parameters={"m0": None}), "it takes three models"),
        (grown(0, 3, 9), "too few rows (9) tell m0, m1, m2 apart"),
        (grown(0, 0, 0), "too few rows (0) tell"),
    ],
)
def test_without_a_verdict_the_reason_is_given(study, reason):
    trend = growth_trend(study)
    assert trend.verdict == "cannot tell"
    assert trend.test.startswith(reason)


# ------------------------------------------------------------------------------------------------------ as published

#: memorized rows of the released deduplicated Pythia in thousands (published.TABLES["memorized-rows"]), of 2,000 here
PYTHIA_ROWS = (411, 1355, 1871)
PYTHIA_SIZES = {"m0": 70_426_624, "m1": 2_775_208_960, "m2": 11_846_072_320}


def test_the_published_statement_holds_by_the_released_counts_where_ours_does_not():
    published, ours = growth_trends(grown(*PYTHIA_ROWS, count=2000, parameters=PYTHIA_SIZES))
    assert (published.trend, published.verdict) == ("growth-slows-with-size", "shows")
    assert "Growth +944.0 in the lower part and +516.0 in the upper, +428.0 apart" in published.test
    assert (ours.trend, ours.verdict) == ("growth-per-tenfold-slows-with-size", "contradicts")
    assert "Per tenfold of parameters +591.6 in the lower part and +818.7 in the upper" in ours.test


def test_without_models_of_the_published_sizes_nothing_is_said_of_the_published_statement():
    for sizes in (None, {**PYTHIA_SIZES, "m1": 1_400_000_000}):
        published, ours = growth_trends(grown(0, 20, 120, parameters=sizes))
        assert published.verdict == "cannot tell"
        assert published.test.startswith("P1 compares models of 70M, 2.8B, 12B parameters, which are not all among the")
        assert ours.verdict == "contradicts"


def test_models_in_between_do_not_change_the_published_statement():
    matches = {f"m{i}": {CELL: [32] * hits + [0] * (2000 - hits)} for i, hits in enumerate((411, 811, 1355, 1871))}
    sizes = {"m0": 70_426_624, "m1": 405_334_016, "m2": 2_775_208_960, "m3": 11_846_072_320}
    published, _ = growth_trends(tables(matches, parameters=sizes))
    assert "411 by m0, 1,355 by m2, 1,871 by m3" in published.test
