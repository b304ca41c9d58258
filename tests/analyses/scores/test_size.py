import polars as pl
import pytest

from mematlas.analyses.scores.size.finding import compute
from tests.analyses.synthetic_tables import tables

CELL = (32, 32)


def grown(*recited: int, count: int = 200, **options):
    """Models that recite the given numbers of `count` rows, the first ones, and miss all others."""
    return tables(
        {f"m{number}": {CELL: [32] * hits + [0] * (count - hits)} for number, hits in enumerate(recited)}, **options
    )


def test_shares_are_those_planted():
    finding = compute(grown(20, 100))
    shares = finding.table("shares")
    assert shares["memorized"].to_list() == [20, 100]
    assert shares["memorized_share"].to_list() == pytest.approx([0.1, 0.5])
    assert shares["unmemorized_share"].to_list() == pytest.approx([0.9, 0.5])
    assert "10.0 % (6.6 to 14.9 %) in m0 and 50.0 % (43.1 to 56.9 %) in m1 (200 and 200 rows)" in finding.claim


@pytest.mark.parametrize(
    ("recited", "verdict"), [((20, 100), "shows"), ((100, 20), "contradicts"), ((100, 104), "cannot tell")]
)
def test_the_published_trend_is_tested(recited, verdict):
    trend = compute(grown(*recited)).trends[0]
    assert trend.verdict == verdict


def test_control_rows_are_reported_separately():
    roles = ["train"] * 150 + ["control"] * 50
    finding = compute(grown(20, 100, roles=roles))
    assert finding.control == (
        "Rows no model was trained on, at 32 + 32 tokens: 0.0 % memorized at most "
        "(upper ends of the intervals up to 7.1 %)."
    )
    assert finding.table("shares").filter(pl.col("role") == "control")["rows"].to_list() == [50, 50]


def test_in_verbatim_depth_unmemorized_is_not_measured_rather_than_zero():
    masked = tables(
        {"m0": {CELL: [32, None]}, "m1": {CELL: [32, 32]}},
        depth="verbatim",
        verbatim={"m0": {CELL: [32, 3]}, "m1": {CELL: [32, 32]}},
    )
    shares = compute(masked).table("shares")
    assert shares["memorized_share"].to_list() == [0.5, 1.0]
    assert shares["unmemorized_share"].to_list() == [None, None]


def test_with_one_model_the_missing_data_is_reported():
    finding = compute(grown(20))
    assert finding.claim == (
        "Whether memorization grows with model size cannot be said: the study lacks two models of "
        "different, known size."
    )
    assert finding.missing
    assert not finding.tables
    assert [trend.verdict for trend in finding.trends] == ["cannot tell", "cannot tell"]
