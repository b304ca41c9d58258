"""What a user of `mematlas predict` reads."""

import shlex

import polars as pl
import pytest

from mematlas.cli.commands import run
from mematlas.study import open_study
from tests.predictors.test_screening import CONTEXT, LENGTH, ROWS, predictor_folder, ragged, shelf

__all__ = ["shelf"]


@pytest.fixture
def say(capsys, shelf, tmp_path):
    def told(*words, corpus=None, predictor=None):
        capsys.readouterr()
        paths = ["--corpus", corpus or shelf / "rows.npy", "--predictor", predictor or predictor_folder(shelf)]
        code = run([str(word) for word in ("predict", shelf / "model", *paths, "--out", tmp_path / "out", *words)])
        return code, *capsys.readouterr()

    return told


def test_it_says_how_many_rows_are_flagged_and_what_to_run_next(say, shelf, tmp_path):
    code, out, said = say("--threshold", "0.01", "--batch", "16")
    (folder,) = (tmp_path / "out").iterdir()
    table = pl.read_parquet(sorted(folder.glob("shard-*.parquet")))
    share = table["expected"].mean()
    first, second, third, last = out.splitlines()
    assert code == 0
    assert first == (
        f"{ROWS} of {ROWS} rows are flagged (expected score M >= 0.01): after {CONTEXT} tokens of context, model is "
        f"expected to recite {share:.1%} of the next {LENGTH} tokens, over all rows."
    )
    assert second.startswith("Probabilities are calibrated to the corpus of the study that the predictor was fitted in")
    assert third == f"The table is in {folder} (columns: docs/predicting.md)."
    assert last == (
        f"Look how much of them is recited: mematlas score {shelf / 'model'} --corpus {shelf / 'rows.npy'} "
        f"--rows ids:{folder / 'flagged.npy'} --context {CONTEXT} --continuation {LENGTH} --batch 16 --study flagged"
    )
    assert f"model: {ROWS} of {ROWS} rows" in said


def test_the_command_that_it_names_scores_the_flagged_rows(say, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, out, _ = say("--threshold", "0.01", "--rows", "sample:5:1", "--batch", "16")
    words = shlex.split(out.splitlines()[-1].partition(": ")[2])
    assert run(words[1:]) == 0
    assert open_study(tmp_path / "flagged").scores().height == 5


def test_where_nothing_is_flagged_no_command_is_named(say):
    code, out, _ = say("--threshold", "1")
    assert code == 0
    assert out.startswith(f"0 of {ROWS} rows are flagged")
    assert "mematlas score" not in out


def test_rows_left_out_are_told(say, shelf, tmp_path):
    _, out, _ = say(corpus=ragged(tmp_path / "ragged.parquet", [3, 20, 8, 7, 12], shelf))
    assert "2 rows are shorter than 8 tokens and were left out" in out.splitlines()[0]


def test_again_it_says_that_all_is_there(say):
    first = say()
    again = say()
    assert again[:2] == first[:2]
    assert f"all {ROWS} rows are there already" in again[2]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--threshold", "2"], "--threshold"),
        (["--shards", "0"], "--shards"),
        (["--context", "8"], "--context"),
        (["--rows", "some"], "No selection is called 'some'"),
    ],
)
def test_what_is_wrong_is_one_line(say, words, part):
    code, out, said = say(*words)
    assert code in (1, 2)
    assert out == ""
    assert said.count("\n") == 1
    assert part in said


def test_a_folder_without_a_predictor_is_one_line(say, tmp_path):
    code, _, said = say(predictor=tmp_path)
    assert code == 1
    assert said == (
        f"mematlas: {tmp_path} holds no predictor; `mematlas fit STUDY` writes them to "
        "STUDY/predictors/RUN/MODEL/context.\n"
    )
