"""The output and errors of `mematlas predict`."""

import json
import shlex

import polars as pl
import pytest

from mematlas.cli import run
from mematlas.study import open_study
from tests.predictors.test_screening import CONTEXT, LENGTH, ROWS, predictor_folder, ragged, shelf

__all__ = ["shelf"]


@pytest.fixture
def predict(capsys, shelf, tmp_path):
    def run_predict(*words, corpus=None, predictor=None):
        capsys.readouterr()
        paths = ["--corpus", corpus or shelf / "rows.npy", "--predictor", predictor or predictor_folder(shelf)]
        code = run([str(word) for word in ("predict", shelf / "model", *paths, "--out", tmp_path / "out", *words)])
        return code, *capsys.readouterr()

    return run_predict


def test_it_prints_how_many_rows_are_flagged_and_what_to_run_next(predict, shelf, tmp_path):
    code, out, err = predict("--threshold", "0.01", "--batch", "16")
    (folder,) = (tmp_path / "out").iterdir()
    table = pl.read_parquet(sorted(folder.glob("shard-*.parquet")))
    share = table["expected"].mean()
    first, second, third, last = out.splitlines()
    assert code == 0
    assert first == (
        f"{ROWS} of {ROWS} rows are flagged (expected score M >= 0.01): after {CONTEXT} tokens of context, model is "
        f"expected to recite {share:.1%} of the next {LENGTH} tokens, over all rows."
    )
    assert second.startswith(
        "Probabilities are calibrated to the corpus of the study in which the predictor was fitted"
    )
    assert third == f"The table is in {folder} (columns: docs/predicting.md)."
    assert last == (
        f"Score the flagged rows: mematlas score {shelf / 'model'} --corpus {shelf / 'rows.npy'} "
        f"--rows ids:{folder / 'flagged.npy'} --context {CONTEXT} --continuation {LENGTH} --batch 16 --study flagged"
    )
    assert f"model: {ROWS} of {ROWS} rows" in err


def test_it_prints_the_same_as_json(predict, tmp_path):
    code, out, _ = predict("--threshold", "1", "--json")
    printed = json.loads(out)
    (folder,) = (tmp_path / "out").iterdir()
    assert code == 0
    assert (printed["folder"], printed["rows"], printed["flagged"]) == (str(folder), ROWS, 0)
    assert printed["score_flagged"] is None
    assert 0 < printed["expected"] < 1


def test_the_printed_command_scores_the_flagged_rows(predict, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, out, _ = predict("--threshold", "0.01", "--rows", "sample:5:1", "--batch", "16")
    words = shlex.split(out.splitlines()[-1].partition(": ")[2])
    assert run(words[1:]) == 0
    assert open_study(tmp_path / "flagged").scores().height == 5


def test_no_command_is_printed_if_nothing_is_flagged(predict):
    code, out, _ = predict("--threshold", "1")
    assert code == 0
    assert out.startswith(f"0 of {ROWS} rows are flagged")
    assert "mematlas score" not in out


def test_rows_that_are_left_out_are_reported(predict, shelf, tmp_path):
    _, out, _ = predict(corpus=ragged(tmp_path / "ragged.parquet", [3, 20, 8, 7, 12], shelf))
    assert "2 rows are shorter than 8 tokens and were left out" in out.splitlines()[0]


def test_a_second_run_reports_that_all_is_done(predict):
    first = predict()
    again = predict()
    assert again[:2] == first[:2]
    assert f"all {ROWS} rows are done already" in again[2]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--threshold", "2"], "--threshold"),
        (["--shards", "0"], "--shards"),
        (["--context", "8"], "--context"),
        (["--rows", "some"], "No selection is called 'some'"),
    ],
)
def test_a_wrong_option_is_one_line(predict, words, part):
    code, out, err = predict(*words)
    assert code in (1, 2)
    assert out == ""
    assert err.count("\n") == 1
    assert part in err


def test_a_folder_without_a_predictor_is_one_line(predict, tmp_path):
    code, _, err = predict(predictor=tmp_path)
    assert code == 1
    assert err == (
        f"mematlas: {tmp_path} contains no predictor; `mematlas fit STUDY` writes them to "
        "STUDY/predictors/RUN/MODEL/context.\n"
    )
