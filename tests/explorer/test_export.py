"""Exported rows are the selected ones, in their order, and the next command accepts them."""

import io
import shlex

import polars as pl
import pytest

from mematlas.cli import run
from mematlas.explorer import export
from mematlas.explorer.routes import Explorer
from mematlas.study import open_study
from tests.explorer.asking import ask, refusal

QUERY = {"model": "s3", "context": 32, "continuation": 32, "compare": "s4", "sort": "margin", "matches_min": 2}


def shown(full):
    frame = pl.DataFrame(ask(full, "/api/rows", **QUERY, limit=1000)["rows"], infer_schema_length=None)
    return frame.drop("context_text", "true_text")


@pytest.mark.parametrize("block", [1 << 18, 7])
def test_tables_have_the_rows_of_the_page(full, monkeypatch, block):
    monkeypatch.setattr(export, "_BLOCK", block)
    expected = shown(full)
    assert expected.height > 50
    for format, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet)):
        options = {"infer_schema_length": None} if format == "csv" else {}
        found = read(io.BytesIO(ask(full, "/api/export", **QUERY, format=format)), **options)
        assert found.columns == expected.columns
        for name in found.columns:
            ours, theirs = (frame[name].cast(expected[name].dtype).to_list() for frame in (found, expected))
            if name in ("margin", "m", "risk"):
                ours, theirs = ([None if x is None else round(x, 5) for x in values] for values in (ours, theirs))
            assert ours == theirs, name


def test_an_empty_selection_has_columns_and_no_row(full):
    for format, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet)):
        found = read(io.BytesIO(ask(full, "/api/export", format=format, row_min=10**9)))
        assert (found.height, found.columns) == (0, list(export.COLUMNS))
    error = "No row of the corpus is selected, so there is no id to list; select rows of role train."
    assert refusal(full, "/api/export", format="ids", role="control") == error


def test_the_answer_names_the_file(full):
    for format, name in (("csv", "rows.csv"), ("parquet", "rows.parquet"), ("ids", "rows.ids.txt")):
        answer = full.answer("/api/export", f"format={format}")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        answer.body.unlink()
    assert refusal(full, "/api/export", format="exe") == "format: 'exe' is not one of csv, parquet, ids."
    assert refusal(full, "/api/export").startswith("format: None is not one of")


def test_a_search_is_exported_to_its_end(full):
    found = ask(full, "/api/rows", **QUERY, search="17", limit=1000)["rows"]
    csv = pl.read_csv(io.BytesIO(ask(full, "/api/export", **QUERY, search="17", format="csv")))
    assert csv["row"].to_list() == [row["row"] for row in found]


def test_the_command_that_the_page_names_scores_the_selection_again(shelf, monkeypatch, capsys):
    monkeypatch.chdir(shelf)
    explorer = Explorer(open_study("study"))
    query = {"model": "parrot-16", "continuation": 12, "matches_min": 1, "matches_max": 11}
    selected = [row for row in ask(explorer, "/api/rows", **query)["rows"] if row["role"] == "train"]
    assert 0 < len(selected) < 30
    (shelf / "rows.ids.txt").write_bytes(ask(explorer, "/api/export", **query, format="ids"))
    command = ask(explorer, "/api/study")["next_command"].format(file="rows.ids.txt")
    words = shlex.split(command)
    assert words[:2] == ["mematlas", "score"]
    assert run(words[1:]) == 0, capsys.readouterr().err
    again = open_study("study-selection")
    assert again.rows()["row"].to_list() == sorted(row["row"] for row in selected)
    before = open_study("study").scores().filter(pl.col("row").is_in([row["row"] for row in selected]))
    keys = ["model", "row", "context", "continuation"]
    assert again.scores().sort(keys).equals(before.sort(keys))


def test_without_a_corpus_no_command_is_named(full):
    assert ask(full, "/api/study")["next_command"] is None
