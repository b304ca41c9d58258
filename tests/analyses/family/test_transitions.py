from dataclasses import replace

import polars as pl
import pytest

from mematlas.analyses.family.transitions.finding import ANALYSIS, compute, transition_counts
from mematlas.analyses.frames.study_tables import Cell
from mematlas.metrics.levels import LEVELS
from tests.analyses.synthetic_tables import tables

CELL = (32, 32)
LOWEST, LOW, MEDIUM, HIGH, HIGHEST = LEVELS
#: matches of 32 in the middle of each level
MATCHES = dict(zip(LEVELS, (0, 8, 16, 22, 32), strict=True))


def study_of_levels(*models: str, rows: list[tuple[str, ...]], **options):
    """Tables of rows, each given as one level per model."""
    return tables(
        {model: {CELL: [MATCHES[levels[i]] for levels in rows]} for i, model in enumerate(models)},
        **options,
    )


def matrix(counts: pl.DataFrame) -> dict[tuple[str, str], int]:
    """The entries that are not zero."""
    return {(level, target): rows for level, target, rows in counts.iter_rows() if rows}


def recited(*combinations: tuple[bool, ...], times: list[int], **options):
    """Rows recited by the marked models and missed by the others; `times`: the number of rows for each combination."""
    rows = [flags for flags, count in zip(combinations, times, strict=True) for _ in range(count)]
    matches = {f"m{i}": {CELL: [32 if flags[i] else 0 for flags in rows]} for i in range(len(combinations[0]))}
    return tables(matches, **options)


def test_swapped_models_give_the_permutation_matrix():
    found = compute(study_of_levels("a", "b", rows=[(HIGHEST, LOWEST)] * 30 + [(LOWEST, HIGHEST)] * 20)).table(
        "transitions"
    )
    shares = found.filter(pl.col("share") > 0).select("level", "target", "rows", "share").rows()
    assert shares == [(LOWEST, HIGHEST, 20, 1.0), (HIGHEST, LOWEST, 30, 1.0)]


def test_two_equal_models_give_the_identity_and_no_test():
    rows = [(level, level) for level in LEVELS for _ in range(3)]
    finding = compute(study_of_levels("a", "b", rows=rows))
    found = finding.table("transitions")
    assert found.filter(pl.col("level") == pl.col("target"))["share"].to_list() == [1.0] * 5
    assert found.filter(pl.col("level") != pl.col("target"))["share"].to_list() == [0.0] * 20
    assert finding.table("symmetry")["reason"].to_list() == ["no row changes its category"] * 2
    assert finding.table("symmetry")["p"].to_list() == [None, None]
    assert finding.strength is None
    assert "0 of 15 rows rise to a higher level while 0 fall (symmetry is not tested: no row " in finding.claim


ROWS = [(LOW, HIGHEST)] * 6 + [(LOW, LOW)] * 2 + [(HIGHEST, HIGHEST)] * 9 + [(HIGHEST, MEDIUM)] + [(HIGH, LOWEST)] * 3


def test_an_asymmetric_table_is_counted_row_by_row():
    found = transition_counts(study_of_levels("a", "b", rows=ROWS), "a", "b", Cell(32, 32))
    assert found.columns == ["level", "target", "rows"]
    assert [tuple(record) for record in found.select("level", "target").iter_rows()] == [
        (level, target) for level in LEVELS for target in LEVELS
    ]
    assert matrix(found) == {
        (LOW, HIGHEST): 6,
        (LOW, LOW): 2,
        (HIGHEST, HIGHEST): 9,
        (HIGHEST, MEDIUM): 1,
        (HIGH, LOWEST): 3,
    }
    back = transition_counts(study_of_levels("a", "b", rows=ROWS), "b", "a", Cell(32, 32))
    assert matrix(back)[HIGHEST, LOW] == 6


def test_shares_are_of_the_level_and_null_where_it_is_empty():
    found = compute(study_of_levels("a", "b", rows=ROWS)).table("transitions")
    (share,) = found.filter(level=LOW, target=HIGHEST).iter_rows(named=True)
    assert (share["rows"], share["level_rows"], share["share"]) == (6, 8, 0.75)
    assert (share["share_lower"], share["share_upper"]) == pytest.approx((0.4093, 0.9285), abs=1e-4)  # Wilson, 6 of 8
    empty = found.filter(level=MEDIUM)
    assert empty["rows"].to_list() == [0] * 5
    assert empty.select("share", "share_lower", "share_upper").null_count().row(0) == (5, 5, 5)


def test_levels_have_exact_edges():
    edges = tables({"a": {(10, 10): [1, 2, 3, 4, 6, 8, 9, 10]}, "b": {(10, 10): [0] * 8}})
    found = transition_counts(edges, "a", "b", Cell(10, 10))
    assert found.filter(target=LOWEST)["rows"].to_list() == [1, 2, 1, 1, 3]


def test_the_claim_reports_the_two_ends_with_numbers():
    finding = compute(study_of_levels("a", "b", rows=ROWS))
    assert finding.claim == (
        "At 32 + 32 tokens 90.0 % (59.6 to 98.2 %; 10 rows) of the rows that a memorizes stay memorized in b, and "
        "between these two models 6 of 21 rows rise to a higher level while 4 fall "
        "(Bowker's test of symmetry: p = 0.019)."
    )
    assert finding.control == "Of the 11 rows that a does not memorize, 54.5 % (28.0 to 78.7 %) are memorized by b."
    assert finding.strength == pytest.approx(2 / 10**0.5)
    (bowker, margins) = finding.table("symmetry").iter_rows(named=True)
    assert (bowker["test"], bowker["statistic"], bowker["freedom"]) == ("Bowker", 10.0, 3)
    assert (bowker["rises"], bowker["falls"]) == (6, 4)
    assert margins["test"] == "Stuart-Maxwell"
    assert any("marked sparse" in caveat for caveat in finding.caveats)


def test_cyclic_transitions_are_not_symmetric_though_levels_keep_their_size():
    finding = compute(study_of_levels("a", "b", rows=[(LOW, MEDIUM), (MEDIUM, HIGH), (HIGH, LOW)] * 20))
    assert "(Bowker's test of symmetry: p < 0.001)" in finding.claim
    assert "40 of 60 rows rise to a higher level while 20 fall" in finding.claim
    assert finding.table("symmetry")["p"].to_list()[1] == pytest.approx(1)


def test_memorized_means_every_token_and_not_the_highest_level():
    nearly = tables({"a": {CELL: [32, 32, 31, 31]}, "b": {CELL: [32, 31, 32, 31]}})
    (kept,) = compute(nearly).table("kept").iter_rows(named=True)
    assert (kept["rows"], kept["memorized"], kept["kept"], kept["gained"], kept["kept_share"]) == (4, 2, 1, 1, 0.5)


def test_pairs_are_neighbours_and_ends_by_size_and_by_step():
    rows = [(LOWEST, LOWEST, LOW, HIGHEST, HIGHEST)] * 3 + [(HIGHEST,) * 5]
    sizes = {"a": 10**6, "b": 3 * 10**8, "c1": 2_800_000_000, "c2": 2_800_000_000, "c3": 2_800_000_000}
    finding = compute(
        study_of_levels(*sizes, rows=rows, parameters=sizes, steps={"a": 9, "b": 9, "c1": 3, "c2": 6, "c3": 9})
    )
    pairs = finding.table("kept").select("series", "span", "pair", "smaller", "larger").rows()
    assert pairs == [
        ("model size", "neighbours", "1.0M to 300M", "a", "b"),
        ("model size", "neighbours", "300M to 2.8B", "b", "c3"),
        ("model size", "ends", "1.0M to 2.8B", "a", "c3"),
        ("training step, 2.8B", "neighbours", "step 3 to step 6", "c1", "c2"),
        ("training step, 2.8B", "neighbours", "step 6 to step 9", "c2", "c3"),
        ("training step, 2.8B", "ends", "step 3 to step 9", "c1", "c3"),
    ]
    assert "of the rows that a memorizes stay memorized in c3" in finding.claim
    names = [chart.name for chart in finding.charts]
    assert names == [
        "transitions-model-size",
        "flow-model-size",
        "transitions-training-step-2-8b",
        "flow-training-step-2-8b",
    ]


def test_the_flow_follows_every_row_through_the_family():
    rows = [(LOWEST, LOW, HIGHEST)] * 4 + [(LOWEST, LOWEST, LOWEST)] * 3 + [(HIGHEST, LOW, LOWEST)]
    flow = compute(study_of_levels("a", "b", "c", rows=rows)).table("flow")
    assert [record for record in flow.drop("series").iter_rows() if record[-1]] == [
        (1, "10", LOWEST, LOWEST, 3),
        (1, "10", LOWEST, LOW, 4),
        (1, "10", HIGHEST, LOW, 1),
        (2, "100", LOWEST, LOWEST, 3),
        (2, "100", LOW, LOWEST, 1),
        (2, "100", LOW, HIGHEST, 4),
        (3, "1,000", LOWEST, None, 4),
        (3, "1,000", HIGHEST, None, 4),
    ]
    assert flow.group_by("step").agg(pl.col("rows").sum())["rows"].to_list() == [8, 8, 8]


@pytest.mark.parametrize(
    ("kept", "lost", "verdict"), [(285, 15, "shows"), (92, 8, "cannot tell"), (80, 20, "contradicts")]
)
def test_whether_memorized_rows_stay_memorized_is_tested(kept, lost, verdict):
    stay, *_ = compute(recited((True, True), (True, False), (False, False), times=[kept, lost, 50])).trends
    assert (stay.trend, stay.verdict) == ("memorized-rows-stay-memorized", verdict)
    assert f"{kept + lost} rows) from 10 to 100" in stay.test


def test_one_pair_that_forgets_contradicts_and_ends_are_no_further_pair():
    study = recited((True, True, True), (True, True, False), times=[150, 150])
    stay, *_ = compute(study).trends
    assert stay.verdict == "contradicts"
    assert stay.test.count(" from ") == 2


def test_models_of_unknown_size_give_no_trend_but_numbers():
    finding = compute(study_of_levels("a", "b", rows=ROWS, parameters={"a": None, "b": 7}))
    assert [trend.verdict for trend in finding.trends] == ["cannot tell"] * 3
    assert finding.table("kept")["series"].to_list() == ["models as given"]
    assert any("sizes are not all known" in caveat for caveat in finding.caveats)


def test_without_graded_scores_rows_are_distinguished_by_m_of_one():
    masked = tables(
        {"a": {CELL: [32, None, None, 32]}, "b": {CELL: [32, 32, None, None]}},
        depth="verbatim",
        verbatim={"a": {CELL: [32, 3, 0, 32]}, "b": {CELL: [32, 32, 2, 31]}},
    )
    finding = compute(masked)
    assert [tuple(record) for record in finding.table("transitions").select("level", "target", "rows").iter_rows()] == [
        ("M < 1", "M < 1", 1),
        ("M < 1", "M = 1", 1),
        ("M = 1", "M < 1", 1),
        ("M = 1", "M = 1", 1),
    ]
    assert "1 of 4 rows become memorized while 1 cease to be" in finding.claim
    assert any("M was not graded" in caveat for caveat in finding.caveats)


def test_for_recited_rows_alone_the_number_of_other_rows_is_unknown():
    study = recited((True, True), (True, False), (False, True), (False, False), times=[6, 2, 5, 90])
    recited_only = replace(study, scores=study.scores.filter(pl.col("matches") == 32), complete=False)
    finding = compute(recited_only)
    records = finding.table("transitions").select("level", "target", "rows", "level_rows", "share").rows()
    assert records == [
        ("M < 1", "M < 1", None, None, None),
        ("M < 1", "M = 1", 5, None, None),
        ("M = 1", "M < 1", 2, 8, 0.25),
        ("M = 1", "M = 1", 6, 8, 0.75),
    ]
    assert finding.control is None
    assert "75.0 % (40.9 to 92.9 %; 8 rows)" in finding.claim
    assert "5 rows become memorized while 2 cease to be" in finding.claim
    all_rows = compute(study).table("symmetry")
    assert finding.table("symmetry")["p"].to_list() == pytest.approx(all_rows["p"].to_list())


def test_models_of_different_rows_are_compared_on_those_of_both():
    study = study_of_levels("a", "b", rows=ROWS)
    part = replace(study, scores=study.scores.filter((pl.col("model") == "a") | (pl.col("row") < 8)))
    finding = compute(part)
    assert finding.table("kept")["rows"].to_list() == [8]
    assert "a and b scored different rows: the 8 rows of both count." in finding.caveats


def test_a_model_without_scores_in_the_cell_is_left_out_and_named():
    study = study_of_levels("a", "b", "c", rows=[(LOW, LOW, HIGH)] * 4)
    hole = replace(study, scores=study.scores.filter(pl.col("model") != "b"))
    finding = compute(hole)
    assert finding.table("kept")["pair"].to_list() == ["10 to 1,000"]
    assert "Without scores in this cell, and left out: b." in finding.caveats


def test_neighbours_without_a_common_row_leave_the_ends_and_draw_no_flow():
    study = study_of_levels("a", "b", "c", rows=[(LOW, LOW, HIGH)] * 8)
    apart = replace(study, scores=study.scores.filter((pl.col("model") == "b") == (pl.col("row") < 4)))
    finding = compute(apart)
    assert finding.table("kept")["span"].to_list() == ["ends"]
    assert [chart.shape for chart in finding.charts] == ["matrix"]


def test_with_one_model_the_missing_data_is_reported():
    finding = compute(study_of_levels("a", rows=[(LOW,)] * 4))
    assert finding.claim == (
        "How rows move between score levels cannot be said: the study lacks two models of the family that scored the "
        "same training rows at 32 + 32 tokens."
    )
    assert "mematlas score MODEL MODEL" in finding.missing
    assert [trend.trend for trend in finding.trends] == list(ANALYSIS.trends)
