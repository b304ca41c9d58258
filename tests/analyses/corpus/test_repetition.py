"""Memorized share against copies: planted counts, missing counts, and a control that leaks."""

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.corpus.repetition import compute, copy_agreement, copy_slopes
from tests.analyses.synthetic_tables import tables, with_documents, with_features

CELL = (32, 32)
COPIES = [1] * 200 + [10] * 100 + [100] * 100
RECITED = [32] * 20 + [0] * 180 + [32] * 30 + [0] * 70 + [32] * 60 + [0] * 40  # 10 %, 30 %, 60 %


def study(matches=RECITED, copies=COPIES, models=("m0", "m1"), roles=None, repetitions=None, **features):
    study_tables = tables({model: {CELL: matches} for model in models}, roles=roles, repetitions=repetitions)
    copy_counts = {"window_rows": copies, "window_documents": None, "window_stream": None}
    return with_features(study_tables, **copy_counts | features)


def test_shares_by_copies_are_those_planted():
    finding = compute(study())
    shares = finding.table("shares").filter(model="m1")
    assert shares["bucket"].to_list() == [0, 13, 26]
    assert shares["copies"].to_list() == pytest.approx([1, 10, 100])
    assert shares["rows"].to_list() == [200, 100, 100]
    assert shares["share"].to_list() == pytest.approx([0.1, 0.3, 0.6])
    assert set(shares["scope"]) == {"rows"}
    slope = finding.table("slopes").filter(model="m1")
    assert slope["slope"].item() == pytest.approx(0.675 / 2.75)  # weighted least squares by hand
    assert slope["slope_lower"].item() < 0.2 < slope["slope_upper"].item()
    assert finding.claim == (
        "At 32 + 32 tokens m1 recites 10.0 % (6.6 to 14.9 %) of the 200 rows with 1 copy in the corpus (within rows) "
        "and 60.0 % (50.2 to 69.1 %) of the 100 rows with 100 copies in the corpus (within rows): +24.5 "
        "percentage points per tenfold of copies (95 % interval -8.1 to +57.2; 3 buckets, 400 rows)."
    )


def test_a_share_that_does_not_depend_on_copies_has_no_slope():
    flat = [32, 0, 0, 0] * 100
    slope = compute(study(matches=flat)).table("slopes").filter(model="m0")
    assert slope["slope"].item() == pytest.approx(0, abs=1e-9)
    assert slope["reason"].item() == "all shares are equal: no interval, no R2"
    uneven = [32 if row % 7 == 0 or row % 11 == 0 else 0 for row in range(400)]
    slope = compute(study(matches=uneven)).table("slopes").filter(model="m0")
    assert slope["slope_lower"].item() < 0 < slope["slope_upper"].item()


def test_bucket_edges_are_half_open():
    copies = [6, 7, 8, 9, 16]
    finding = compute(study(matches=[0] * 5, copies=copies, models=("m",)))
    assert finding.table("shares")["bucket"].to_list() == [10, 11, 12, 16]
    assert finding.table("shares")["rows"].to_list() == [1, 1, 2, 1]


def test_every_counted_scope_has_its_own_records_and_claims_use_rows():
    finding = compute(study(window_stream=[10 * value for value in COPIES], window_documents=COPIES))
    slopes = finding.table("slopes").filter(model="m0")
    assert slopes["scope"].to_list() == ["documents", "rows", "stream"]
    assert finding.charts[0].where == {"continuation": 32, "scope": "rows"}
    only = compute(study(window_rows=None, window_stream=COPIES))
    assert "(within stream)" in only.claim
    assert only.charts[0].where["scope"] == "stream"


def test_control_rows_should_have_no_copy():
    roles = ["train"] * 300 + ["control"] * 100
    clean = compute(study(copies=COPIES[:300] + [0] * 100, roles=roles))
    assert clean.control == "None of 100 control rows has a copy in the corpus at 32 + 32 tokens."
    assert not any("leak" in caveat for caveat in clean.caveats)
    leaking = compute(study(copies=COPIES[:300] + [0] * 93 + [2] * 7, roles=roles))
    assert leaking.caveats[0] == (
        "The control leaks: 7 of 100 control rows have a copy in the corpus at 32 + 32 tokens, "
        "so that a model may have been trained on them."
    )
    assert leaking.table("shares")["role"].unique().to_list() == ["train"]


def test_copies_are_compared_with_repetitions():
    finding = compute(study(repetitions=COPIES))
    assert any(c == "All 400 rows with a recorded number of repetitions have as many copies in the corpus."
               for c in finding.caveats)  # fmt: skip
    once = compute(study(repetitions=COPIES, copies=[1] * 400))
    assert once.claim == (
        "At 32 + 32 tokens m1 recites 27.5 % (23.4 to 32.1 %) of the 400 rows with 1 copy in the corpus (within rows); "
        "all rows fall into one bucket of copies, so that growth with them cannot be said."
    )
    assert once.charts == ()
    assert once.strength is None
    assert any("holds each row once, though rows were shown up to 100 times" in caveat for caveat in once.caveats)
    agreement = once.table("agreement")
    assert agreement["repetitions"].to_list() == [1, 10, 100]
    assert agreement.select("rows", "equal").rows() == [(200, 200), (100, 0), (100, 0)]


def test_agreement_is_counted_by_scope_and_number():
    rows = pl.DataFrame(
        {
            "context": 32,
            "continuation": 32,
            "repetitions": [4, 4, 4, None],
            "window_rows": [4, 2, 9, 4],
            "window_documents": [4, 4, None, 4],
            "window_stream": [None] * 4,
        }
    )
    records = copy_agreement(rows).drop("context", "continuation").rows()
    assert records == [("rows", 4, 3, 1, 2, 5.0, 9), ("documents", 4, 2, 2, 4, 4.0, 4)]


def test_rows_without_copies_are_reported():
    finding = compute(study(copies=[None] * 50 + [0] * 30 + COPIES[80:]))
    assert finding.table("shares").filter(model="m0")["rows"].sum() == 320
    assert "50 training rows have no count of copies and are left out." in finding.caveats
    assert any(caveat.startswith("30 training rows have no copy in the corpus that was") for caveat in finding.caveats)


@pytest.mark.parametrize(
    ("study_tables", "missing"),
    [
        (tables({"m": {CELL: RECITED}}), "a count of each row's copies in the corpus"),
        (study(copies=None), "a count of each row's copies in the corpus"),
        (study(copies=[0] * 400), "training rows whose copies in the corpus were counted"),
        (study(roles=["control"] * 400), "scored training rows"),
        (
            with_features(tables({"m": {CELL: [32] * 5}}, complete=False)),
            "scores of all rows, not of recited rows alone",
        ),
    ],
)
def test_missing_data_is_reported(study_tables, missing):
    finding = compute(study_tables)
    assert (
        finding.claim == f"How memorization grows with copies in the corpus cannot be said: the study lacks {missing}."
    )
    assert finding.missing
    assert finding.tables == ()


def test_the_claim_cites_buckets_of_enough_rows():
    finding = compute(study(matches=[*RECITED, 32], copies=[*COPIES, 5000]))
    assert "with 100 copies" in finding.claim
    assert finding.table("shares").filter(model="m1")["few"].to_list() == [False, False, False, True]
    few = compute(study(matches=[0, 32], copies=[1, 9]))
    assert "of the 1 row with 9 copies" in few.claim
    between = compute(study(matches=[0] * 4, copies=[6, 6, 8, 9]))
    assert "of the 2 rows with about 8.5 copies" in between.claim


def test_two_buckets_give_a_slope_without_an_interval():
    counts = pl.DataFrame(
        {"model": "m", "role": "train", "context": 32, "continuation": 32, "scope": "rows", "copies": [1.0, 10.0],
         "rows": [10, 10], "memorized": [1, 4]}
    )  # fmt: skip
    slope = copy_slopes(counts).row(0, named=True)
    assert slope["slope"] == pytest.approx(0.3)
    assert (slope["slope_lower"], slope["reason"]) == (None, "an interval needs 3 buckets")


def test_alike_rows_of_a_document_count_as_one():
    """Every row stands five times in its document: shares stay, intervals are those of the documents."""

    def five_times(values):
        return [value for value in values for _ in range(5)]

    once = compute(study())
    copied = study(matches=five_times(RECITED), copies=five_times(COPIES))
    finding = compute(with_documents(copied, five_times(range(400))))
    expected, shares = (found.table("shares").filter(model="m1") for found in (once, finding))
    assert shares["clusters"].to_list() == expected["rows"].to_list() == expected["clusters"].to_list()
    assert shares["design_effect"].to_list() == pytest.approx([5] * 3, rel=0.03)
    for end in ("share", "share_lower", "share_upper"):
        assert shares[end].to_list() == pytest.approx(expected[end].to_list(), abs=0.01)
    expected, slope = (found.table("slopes").row(0, named=True) for found in (once, finding))
    assert slope["clusters"] == 400
    assert slope["slope"] == pytest.approx(expected["slope"], abs=0.002)
    assert "no interval" not in finding.claim
    unknown = compute(copied).table("shares").filter(model="m1")
    assert unknown["share_upper"][0] < shares["share_upper"][0] - 0.02


def test_a_bucket_weighs_as_much_as_its_documents():
    """The first bucket has 20 documents of ten rows alike: it weighs about as 20 rows, not as 200."""
    documents = [*(row // 10 for row in range(200)), *range(20, 220)]
    alike = [32] * 20 + [0] * 180 + RECITED[200:]
    slope = compute(with_documents(study(matches=alike), documents)).table("slopes").row(0, named=True)
    x, y, w = np.array([0, 1, 2]), np.array([0.1, 0.3, 0.6]), np.array([200, 100, 100])
    few = np.array([20, 100, 100])
    by_rows, by_documents = (np.polyfit(x, y, 1, w=np.sqrt(weights))[0] for weights in (w, few))
    assert by_documents - by_rows > 0.01
    assert slope["slope"] == pytest.approx(by_documents, abs=0.003)
    assert compute(study(matches=alike)).table("slopes")["slope"][0] == pytest.approx(by_rows)
