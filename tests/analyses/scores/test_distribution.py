from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.scores.distribution.finding import compute
from tests.analyses.synthetic_tables import tables

CELL = (32, 32)
#: 20 rows: 6 miss all, 5 in (0, .2), 2 in [.2, .4), 1 half right, 1 in [.6, .8), 2 in [.8, 1), 3 recited whole
PLANTED = [0] * 6 + [1] * 4 + [6] + [7, 12] + [16] + [20] + [26, 31] + [32] * 3


def classes(finding, kind, **where):
    records = finding.table("classes").filter(kind=kind, **where)
    return dict(records.select("class", "rows").iter_rows())


def with_control(train, control, **options):
    """One model with training rows, then control rows."""
    roles = ["train"] * len(train) + ["control"] * len(control)
    return tables({"m": {CELL: train + control}}, roles=roles, **options)


# -------------------------------------------------------------------------------------------------------------- classes


def test_rows_fall_into_the_classes_planted():
    finding = compute(tables({"m": {CELL: PLANTED}}))
    assert classes(finding, "part") == {
        "M = 0": 6,
        "(0, .2)": 5,
        "[.2, .4)": 2,
        "[.4, .6)": 1,
        "[.6, .8)": 1,
        "[.8, 1)": 2,
        "M = 1": 3,
    }
    assert classes(finding, "level") == {"[0, .2)": 11, "[.2, .4)": 2, "[.4, .6)": 1, "[.6, .8)": 1, "[.8, 1]": 5}
    assert classes(finding, "point") == {"M = 1/2": 1}
    half = finding.table("classes").row(by_predicate=pl.col("kind") == "point", named=True)
    assert half["share"] == 0.05
    assert (half["share_lower"], half["share_upper"]) == pytest.approx((0.00888, 0.23613), abs=1e-5)  # Wilson, by hand


def test_edges_are_whole_matches():
    """At 10 tokens M = .2, .4, .6, .8 are 2, 4, 6, 8 matches, each the lowest of its class."""
    finding = compute(tables({"m": {(32, 10): [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}))
    assert list(classes(finding, "level").values()) == [1, 2, 2, 2, 3]
    assert list(classes(finding, "part").values()) == [0, 1, 2, 2, 2, 2, 1]
    assert classes(finding, "point") == {"M = 1/2": 1}


def test_an_odd_continuation_has_no_half():
    finding = compute(tables({"m": {(32, 7): [3, 4, 0, 7]}}))
    records = finding.table("classes").filter(kind="point")
    assert records.select("rows", "share", "share_lower", "of").row(0) == (None, None, None, 4)


def test_parts_and_levels_each_make_up_all_rows_of_each_model_role_and_cell():
    grid = {CELL: PLANTED, (16, 32): [0] * 20, (16, 7): [7] * 9 + [None] * 11}
    finding = compute(tables({"a": grid, "b": grid}, roles=["train"] * 15 + ["control"] * 5))
    sums = (
        finding.table("classes")
        .group_by("model", "role", "context", "continuation", "kind")
        .agg(pl.col("rows").sum(), pl.col("of").unique().alias("all"))
    )
    for kind, rows, all_rows in sums.filter(pl.col("kind") != "point").select("kind", "rows", "all").iter_rows():
        assert [rows] == all_rows, kind
    assert sums.height == 3 * 10  # the control rows were not scored at 16 + 7


# ------------------------------------------------------------------------------------------------------------- survival


def survival(finding, **where):
    return finding.table("survival").filter(**where)["rows"].to_list()


def test_the_survival_curve_is_that_of_the_verbatim_lengths():
    lengths = [0, 0, 0, 1, 3, 4, 4]
    finding = compute(tables({"m": {(8, 4): [0, 3, 2, 1, 3, 4, 4]}}, verbatim={"m": {(8, 4): lengths}}))
    assert survival(finding) == [7, 4, 3, 3, 2]
    shares = finding.table("survival")["share"].to_list()
    assert shares == pytest.approx([1, 4 / 7, 3 / 7, 3 / 7, 2 / 7])
    assert finding.table("survival")["share_lower"].is_null().to_list() == [True, False, False, False, False]


def test_the_survival_curve_takes_the_longest_continuation_of_each_context():
    cells = {(8, 2): [2, 0], (8, 4): [3, 0], (16, 2): [2, 2]}
    lengths = {(8, 2): [2, 0], (8, 4): [3, 0], (16, 2): [2, 2]}
    finding = compute(tables({"m": cells}, verbatim={"m": lengths}))
    assert survival(finding, context=8) == [2, 1, 1, 1, 0]
    assert survival(finding, context=16) == [2, 2, 2]


# ------------------------------------------------------------------------------------------------------ mean and excess


def test_mean_m_is_compared_with_its_control():
    finding = compute(with_control([32] * 50 + [0] * 50, [0] * 30 + [8] * 10))
    record = finding.table("means").row(by_predicate=pl.col("role") == "train", named=True)
    assert (record["rows"], record["mean"], record["control_rows"]) == (100, 0.5, 40)
    assert (record["control_mean"], record["excess"]) == (0.0625, 0.4375)
    # Wilson's bounds: 50 of 100 0.4038 to 0.5962; no M = 1 of 40 up to 0.0876; 30 zeros of 40 0.5981 to 0.8581
    control_upper = np.hypot(0.0876 * (1 - 0.0625), 0.25 * (0.75 - 0.5981))
    lower = 0.4375 - np.hypot(0.5 - 0.4038, control_upper)
    assert record["excess_lower"] == pytest.approx(lower, abs=0.001)
    # the rows that are not recited have M = 0, 50 of 50: from 0.9287 on
    train_upper = np.hypot(0.5962 - 0.5, 0.5 * 0.5 * (1 - 0.9287))
    upper = 0.4375 + np.hypot(train_upper, 0.25 * (0.8581 - 0.75))
    assert record["excess_upper"] == pytest.approx(upper, abs=0.001)
    control = finding.table("means").row(by_predicate=pl.col("role") == "control", named=True)
    assert (control["mean"], control["excess"], control["control_rows"]) == (0.0625, None, None)
    assert "mean M is 0.500, +0.438 (0.3" in finding.claim
    assert finding.claim.endswith(") against the 0.062 of 40 control rows.")
    assert finding.charts[-1].y.column == "excess"


def test_a_model_no_better_than_its_control_has_no_excess():
    lucky = [0] * 60 + [1] * 30 + [3] * 10
    record = (
        compute(with_control(lucky * 2, lucky)).table("means").row(by_predicate=pl.col("role") == "train", named=True)
    )
    assert record["excess"] == pytest.approx(0)
    assert record["excess_lower"] < 0 < record["excess_upper"]


def test_the_interval_of_the_mean_allows_for_leaks_that_no_row_shows():
    """2 of 100 rows recited against 100 control rows at the floor: the true mean may be well above that of these."""
    finding = compute(with_control([32] * 2 + [0, 1] * 49, [0, 1] * 50))
    record = finding.table("means").row(by_predicate=pl.col("role") == "train", named=True)
    upper = record["mean_upper"] - record["mean"]
    assert upper == pytest.approx((1 - 1 / 64) * (0.07 - 0.02), abs=0.001)  # Wilson's upper end of 2 of 100 is 7.0 %
    assert upper > 2 * (record["mean"] - record["mean_lower"])
    assert record["excess_lower"] < 0.02 * (1 - 1 / 64) < record["excess_upper"]
    assert record["reason"] is None


def test_without_a_control_the_excess_is_not_measured_and_a_caveat_says_so():
    finding = compute(tables({"m": {CELL: PLANTED}}))
    means = finding.table("means")
    assert means.select("control_rows", "control_mean", "excess", "excess_lower", "excess_upper").row(0) == (None,) * 5
    assert finding.claim.endswith("of which no control says how much is luck.")
    assert "The study has no control rows: the floor that lucky frequent tokens give mean M is unknown." in (
        finding.caveats
    )
    assert (finding.strength, finding.control) == (None, None)
    assert finding.charts[-1].y.column == "mean"


def test_a_control_model_is_in_the_tables_but_not_in_the_family():
    finding = compute(tables({"m": {CELL: PLANTED}, "c": {CELL: [1] * 20}}, control_models=("c",)))
    assert "tokens m recites" in finding.claim
    assert finding.table("means").filter(model="c")["role"].to_list() == ["control model"]


# ------------------------------------------------------------------------------------------------------------ the claim


def test_the_claim_is_on_the_largest_model_of_the_reference():
    small, large = [0] * 20, PLANTED
    finding = compute(tables({"l": {CELL: large}, "s": {CELL: small}}, parameters={"l": 900, "s": 100}))
    assert finding.claim.startswith(
        "At 32 + 32 tokens l recites 15.0 % (5.2 to 36.0 %) of 20 rows whole and misses every token of 30.0 % (14.5 to "
    )


@pytest.mark.parametrize(
    ("small", "large", "start"),
    [
        ({(16, 32): [0, 32]}, {(64, 64): [0, 64]}, "At 16 + 32 tokens s recites 50.0 %"),
        ({(16, 64): [0, 64]}, {(64, 32): [0, 32, 32]}, "At 16 + 64 tokens s recites 50.0 %"),
    ],
    ids=["not by the largest model", "by no model"],
)
def test_where_the_reference_was_not_scored_the_claim_is_on_the_nearest_cell_and_model(small, large, start):
    assert compute(tables({"s": small, "l": large})).claim.startswith(start)


def test_the_claim_is_on_an_earlier_checkpoint_where_the_latest_was_not_scored():
    scores = {"early": {CELL: [0, 32]}, "late": {(32, 16): [16, 16]}}
    finding = compute(tables(scores, parameters={"early": 9, "late": 9}, steps={"early": 1, "late": 2}))
    assert finding.claim.startswith("At 32 + 32 tokens early recites 50.0 %")


# --------------------------------------------------------------------------------------------------------------- trends


def verdicts(finding):
    return {trend.trend: trend.verdict for trend in finding.trends}


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(70, 30, "shows"), (30, 70, "contradicts"), (52, 48, "cannot tell")]
)
def test_low_scores_dominate_where_they_are_most_rows(low, high, verdict):
    """9 of 32 matches are the most with M <= .3."""
    finding = compute(tables({"m": {CELL: [9] * low + [10] * high}}))
    assert verdicts(finding)["low-scores-dominate"] == verdict


def test_low_scores_must_dominate_in_every_model():
    scores = {"s": {CELL: [0] * 90 + [32] * 10}, "l": {CELL: [0] * 10 + [32] * 90}}
    finding = compute(tables(scores))
    assert verdicts(finding)["low-scores-dominate"] == "contradicts"
    (trend, _) = finding.trends
    assert "90 of 100 in s, 10 of 100 in l" in trend.test


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ((60, 20, 5, 5, 30), "shows"),
        ((60, 20, 10, 30, 5), "contradicts"),
        ((20, 60, 5, 5, 30), "contradicts"),
        ((60, 20, 5, 5, 6), "cannot tell"),
        ((60, 20, 0, 0, 0), "cannot tell"),
    ],
)
def test_scores_are_bipolar_where_both_outermost_levels_have_more_rows(levels, verdict):
    scores = [matches for matches, rows in zip((1, 8, 16, 24, 31), levels, strict=True) for _ in range(rows)]
    assert verdicts(compute(tables({"m": {CELL: scores}})))["scores-are-bipolar"] == verdict


# ----------------------------------------------------------------------------------------------------------- poor input


def test_in_verbatim_depth_only_measured_values_are_reported():
    depth = {"verbatim": {"m": {CELL: [32, 3, 0]}}, "depth": "verbatim"}
    finding = compute(tables({"m": {CELL: [32, None, None]}}, **depth))
    measured = finding.table("classes").filter(pl.col("rows").is_not_null())
    assert measured.select("class", "rows", "of").rows() == [("M = 1", 1, 3)]
    assert [chart.name for chart in finding.charts] == ["survival"]
    assert finding.claim.endswith("of 3 rows whole; M was not graded below that.")
    assert set(verdicts(finding).values()) == {"cannot tell"}
    assert "The scores hold verbatim lengths only: no class below M = 1, and no mean M." in finding.caveats


def test_scores_without_verbatim_lengths_have_no_survival_curve():
    study = tables({"m": {CELL: PLANTED}})
    finding = compute(replace(study, scores=study.scores.with_columns(verbatim=pl.lit(None, pl.Int32))))
    assert [table.name for table in finding.tables] == ["classes", "means"]
    assert [chart.name for chart in finding.charts] == ["classes", "means"]
    assert "The scores hold no verbatim lengths: no survival curve." in finding.caveats


def test_recited_rows_alone_have_no_distribution():
    finding = compute(tables({"m": {CELL: [32] * 5}}, complete=False))
    assert finding.claim == (
        "How the scores are distributed cannot be said: the study lacks scores of all rows, not of recited rows alone."
    )
    assert (finding.tables, finding.charts) == ((), ())


@pytest.mark.parametrize("roles", [None, ["control"] * 2])
def test_without_scored_training_rows_the_missing_data_is_reported(roles):
    scores = [None, None] if roles is None else [3, 32]
    finding = compute(tables({"m": {CELL: scores}}, roles=roles))
    assert finding.claim.endswith("the study lacks training rows with a score.")


def test_few_rows_have_no_interval_of_the_mean_and_the_reason_is_given():
    finding = compute(with_control([16], [0, 1]))
    record = finding.table("means").row(by_predicate=pl.col("role") == "train", named=True)
    assert (record["mean"], record["mean_lower"], record["excess"], record["excess_upper"]) == (
        0.5,
        None,
        0.484375,
        None,
    )
    assert record["reason"] == "an interval needs 12 rows, there are 1"
    assert "+0.484 (no interval)" in finding.claim
    assert finding.strength is None
