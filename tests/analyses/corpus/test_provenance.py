from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mematlas.analyses.corpus.provenance.finding import ANALYSIS, compute
from mematlas.study.schemas.features import COPIES, OCCURRENCES
from tests.analyses.synthetic_tables import tables, with_documents, with_features

CELL = (32, 32)
FIELDS = [name for name in COPIES.names if name.startswith("continuation_")]


def study(*, recited=40, count=100, copied=(30, 6), control=0, leaks=0, facts=None, features=None, **options):
    """`count` training rows, of which the first `recited` are recited by "big" (half of them by "small"), then control
    rows, of which the first is recited.

    copied: how many of the recited rows, and of the others, have 3 copies; leaks: how many control rows have 2.
    """
    copies = [3] * copied[0] + [1] * (recited - copied[0]) + [3] * copied[1] + [1] * (count - recited - copied[1])
    copies += [2] * leaks + [0] * (control - leaks)
    control_matches = [32] * min(1, control) + [0] * (control - 1)
    matches = {
        name: {CELL: [32] * hits + [0] * (count - hits) + control_matches}
        for name, hits in (("small", recited // 2), ("big", recited))
    }
    roles = ["train"] * count + ["control"] * control
    study_tables = with_features(
        tables(matches, roles=roles, **options), **(dict.fromkeys(FIELDS, copies) | (features or {}))
    )
    return replace(study_tables, facts=study_tables.facts | (facts or {}))


def shares(finding, **where):
    return finding.table("shares").filter(**{"model": "big", "role": "train", "scope": "rows"} | where)


def test_shares_and_their_difference_are_those_planted():
    finding = compute(study())
    record = shares(finding, kind="recited").row(0, named=True)
    assert (record["rows"], record["elsewhere"], record["share"]) == (40, 30, 0.75)
    record = shares(finding, kind="not recited").row(0, named=True)
    assert (record["rows"], record["elsewhere"], record["share"]) == (60, 6, 0.1)
    record = finding.table("contrasts").filter(model="big", scope="rows").row(0, named=True)
    assert record["difference"] == pytest.approx(0.65)
    assert 0.4 < record["difference_lower"] < 0.65 < record["difference_upper"] < 0.8
    assert finding.claim == (
        "Of the 40 training rows that big recites at 32 + 32 tokens, 75.0 % (59.8 to 85.8 %) have a continuation that "
        "stands elsewhere in the corpus too (within rows), against 10.0 % (4.7 to 20.1 %) of the 60 that it does not "
        "recite: a difference of +65.0 percentage points (95 % interval +46.7 to +77.1)."
    )
    assert finding.strength == pytest.approx(0.65 / (0.30 / 3.92), rel=0.05)


def test_without_a_connection_the_interval_of_the_difference_holds_zero():
    finding = compute(study(copied=(10, 15)))
    record = finding.table("contrasts").filter(model="big", scope="rows").row(0, named=True)
    assert record["difference_lower"] < 0 < record["difference_upper"]
    assert finding.strength < 1.96


def test_the_distribution_counts_occurrences_other_than_the_rows_own():
    copies = [1, 2, 3, 10, 11, 100, 101, 5]
    study_tables = with_features(tables({"m": {CELL: [32] * 7 + [0]}}), **dict.fromkeys(FIELDS, copies))
    distribution = compute(study_tables).table("distribution").filter(scope="stream", kind="recited")
    assert distribution.select("others", "rows", "of").rows() == [
        ("nowhere else", 1, 7),
        ("1 other place", 1, 7),
        ("2 to 9 other places", 2, 7),
        ("10 to 99 other places", 2, 7),
        ("100 or more", 1, 7),
    ]


def test_scopes_are_separate_and_the_claim_uses_that_of_the_counts():
    study_tables = study(facts={"scope": "documents"}, features={"continuation_documents": [1] * 100})
    finding = compute(study_tables)
    assert (
        "0.0 % (0.0 to 8.8 %) have a continuation that stands elsewhere in the corpus too (within doc" in finding.claim
    )
    assert shares(finding, kind="recited")["elsewhere"].item() == 30
    assert shares(finding, kind="recited", scope="documents")["elsewhere"].item() == 0


def test_repetitions_of_a_row_are_not_other_occurrences_if_counted_in_training_order():
    shown = [8] * 40 + [1] * 60
    study_tables = study(
        repetitions=shown, facts={"ordered": True}, features=dict.fromkeys(FIELDS, [8] * 39 + [9] + [1] * 60)
    )
    finding = compute(study_tables)
    assert shares(finding, kind="recited")["elsewhere"].item() == 1
    assert shares(finding, kind="not recited")["elsewhere"].item() == 0
    assert any("counted in the order of training" in text for text in finding.caveats)
    plain = compute(replace(study_tables, facts={"scope": "rows"}))
    assert shares(plain, kind="recited")["elsewhere"].item() == 40


def test_rows_whose_own_occurrence_was_not_counted_are_left_out_and_reported():
    counted = [0] * 5 + [None] * 2 + [3] * 33 + [1] * 60
    finding = compute(study(features=dict.fromkeys(FIELDS, counted)))
    assert shares(finding, kind="recited").select("rows", "elsewhere").row(0) == (33, 33)
    assert (
        "7 more recited rows are left out: their places were not counted, or they cross the end of a document."
        in finding.caveats
    )


# ----------------------------------------------------------------------------------------------------------- control


def test_control_rows_absent_from_the_corpus_are_the_control():
    finding = compute(study(control=50))
    assert finding.control == (
        "None of 50 rows no model was trained on has its continuation in the corpus (within rows); big recites 1 of "
        "them."
    )
    assert "leaks" not in finding.claim
    assert not any("leaks" in text for text in finding.caveats)
    assert "leaks" not in [table.name for table in finding.tables]


def test_a_leaking_control_is_reported_in_claim_control_and_first_caveat():
    finding = compute(study(control=50, leaks=3))
    leak = "the control leaks: 3 of 50 control rows have their continuation in the corpus"
    assert finding.claim.endswith(f"(95 % interval +46.7 to +77.1); {leak}.")
    assert finding.control == (
        f"T{leak[1:]} (within rows). 100.0 % (20.7 to 100.0 %) of the 1 that big recites do. 4.1 % (1.1 to 13.7 %) of "
        "the 49 that big does not recite do."
    )
    assert finding.caveats[0].startswith("The control leaks: 3 of 50 control rows")
    assert finding.table("leaks").rows() == [("big", 100, 32, 32, 2, 2, 2), ("small", 100, 32, 32, 2, 2, 2)]
    assert finding.rows[100] == "recited by big; a control row that stands in the corpus"


def test_control_rows_have_no_occurrence_of_their_own():
    """One copy of a training row is its own; one copy of a control row is a leak."""
    finding = compute(study(control=50, features=dict.fromkeys(FIELDS, [1] * 150)))
    assert shares(finding)["elsewhere"].sum() == 0
    assert shares(finding, role="control")["elsewhere"].sum() == 50


def test_occurrences_of_leaking_rows_are_listed_if_they_were_located():
    study_tables = study(control=50, leaks=3)
    constants = {"context": 32, "continuation": 32, "elsewhere": 2, "corpus_row": 7, "offset": 12, "source": "a.py"}
    records = [{"row": row, "place": place, **constants} for row, place in ((100, 2), (100, 1), (3, 1), (101, None))]
    occurrences = pl.DataFrame(records, schema=pl.from_arrow(OCCURRENCES.empty_table()).schema)
    finding = compute(replace(study_tables, features=study_tables.features | {"places": occurrences.lazy()}))
    table = finding.table("places")
    assert table.select("row", "place", "corpus_row", "offset", "source").rows() == [
        (100, 1, 7, 12, "a.py"),
        (100, 2, 7, 12, "a.py"),
    ]


def test_a_study_without_a_control_says_so():
    finding = compute(study())
    assert finding.control is None
    assert any(text.startswith("The study has no control rows") for text in finding.caveats)


# ------------------------------------------------------------------------------------------------------ what is shown


def test_example_rows_have_the_most_other_occurrences_or_none():
    copies = [1, 5, 2, 1, 9, 2] + [1] * 34 + [50] * 60
    repetitions = [4, 1, 1, 2, 1, 1] + [8] * 94
    finding = compute(study(features=dict.fromkeys(FIELDS, copies), repetitions=repetitions))
    assert finding.rows == {
        4: "recited by big; its continuation stands at 8 other places",
        1: "recited by big; its continuation stands at 4 other places",
        2: "recited by big; its continuation stands at 1 other place",
        3: "recited by big; its continuation stands nowhere else in the corpus",
        0: "recited by big; its continuation stands nowhere else in the corpus",
        6: "recited by big; its continuation stands nowhere else in the corpus",
    }


def test_the_chart_shows_recited_rows_first_in_the_claims_cell():
    finding = compute(study())
    (chart,) = finding.charts
    drawn = finding.table(chart.table).filter(**chart.where)
    assert drawn.select("model", "kind").rows() == [
        ("small", "recited"),
        ("small", "not recited"),
        ("big", "recited"),
        ("big", "not recited"),
    ]


# ------------------------------------------------------------------------------------------------------ what is lacking


def test_without_features_it_says_how_to_make_them():
    finding = compute(tables({"m": {CELL: [32] * 5}}))
    assert finding.claim == (
        "Where recited continuations stand in the corpus cannot be said: the study lacks a count of each "
        "continuation's copies in the corpus."
    )
    assert finding.missing == "Make row features: `mematlas features STUDY`."


def test_features_without_copies_are_none():
    assert compute(study(features=dict.fromkeys(FIELDS))).missing == "Make row features: `mematlas features STUDY`."


@pytest.mark.parametrize("leaks", [0, 4])
def test_without_recited_rows_only_a_leak_is_reported(leaks):
    copies = [1] * 20 + [2] * leaks + [0] * (10 - leaks)
    study_tables = tables({"m": {CELL: [0] * 30}}, roles=["train"] * 20 + ["control"] * 10)
    finding = compute(with_features(study_tables, **dict.fromkeys(FIELDS, copies)))
    assert "the study lacks recited training rows at 32 + 32 tokens" in finding.claim
    assert finding.tables == ()
    leak = "The control leaks: 4 of 10 control rows have their continuation in the corpus."
    assert finding.caveats == ((leak,) if leaks else ())


def test_published_recited_rows_are_counted_but_compared_with_nothing():
    finding = compute(study(complete=False))
    assert "against" not in finding.claim
    assert set(finding.table("shares")["kind"]) == {"recited"}
    assert finding.strength is None
    assert any(text.startswith("Only recited rows were published") for text in finding.caveats)


def test_where_all_rows_are_recited_there_is_no_difference():
    finding = compute(study(recited=100, copied=(70, 0)))
    assert finding.claim.endswith("have a continuation that stands elsewhere in the corpus too (within rows).")
    assert finding.strength is None


def test_verbatim_depth_gives_the_same_numbers():
    study_tables = study()
    masked = pl.when(pl.col("matches") == 32).then("matches").alias("matches")
    unknown = replace(study_tables, scores=study_tables.scores.with_columns(masked))
    assert_frame_equal(compute(unknown).table("shares"), compute(study_tables).table("shares"))


def test_the_claim_is_about_the_smaller_model_if_the_larger_recites_nothing():
    study_tables = with_features(
        tables({"small": {CELL: [32, 0]}, "big": {CELL: [0, 0]}}), **{name: [2, 1] for name in FIELDS}
    )
    assert compute(study_tables).claim.startswith("Of the 1 training rows that small recites")


def test_its_requirements_are_stated():
    assert ANALYSIS.needs == "row features (copies in the corpus)"
    assert ANALYSIS.trends == ()


# ----------------------------------------------------------------------------------------------------- rows in clusters


def test_alike_rows_of_a_document_count_as_one():
    """Every row stands five times in its document: shares stay, intervals are those of the documents."""
    once, copied = compute(study()), study(recited=200, count=500, copied=(150, 30))
    finding = compute(with_documents(copied, [row // 5 for row in range(500)]))
    for kind, documents in (("recited", 40), ("not recited", 60)):
        expected, record = (shares(found, kind=kind).row(0, named=True) for found in (once, finding))
        assert (record["rows"], record["clusters"]) == (5 * documents, documents)
        assert record["design_effect"] == pytest.approx(5, rel=0.1)
        assert record["share_lower"] == pytest.approx(expected["share_lower"], abs=0.02)
        assert record["share_upper"] == pytest.approx(expected["share_upper"], abs=0.02)
    expected, record = (
        found.table("contrasts").filter(model="big", scope="rows").row(0, named=True) for found in (once, finding)
    )
    assert record["clusters"] == 100
    for end in ("difference", "difference_lower", "difference_upper"):
        assert record[end] == pytest.approx(expected[end], abs=0.02)
    assert finding.strength == pytest.approx(once.strength, rel=0.05)
    assert compute(copied).strength > 2 * once.strength
    nowhere = finding.table("distribution").filter(model="big", scope="rows", kind="recited", others="nowhere else")
    assert nowhere.select("rows", "of", "clusters").row(0) == (50, 200, 40)
    assert nowhere["design_effect"].item() == pytest.approx(5, rel=0.1)


def test_rows_of_a_single_document_have_a_difference_without_an_interval():
    finding = compute(with_documents(study(), [0] * 100))
    assert "+65.0 percentage points (no interval: the rows of one side are of a single document)" in finding.claim
    assert finding.strength is None
