from dataclasses import replace

import polars as pl
import pytest

from mematlas.analyses.family.overlap.finding import compute, memorized_by
from mematlas.analyses.frames.study_tables import Cell
from tests.analyses.synthetic_tables import tables

CELL = (32, 32)
#: the models that recite a group of rows (a, b, c), and the number of rows; asymmetric in every way
GROUPS = [("abc", 7), ("ab", 4), ("bc", 6), ("a", 2), ("c", 9), ("", 12)]


def study_of_groups(groups=GROUPS, models="abc", **options):
    """Models that recite the rows of the groups that name them, in order; of other rows they get 20 of 32 tokens."""
    reciting = [group for group, rows in groups for _ in range(rows)]
    return tables(
        {f"m-{model}": {CELL: [32 if model in group else 20 for group in reciting]} for model in models}, **options
    )


def recited_rows_only(study):
    return replace(study, scores=study.scores.filter(pl.col("matches") == 32), complete=False)


def test_every_combination_is_counted():
    counts_by_models = memorized_by(study_of_groups(), ("m-a", "m-b", "m-c"), Cell(32, 32))
    counts = {
        "".join(name[-1] for name in counts_by_models.columns[:3] if record[name]): record["rows"]
        for record in counts_by_models.to_dicts()
    }
    assert counts == dict(GROUPS)
    table = compute(study_of_groups()).table("combinations")
    assert table.select("combination", "members", "models", "rows", "charted").rows() == [
        ("none", 0, "", 12, "no"),
        ("1,000", 1, "m-c", 9, "yes"),
        ("all 3", 3, "m-a, m-b, m-c", 7, "yes"),
        ("100 + 1,000", 2, "m-b, m-c", 6, "yes"),
        ("10 + 100", 2, "m-a, m-b", 4, "yes"),
        ("10", 1, "m-a", 2, "yes"),
    ]
    assert table["of"].unique().to_list() == [40]
    assert table["share"].to_list()[1] == pytest.approx(9 / 40)


def test_shares_of_sets_have_different_bases():
    table = compute(study_of_groups()).table("sets")
    assert table.select("set", "rows", "of").rows() == [
        ("any, of rows scored", 28, 40),
        ("all, of any", 7, 28),
        ("largest only, of any", 9, 28),
        ("forgotten by largest, of others", 6, 19),
    ]
    forgotten = table.row(-1, named=True)
    assert (forgotten["share_lower"], forgotten["share_upper"]) == pytest.approx((0.1536, 0.5399), abs=1e-4)  # 6 of 19


def test_the_claim_counts_rows_memorized_by_all_by_one_and_forgotten():
    assert compute(study_of_groups()).claim == (
        "At 32 + 32 tokens the 3 models (model size) together memorize 28 of 40 rows, 7 of them "
        "(25.0 %, 12.7 to 43.4 %) by every model and 9 by m-c only; of the 19 rows that another member memorizes, "
        "m-c forgot 6 (31.6 %, 15.4 to 54.0 %)."
    )


def test_forgotten_rows_are_named_with_the_models_that_recite_them():
    finding = compute(study_of_groups())
    assert finding.rows == {
        **dict.fromkeys(
            range(7, 11), "recited by m-a (10), m-b (100), forgotten by m-c (which gets 20 of 32 tokens right)"
        ),
        **dict.fromkeys((17, 18), "recited by m-a (10), forgotten by m-c (which gets 20 of 32 tokens right)"),
    }
    assert list(finding.rows) == [7, 8, 9, 10, 17, 18]


def test_at_most_ten_rows_are_named_first_those_that_most_models_recite():
    rows = compute(study_of_groups([("a", 30), ("abd", 3), ("cd", 1)], "abc")).rows
    assert list(rows) == [30, 31, 32, *range(7)]


def test_of_many_reciting_models_three_are_named():
    finding = compute(study_of_groups([("abcde", 1)], "abcdef"))
    assert finding.rows[0].startswith("recited by m-a (10), m-b (100), m-c (1,000) and 2 more, forgotten by m-f (which")


def test_a_family_that_forgets_nothing_names_no_row():
    finding = compute(study_of_groups([("abc", 5), ("bc", 3), ("c", 2), ("", 9)]))
    assert finding.rows == {}
    assert "m-c forgot 0 (0.0 %, 0.0 to 32.4 %)" in finding.claim
    assert finding.strength == 0


def test_checkpoints_are_a_series_of_their_own_with_a_latest():
    steps = {"m-a": 10, "m-b": 20, "m-c": 3000}
    finding = compute(study_of_groups(parameters=dict.fromkeys(steps, 410_000_000), steps=steps))
    table = finding.table("sets")
    assert table["series"].unique().to_list() == ["training step, 410M"]
    assert table["set"].to_list()[2:] == ["latest only, of any", "forgotten by latest, of others"]
    assert "step 20 + step 3,000" in finding.table("combinations")["combination"].to_list()
    assert finding.rows[17].startswith("recited by m-a (step 10), forgotten by m-c")


def test_of_recited_rows_alone_shares_are_of_the_rows_that_any_recites():
    finding = compute(recited_rows_only(study_of_groups()))
    table = finding.table("combinations")
    assert table["combination"].to_list() == ["1,000", "all 3", "100 + 1,000", "10 + 100", "10"]
    assert table["of"].unique().to_list() == [28]
    assert finding.table("sets")["set"].to_list()[0] == "all, of any"
    assert "together memorize 28 rows, 7 of them" in finding.claim
    assert any("shares are of the rows that any model recites" in caveat for caveat in finding.caveats)
    assert finding.rows[17] == "recited by m-a (10), forgotten by m-c"


def test_in_verbatim_depth_only_the_number_of_right_tokens_is_missing():
    verbatim = {
        f"m-{model}": {CELL: [32 if hit else 5 for hit in hits]} for model, hits in (("a", (1, 1)), ("b", (1, 0)))
    }
    masked = {model: {CELL: [v if v == 32 else None for v in cells[CELL]]} for model, cells in verbatim.items()}
    finding = compute(tables(masked, depth="verbatim", verbatim=verbatim))
    assert finding.rows == {1: "recited by m-a (10), forgotten by m-b"}
    assert "memorize 2 of 2 rows" in finding.claim


def test_control_rows_are_reported_separately():
    finding = compute(study_of_groups(roles=["train"] * 20 + ["control"] * 20))
    assert finding.control.startswith("Rows no model was trained on, at 32 + 32 tokens: 40.0 % memorized at most")
    assert finding.table("combinations")["of"].unique().to_list() == [20]
    assert not any("no control rows" in caveat for caveat in finding.caveats)


def test_only_rows_of_all_models_count_and_a_caveat_says_so():
    study = study_of_groups()
    part = replace(study, scores=study.scores.filter((pl.col("model") != "m-b") | (pl.col("row") < 11)))
    finding = compute(part)
    assert finding.table("combinations")["rows"].sum() == 11
    assert "The models (model size) scored different rows: the 11 rows of all count, of up to 40." in finding.caveats


def test_rare_combinations_of_a_large_family_are_left_out_of_the_chart_only():
    names = "abcdefgh"
    pairs = [f"{first}{second}" for i, first in enumerate(names) for second in names[i + 1 :]]
    finding = compute(study_of_groups([(pair, 1 + i) for i, pair in enumerate(pairs)], names))
    table = finding.table("combinations")
    assert table.height == 28
    assert table["charted"].to_list() == ["yes"] * 24 + ["no"] * 4
    assert table["rows"].to_list() == list(range(28, 0, -1))


def test_without_memorized_rows_the_number_of_scored_rows_is_reported():
    finding = compute(study_of_groups([("", 40)]))
    assert finding.claim == (
        "Which models memorize the same rows cannot be said: the study lacks rows that any model memorizes, of 40 "
        "scored at 32 + 32 tokens."
    )
    assert "--continuation" in finding.missing


@pytest.mark.parametrize("study", [study_of_groups(models="a"), study_of_groups(control_models=("m-b", "m-c"))])
def test_with_one_model_the_missing_data_is_reported(study):
    finding = compute(study)
    assert "the study lacks two models of the family" in finding.claim
    assert not finding.tables
