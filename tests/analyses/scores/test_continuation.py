import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mematlas.analyses.frames.memorized_shares import memorized_shares
from mematlas.analyses.scores.continuation import compute
from tests.analyses.synthetic_tables import tables


def recited(lengths, *continuations, context=32):
    """Cells of rows that recite the given number of tokens and then miss all; None: too short for that continuation."""
    return {(context, n): [None if v is None else min(v, n) for v in lengths] for n in continuations}


#: of 20 rows 8 recite 16 tokens, of which 5 recite 32, of which 2 recite 64
ROWS = [0] * 12 + [16] * 3 + [32] * 3 + [64] * 2


def verdicts(finding):
    return {trend.trend: trend.verdict for trend in finding.trends}


def test_shares_are_those_planted():
    shares = compute(tables({"m": recited(ROWS, 16, 32, 64)})).table("shares")
    assert shares["continuation"].to_list() == [16, 32, 64]
    assert shares["memorized"].to_list() == [8, 5, 2]
    assert shares["unmemorized"].to_list() == [12, 12, 12]
    assert shares["memorized_share"].to_list() == pytest.approx([0.4, 0.25, 0.1])
    assert shares["unmemorized_share"].to_list() == pytest.approx([0.6, 0.6, 0.6])


def test_firmly_memorized_rows_are_memorized_at_every_longer_continuation():
    finding = compute(tables({"m": recited(ROWS, 16, 32, 64)}))
    firm = finding.table("firm").select("shortest", "continuation", "rows", "memorized_at_shortest", "surviving")
    assert firm.rows() == [(16, 32, 20, 8, 5), (16, 64, 20, 8, 2)]
    assert finding.table("firm")["surviving_share"].to_list() == pytest.approx([5 / 8, 2 / 8])
    assert finding.claim == (
        "At a context of 32 tokens m recites 40.0 % (21.9 to 61.3 %) of 20 rows whole over 16 tokens and 10.0 % (2.8 "
        "to 30.1 %) of 20 over 64; of 8 rows memorized at the shortest and scored at every continuation, 25.0 % (7.1 "
        "to 59.1 %) are firmly memorized: at every longer one too."
    )


def test_a_row_that_is_lost_and_memorized_again_is_not_firm():
    """Published scores of several runs need not be cut from one greedy text."""
    cells = {(32, 16): [16, 16, 16], (32, 32): [32, 0, 32], (32, 64): [64, 64, 0]}
    assert compute(tables({"m": cells})).table("firm")["surviving"].to_list() == [2, 1]


def test_rows_too_short_for_a_continuation_are_not_firm_and_a_caveat_says_so():
    cells = recited(ROWS, 16, 32) | recited([None] * 3 + ROWS[3:18] + [None] * 2, 64)
    finding = compute(tables({"m": cells}))
    firm = finding.table("firm").select("rows", "memorized_at_shortest", "surviving")
    assert firm.rows() == [(15, 6, 3), (15, 6, 0)]
    assert (
        "Lines over continuations are of the training rows scored at all of them: of 20 training rows of m at a "
        "context of 32 tokens 5 are left out." in finding.caveats
    )
    assert not any("left out" in caveat for caveat in compute(tables({"m": recited(ROWS, 16, 64)})).caveats)


# ----------------------------------------------------------------------------------------- the same rows at all lengths


def of_lengths(rows, *continuations):
    """Cells of rows given as (tokens recited, tokens that the row has behind the context)."""
    return {(32, n): [min(recites, n) if n <= length else None for recites, length in rows] for n in continuations}


#: The leak of the findings from outside: short mails are not recited, 8 mails that were shown 16 times are long.
LEAK = [(0, 32)] * 166 + [(64, 64)] * 128
LENGTHS = (16, 32, 64)


def drawn(finding, role="train"):
    """The points of the chart "memorized", as (continuation, memorized, rows)."""
    (chart,) = (chart for chart in finding.charts if chart.name == "memorized")
    frame = finding.table(chart.table).filter(role=role)
    return frame.select(chart.x.column, "memorized", "rows").rows()


def test_the_drawn_share_does_not_rise_where_longer_rows_are_recited_more():
    study = tables({"m": of_lengths(LEAK, *LENGTHS)})
    of_all_rows = memorized_shares(study)
    assert of_all_rows["memorized_share"].to_list() == pytest.approx([128 / 294, 128 / 294, 1.0])  # what was drawn
    finding = compute(study)
    assert drawn(finding) == [(16, 128, 128), (32, 128, 128), (64, 128, 128)]
    assert "m recites 100.0 % (97.1 to 100.0 %) of 128 rows whole over 16 tokens and 100.0 %" in finding.claim
    assert any("of 294 training rows of m at a context of 32 tokens 166 are left out." in c for c in finding.caveats)


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(16, 80)), min_size=1, max_size=30))
def test_the_drawn_share_falls_with_continuation_whatever_the_lengths_of_rows(rows):
    finding = compute(tables({"m": of_lengths(rows, *LENGTHS)}))
    if finding.charts:
        shares = [memorized / of for _, memorized, of in drawn(finding)]
        assert shares == sorted(shares, reverse=True)
        assert len({of for _, _, of in drawn(finding)}) == 1


def test_a_control_that_is_too_short_for_a_continuation_is_said_to_be():
    rows = [(0, 64)] * 6 + [(0, 32)] * 3 + [(16, 16)]
    roles = ["train"] * 6 + ["control"] * 4
    finding = compute(tables({"m": of_lengths(rows, *LENGTHS)}, roles=roles))
    assert drawn(finding, "control") == [(16, 0, 3), (32, 0, 3)]
    assert "No control row was scored at a continuation of 64 tokens: a floor of lucky guesses is unknown there." in (
        finding.caveats
    )
    assert any("of 4 control rows of m at a context of 32 tokens 1 are left out." in c for c in finding.caveats)


def test_where_no_row_has_all_lengths_nothing_is_drawn():
    """Published scores of different rows at each continuation."""
    none = {(32, 16): [16, None], (32, 32): [None, 32]}
    alone = compute(tables({"l": none}))
    assert "the study lacks training rows scored at two continuations of one context" in alone.claim
    finding = compute(tables({"s": {(32, 16): [16, 16], (32, 32): [32, 0]}, "l": none}))
    assert "s recites" in finding.claim
    assert finding.table("shares")["model"].unique().to_list() == ["s"]
    assert any(
        c == "No line is drawn where no row has all continuations: training rows of l at a context of 32 tokens."
        for c in finding.caveats
    )


def test_the_claim_is_on_the_largest_model_and_the_context_nearest_to_32():
    small, large = recited([0, 16, 32], 16, 32, context=24), recited([0, 0, 16], 16, 32, context=24)
    other = recited([32] * 3, 16, 32, context=64)
    finding = compute(tables({"l": large | other, "s": small | other}, parameters={"l": 9, "s": 1}))
    assert finding.claim.startswith("At a context of 24 tokens l recites 33.3 %")
    assert finding.table("firm").select("model", "context", "surviving").rows() == [
        ("l", 24, 0),
        ("l", 64, 3),
        ("s", 24, 1),
        ("s", 64, 3),
    ]


def test_control_rows_are_reported_separately_and_never_firm():
    finding = compute(tables({"m": recited(ROWS, 16, 32)}, roles=["control"] * 10 + ["train"] * 10))
    assert finding.table("firm")["rows"].to_list() == [10]
    assert finding.table("shares").filter(role="control")["rows"].to_list() == [10, 10]
    assert finding.control == (
        "Rows no model was trained on, at 32 + 16 tokens: 0.0 % memorized at most (upper ends of the intervals up to "
        "27.8 %)."
    )


def test_no_memorized_row_gives_no_firm_share():
    finding = compute(tables({"m": recited([0, 3, 5], 16, 32)}))
    assert finding.table("firm")["surviving_share"].to_list() == [None]
    assert "so no share of firmly memorized rows can be given." in finding.claim
    assert [chart.name for chart in finding.charts] == ["memorized", "unmemorized"]


# --------------------------------------------------------------------------------------------------------------- trends


@pytest.mark.parametrize(("lost", "verdict"), [(6, "shows"), (2, "cannot tell"), (0, "cannot tell")])
def test_a_fall_is_shown_by_the_rows_lost(lost, verdict):
    finding = compute(tables({"m": recited([16] * lost + [32] * 9, 16, 32)}))
    assert verdicts(finding)["recited-rows-fall-with-continuation"] == verdict


def test_a_rise_contradicts():
    finding = compute(tables({"m": {(32, 16): [0] * 8 + [16], (32, 32): [32] * 8 + [0]}}))
    assert verdicts(finding)["recited-rows-fall-with-continuation"] == "contradicts"
    assert "1 are memorized at 32 + 16 tokens only, and 8 at 32 + 32 only" in finding.trends[0].test


@pytest.mark.parametrize(
    ("early", "late", "verdict"), [(20, 4, "shows"), (4, 20, "contradicts"), (9, 7, "cannot tell")]
)
def test_the_fall_slows_where_fewer_are_lost_from_64_to_96_than_from_32_to_48(early, late, verdict):
    rows = [32] * early + [48] * 50 + [64] * late + [96] * 30
    finding = compute(tables({"m": recited(rows, 16, 32, 48, 64, 96)}))
    assert verdicts(finding)["fall-with-continuation-slows"] == verdict
    assert f"loses {early} memorized rows from 32 to 48 tokens and {late} from 64 to 96" in finding.trends[1].test


def test_other_grids_report_their_losses_without_a_verdict():
    trend = compute(tables({"m": recited([16] * 30 + [32] * 2 + [64] * 5, 16, 32, 64)})).trends[1]
    assert trend.verdict == "cannot tell"
    assert trend.test == (
        "the study lacks continuations of 32, 48, 64 and 96 tokens at one context. In its own grid m loses 30 "
        "memorized rows from 16 to 32 tokens and 2 from 32 to 64"
    )


# ----------------------------------------------------------------------------------------------------------- poor input


def test_in_verbatim_depth_unmemorized_is_not_measured():
    lengths = recited([0, 16, 32], 16, 32)
    masked = {cell: [v if v == cell[1] else None for v in values] for cell, values in lengths.items()}
    finding = compute(tables({"m": masked}, verbatim={"m": lengths}, depth="verbatim"))
    assert finding.table("firm")["surviving"].to_list() == [1]
    assert finding.table("shares")["unmemorized"].to_list() == [None, None]
    assert [chart.name for chart in finding.charts] == ["memorized", "firm"]


def test_a_cell_without_scores_shortens_the_list_of_that_model():
    finding = compute(tables({"s": recited(ROWS, 16, 32, 64), "l": recited(ROWS, 16, 32)}))
    firm = finding.table("firm").select("model", "continuation")
    assert firm.rows() == [("s", 32), ("s", 64), ("l", 32)]
    assert "l recites" in finding.claim


@pytest.mark.parametrize(
    ("cells", "options", "missing"),
    [
        (recited(ROWS, 32), {}, "training rows scored at two continuations of one context"),
        (
            {(16, 32): [0, 32], (32, 64): [0, 64]},
            {},
            "training rows scored at two continuations of one context",
        ),
        (recited(ROWS, 16, 32), {"complete": False}, "scores of all rows, not of recited rows alone"),
        (recited(ROWS, 16, 32), {"control_models": ("m",)}, "training rows scored at two continuations of one context"),
    ],
)
def test_missing_data_is_reported(cells, options, missing):
    finding = compute(tables({"m": cells}, **options))
    assert finding.claim == (
        f"Whether memorization falls with the length of the continuation cannot be said: the study lacks {missing}."
    )
    assert finding.missing
    assert set(verdicts(finding).values()) == {"cannot tell"}


def test_charts_have_one_panel_per_context():
    finding = compute(tables({"m": recited(ROWS, 16, 32)}))
    assert [(chart.name, chart.facet, chart.dash) for chart in finding.charts] == [
        ("memorized", "context", "role"),
        ("unmemorized", "context", "role"),
        ("firm", "context", None),
    ]
    assert all(finding.table(chart.table)[chart.y.column].is_not_null().all() for chart in finding.charts)
    assert finding.table("shares").filter(pl.col("model") == "m").height == 2
