import pytest

from mematlas.analyses.scores.context import compute
from tests.analyses.synthetic_tables import tables


def cells(length=32, **contexts):
    """cells(c16=[1, 0]): of two rows the first is memorized with 16 tokens of context; None: not scored."""
    return {
        (int(name[1:]), length): [None if row is None else row * length for row in rows]
        for name, rows in contexts.items()
    }


#: ten rows: 2 memorized at both contexts, 4 brought out by the longer, 1 lost, 3 at neither
SHORTER = [1, 1, 0, 0, 0, 0, 1, 0, 0, 0]
LONGER = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def verdict(finding):
    (trend,) = finding.trends
    return trend.verdict


def test_rows_brought_out_and_lost_are_those_planted():
    finding = compute(tables({"m": cells(c16=SHORTER, c48=LONGER)}))
    (record,) = finding.table("changes").rows(named=True)
    names = ("continuation", "context", "longer_context", "rows", "both", "brought_out", "lost")
    assert [record[name] for name in names] == [32, 16, 48, 10, 2, 4, 1]
    assert (record["brought_out_share"], record["lost_share"]) == pytest.approx((4 / 7, 1 / 3))
    assert finding.claim == (
        "Over 32 tokens m memorizes 3 of 10 rows with a context of 16 tokens and 6 with 48: the longer one brings out "
        "4, 57.1 % (25.0 to 84.2 %) of those not memorized before, and loses 1, 33.3 % (6.1 to 79.2 %) of those that "
        "were."
    )


def test_example_rows_of_each_kind_are_named_with_the_reason():
    finding = compute(tables({"m": cells(c16=[0] * 9 + [1, 1], c48=[1] * 9 + [0, 1])}))
    brought_out, lost = (
        "memorized by m with 48 tokens of context, not with 16",
        "memorized by m with 16 tokens of context, not with 48",
    )
    assert finding.rows == {0: brought_out, 1: brought_out, 2: brought_out, 3: brought_out, 9: lost}


def test_shares_are_those_planted():
    shares = compute(tables({"m": cells(c16=SHORTER, c48=LONGER)})).table("shares")
    assert shares.select("context", "memorized", "unmemorized").rows() == [(16, 3, 7), (48, 6, 4)]


def test_neighbouring_contexts_are_compared_and_the_ends():
    finding = compute(tables({"m": cells(c8=[0, 0, 1], c16=[1, 0, 0], c32=[1, 1, 0])}))
    changes = finding.table("changes").select("context", "longer_context", "brought_out", "lost")
    assert changes.sort("context", "longer_context").rows() == [(8, 16, 1, 1), (8, 32, 2, 1), (16, 32, 1, 0)]
    assert "1 of 3 rows with a context of 8 tokens and 2 with 32" in finding.claim


def test_only_rows_scored_at_both_contexts_are_compared():
    finding = compute(tables({"m": cells(c16=[0, 1, 0, 0], c48=[1, 1, None, None])}))
    assert finding.table("changes").select("rows", "both", "brought_out", "lost").rows() == [(2, 1, 1, 0)]
    shares = finding.table("shares").select("context", "rows", "memorized")
    assert shares.rows() == [(16, 2, 1), (48, 2, 2)]
    assert (
        "Lines over contexts are of the training rows scored at all of them: of 4 training rows of m at a continuation "
        "of 32 tokens 2 are left out." in finding.caveats
    )


def test_the_claim_is_on_the_largest_model_and_the_continuation_nearest_to_32():
    grid = cells(c16=SHORTER, c48=LONGER) | cells(64, c16=LONGER, c48=LONGER)
    other = cells(c16=LONGER, c48=SHORTER) | cells(64, c16=LONGER, c48=LONGER)
    finding = compute(tables({"l": grid, "s": other}, parameters={"l": 9, "s": 1}))
    assert finding.claim.startswith("Over 32 tokens l memorizes 3 of 10 rows")
    assert finding.table("changes").height == 4


# ------------------------------------------------------------------------------------------------------------ the trend


@pytest.mark.parametrize(
    ("brought_out", "lost", "expected"),
    [(12, 2, "shows"), (2, 12, "contradicts"), (7, 5, "cannot tell"), (0, 0, "cannot tell")],
)
def test_the_direction_is_tested(brought_out, lost, expected):
    finding = compute(
        tables({"m": cells(c16=[0] * brought_out + [1] * lost + [1], c48=[1] * brought_out + [0] * lost + [1])})
    )
    assert verdict(finding) == expected
    assert f"{brought_out} rows become memorized and {lost} no longer are" in finding.trends[0].test
    assert "whether the rise is exponential cannot be told" in finding.trends[0].test


# -------------------------------------------------------------------------------------------------------------- caveats


def test_start_aligned_contexts_move_the_text_and_a_caveat_says_so():
    study = tables({"m": cells(c16=SHORTER, c48=LONGER)})
    assert compute(study).caveats[0].startswith("Contexts begin with the row, so a longer one also moves")
    study.settings["align"] = "end"
    assert not any("Contexts begin" in caveat for caveat in compute(study).caveats)


def test_control_rows_are_reported_separately_and_not_compared():
    roles = ["train"] * 6 + ["control"] * 4
    finding = compute(tables({"m": cells(c16=SHORTER, c48=LONGER)}, roles=roles))
    assert finding.table("changes").select("rows", "lost").rows() == [(6, 0)]
    assert finding.control.startswith("Rows no model was trained on, at 48 + 32 tokens: 0.0 % memorized at most")
    assert not any("no control rows" in caveat for caveat in finding.caveats)


# ----------------------------------------------------------------------------------------------------------- poor input


def test_in_verbatim_depth_rows_are_compared_but_unmemorized_is_not_measured():
    lengths = {(16, 32): [32, 3, 0], (48, 32): [32, 32, 0]}
    masked = {(16, 32): [32, None, None], (48, 32): [32, 32, None]}
    finding = compute(tables({"m": masked}, verbatim={"m": lengths}, depth="verbatim"))
    assert finding.table("changes")["brought_out"].to_list() == [1]
    assert finding.table("shares")["unmemorized"].to_list() == [None, None]
    assert [chart.name for chart in finding.charts] == ["memorized", "brought_out"]


def test_nothing_memorized_at_the_shorter_context_gives_no_share_lost():
    finding = compute(tables({"m": cells(c16=[0, 0], c48=[1, 0])}))
    assert finding.table("changes").select("lost", "lost_share", "lost_share_upper").rows() == [(0, None, None)]
    assert finding.claim.endswith("; no row was memorized before, so that there was nothing to lose.")


def test_where_all_were_memorized_none_can_be_brought_out():
    finding = compute(tables({"m": cells(c16=[1, 1], c48=[1, 0])}))
    assert (
        "all rows were memorized before, so that there was nothing to bring out; the longer one loses 1, 50.0 %"
        in finding.claim
    )
    assert [chart.name for chart in finding.charts] == ["memorized", "unmemorized"]


def test_a_model_without_the_longer_context_is_left_to_the_others():
    finding = compute(tables({"s": cells(c16=SHORTER, c48=LONGER), "l": cells(c16=LONGER)}))
    assert finding.table("changes")["model"].to_list() == ["s"]
    assert finding.claim.startswith("Over 32 tokens s memorizes")


@pytest.mark.parametrize(
    ("grid", "options", "missing"),
    [
        (cells(c16=SHORTER), {}, "training rows scored at two contexts of one continuation"),
        (
            cells(c16=SHORTER) | cells(64, c48=LONGER),
            {},
            "training rows scored at two contexts of one continuation",
        ),
        (
            cells(c16=[0, None], c48=[None, 1]),
            {},
            "training rows scored at two contexts of one continuation",
        ),
        (cells(c16=SHORTER, c48=LONGER), {"complete": False}, "scores of all rows, not of recited rows alone"),
    ],
)
def test_missing_data_is_reported(grid, options, missing):
    finding = compute(tables({"m": grid}, **options))
    assert finding.claim == (
        f"Whether a longer context brings out more memorized rows cannot be said: the study lacks {missing}."
    )
    assert finding.missing
    assert verdict(finding) == "cannot tell"


def test_a_context_brings_out_nothing_where_only_the_rows_change():
    """Long rows are recited at every context and short ones at none: of all rows the share would rise by a half."""
    finding = compute(tables({"m": cells(c16=[0, 0, 1, 1], c48=[None, None, 1, 1])}))
    assert finding.table("shares")["memorized_share"].to_list() == [1.0, 1.0]
    assert finding.table("changes")["brought_out"].to_list() == [0]
