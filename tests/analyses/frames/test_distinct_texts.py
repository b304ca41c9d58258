"""Shares of distinct texts: 150 mails, of which 8 are recited and stand 16 times each in the training file."""

import polars as pl
import pytest

from mematlas.analyses import ANALYSES, recount
from mematlas.analyses.scores import continuation
from mematlas.analyses.scores.distribution import finding as distribution
from mematlas.analyses.scores.size import finding as size
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import tables, with_copies, with_features

#: The text of each row: mails 0 to 7 stand 16 times each, two others 15 and 11 times, 140 once; 294 rows in all.
COPIES = [*[16] * 8, 15, 11, *[1] * 140]
TEXTS = [mail for mail, count in enumerate(COPIES) for _ in range(count)]
MATCHES = [32 if mail < 8 else 0 for mail in TEXTS]


def mails(texts=TEXTS, matches=MATCHES, **options):
    return with_copies(tables({"m": {(32, 32): matches}}, **options), texts)


def record(finding, **where):
    return finding.table("texts").filter(**where).row(0, named=True)


def test_the_share_of_distinct_texts_is_said_first_and_the_rows_beside():
    finding = distribution.compute(mails())
    assert finding.claim.startswith(
        "At 32 + 32 tokens m recites 5.3 % (2.7 to 10.2 %) of 150 distinct texts whole (8 texts, 128 of 294 rows) and "
        "misses every token of 56.5 % ("
    )
    found = record(finding)
    assert (found["texts"], found["recited_texts"], found["rows"], found["recited"]) == (150, 8, 294, 128)
    # Wilson's interval of 8 of 150, by hand
    shares = (8 / 150, 0.02727, 0.10170)
    assert (found["share"], found["share_lower"], found["share_upper"]) == pytest.approx(shares, abs=1e-5)
    assert (found["clusters"], found["design_effect"]) == (150, 1)


def test_texts_that_are_near_copies_of_each_other_are_one_cluster():
    """Two mails that share 13 tokens, and all their copies, are one observation, but two texts."""
    study = mails([0, 0, 1, 2, 3], [32, 32, 32, 0, 0])
    tokens = study.features["tokens"].collect()["tokens"].to_list()
    tokens[2] = tokens[0][:40] + tokens[2][40:]
    study.features["tokens"] = pl.LazyFrame({"row": range(5), "tokens": tokens})
    found = record(distribution.compute(study))
    assert (found["texts"], found["recited_texts"], found["rows"], found["clusters"]) == (4, 2, 5, 3)


def test_without_copies_no_sentence_and_no_table_speaks_of_texts():
    plain = tables({"m": {(32, 32): MATCHES}})
    distinct = distribution.compute(with_copies(plain, range(len(MATCHES))))
    assert distinct.claim == distribution.compute(plain).claim
    assert [table.name for table in distinct.tables] == ["classes", "survival", "means"]


def test_without_tokens_every_row_counts():
    finding = distribution.compute(tables({"m": {(32, 32): MATCHES}}))
    assert "43.5 % (38.0 to 49.3 %) of 294 rows whole" in finding.claim
    assert "texts" not in [table.name for table in finding.tables]


def test_the_same_text_in_training_rows_and_control_is_two_texts():
    roles = ["train", "train", "control", "control", "train"]
    finding = distribution.compute(mails([0, 0, 0, 0, 1], [32, 32, 32, 32, 0], roles=roles))
    train, control = (record(finding, role=role) for role in ("train", "control"))
    assert (train["texts"], train["recited_texts"], train["rows"]) == (2, 1, 3)
    assert (control["texts"], control["recited_texts"], control["rows"]) == (1, 1, 2)


def test_copies_in_the_control_alone_do_not_change_the_claim():
    roles = ["train", "train", "control", "control"]
    finding = distribution.compute(mails([0, 1, 2, 2], [32, 0, 0, 0], roles=roles))
    assert "of 2 rows whole" in finding.claim


def test_a_text_whose_first_row_was_not_scored_counts_by_the_next():
    study = tables({"m": {(32, 32): [None, 32, 32, 0]}})
    found = record(distribution.compute(with_copies(study, [0, 0, 0, 1])))
    assert (found["texts"], found["recited_texts"], found["rows"], found["recited"]) == (2, 1, 3, 2)


def test_a_cell_has_its_own_texts():
    """Rows that differ only behind the shorter cell are one text there."""
    study = with_features(tables({"m": {(32, 16): [16, 16, 0], (32, 32): [32, 0, 0]}}))
    beginning = list(range(48))
    tokens = [beginning + [1] * 16, beginning + [2] * 16, [3] * 64]
    study.features["tokens"] = pl.LazyFrame({"row": range(3), "tokens": tokens})
    finding = distribution.compute(study)
    assert record(finding, continuation=16)["texts"] == 2
    assert record(finding, continuation=32)["texts"] == 3
    claim = continuation.compute(study).claim
    assert "of 2 distinct texts whole over 16 tokens (1 text, 2 of 3 rows) and 33.3 % (" in claim
    assert ") of 3 over 32 (1 text, 1 of 3 rows); of 2 rows memorized at the shortest" in claim


def test_the_claim_of_size_is_on_distinct_texts():
    cells = {(32, 32): MATCHES}
    nothing = {(32, 32): [0] * len(MATCHES)}
    claim = size.compute(with_copies(tables({"a": nothing, "b": cells}), TEXTS)).claim
    assert claim == (
        "At 32 + 32 tokens a recites 0.0 % (0.0 to 2.5 %) of 150 distinct texts whole (0 texts, 0 of 294 rows), b "
        "recites 5.3 % (2.7 to 10.2 %) of 150 distinct texts whole (8 texts, 128 of 294 rows)."
    )


def test_recount_has_one_record_per_text(tmp_path):
    study = write_study(mails(), tmp_path)
    found = recount.texts(study)
    assert found.height == 150
    assert found.sort("text")["text"].head(2).to_list() == [0, 16]
    assert found.filter(text=0).select("rows", "recited", "recited_texts").row(0) == (16, 16, 1)
    plain = write_study(tables({"m": {(32, 32): MATCHES}}), tmp_path / "plain")
    assert recount.texts(plain)["rows"].unique().to_list() == [1]


def test_rows_that_a_finding_names_are_distinct_texts():
    """Six rows of one text and six of another are brought out by the longer context."""
    grid = {(16, 32): [0] * 12, (32, 32): [32] * 12}
    finding = ANALYSES.load("context").compute(with_copies(tables({"m": grid}), [0] * 6 + [1] * 6))
    assert list(finding.rows) == [0, 6]
    assert list(ANALYSES.load("context").compute(tables({"m": grid})).rows) == [0, 1, 2, 3]
