"""The settings of a run as the report shows them, beside the number of rows."""

from mematlas.report.provenance import settings
from mematlas.study import Run

SETTINGS = {
    "corpus": "chat.jsonl",
    "corpus_format": "jsonl",
    "rows": "all",
    "row_counts": {"train": 13, "control": 10},
    "control": "control.jsonl",
    "context": [32],
    "continuation": [32],
}


def shown(**changes):
    run = Run("key", "rows", 1, {}, SETTINGS | changes, 0.0)
    return settings(run)


def test_what_is_left_out_stands_beside_the_number_of_rows():
    short = {"unit": "documents", "count": 1000, "total": 1001, "reason": "shorter than 64 tokens"}
    tokens = {"unit": "tokens", "count": 7, "total": 71, "reason": "at the end of the file"}
    rows = {"unit": "rows", "count": 1, "total": 10, "reason": "shorter than 64 tokens"}
    named = shown(left_out={"train": [short, tokens], "control": [rows]})
    assert [name for name, _ in named[:5]] == ["Corpus", "Rows", "Left out", "Left out of the control", "Control"]
    assert named[2][1] == "1,000 of 1,001 documents, shorter than 64 tokens; 7 of 71 tokens, at the end of the file"
    assert named[3][1] == "1 of 10 rows, shorter than 64 tokens"


def test_nothing_is_said_of_nothing():
    assert [name for name, _ in shown(left_out={})[:3]] == ["Corpus", "Rows", "Control"]
    assert dict(shown(shared_rows={"count": 0, "total": 10}))["Control"] == "control.jsonl"
    assert dict(shown(control=None))["Control"] == "none: shares have no baseline to be compared with"


def test_a_run_of_an_older_version_shows_what_its_corpus_recorded():
    details = {"row_length": 64, "cut": "rows", "documents": 3, "short_documents": 2, "dropped_tokens": 9}
    assert dict(shown(corpus_details=details))["Left out"].startswith("2 of 3 documents, shorter than 64 tokens; 9 tok")


def test_a_control_that_shares_rows_with_the_corpus_is_named_as_such():
    assert dict(shown(shared_rows={"count": 3, "total": 400}))["Control"] == (
        "control.jsonl; no clean control: 3 of 400 control rows (0.75 %) are also scored rows of the corpus"
    )
