"""`mematlas slurm`, and what `show` says of a run that other shares are still to finish."""

import os
import subprocess

import numpy as np
import pytest

import mematlas

GIVEN = ["--corpus", "rows of mine.npy", "--study", "a study", "--context", "8", "--context", "12", "--bos"]


def test_the_script_runs_every_task_with_its_share_and_the_same_options(say, tmp_path):
    script = tmp_path / "score it.sh"
    code, out, said = say("slurm", "uniform:61", "it's", *GIVEN, "--tasks", 8, "--sbatch=--mem=3G", "--script", script)
    assert (code, said) == (0, "")
    assert f"sbatch '{script}'" in out
    assert "mematlas show 'a study'" in out
    assert "#SBATCH --array=1-8\n" in script.read_text()
    assert "#SBATCH --mem=3G\n" in script.read_text()
    (tmp_path / "mematlas").write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    (tmp_path / "mematlas").chmod(0o755)
    told = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3"}
    done = subprocess.run(["bash", str(script)], env=told, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[:3] == ["score", "uniform:61", "it's"]
    assert words[-2:] == ["--shard", "3/8"]
    options = " ".join(words[3:-2])
    assert options == "--corpus rows of mine.npy --study a study --context 8 --context 12 --bos"


def test_without_a_file_the_script_is_printed(say):
    code, out, _ = say("slurm", "uniform:61", *GIVEN, "--tasks", 2)
    assert code == 0
    assert out.startswith("#!/bin/bash\n")
    assert out.endswith('--shard "$SLURM_ARRAY_TASK_ID/2"\n')


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["uniform:61", *GIVEN, "--tasks", "0"], "--tasks 0: an array has at least one task."),
        ([*GIVEN, "--tasks", "2"], "No model was given"),
        (
            ["uniform:61", *GIVEN, "--tasks", "2", "--sbatch=mem"],
            "--sbatch 'mem' is no option of sbatch; write it as in",
        ),
        (["uniform:61", *GIVEN, "--tasks", "2", "--settle"], "--settle re-runs 16-bit rows"),
    ],
)
def test_wrong_options_are_one_line(say, words, part):
    code, out, said = say("slurm", *words)
    assert code == 1
    assert out == ""
    assert said.startswith("mematlas: ")
    assert said.count("\n") == 1
    assert part in said


def test_a_script_that_is_there_is_left_as_it_is(say, tmp_path):
    (tmp_path / "s.sh").write_text("mine")
    code, _, said = say("slurm", "uniform:61", *GIVEN, "--tasks", 2, "--script", tmp_path / "s.sh")
    assert code == 1
    assert "is there already and is left as it is" in said
    assert (tmp_path / "s.sh").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--shard", "3/2"], "--shard 3/2: i counts from 1 to n; give 1/2 to 2/2."),
        (["--address", "auto"], "--address auto is said to a Ray cluster: add --executor ray, or leave it out."),
        (["--gpus-per-worker", "1"], "--gpus-per-worker 1.0 is said to a Ray cluster"),
        (["--executor", "ray", "--gpus-per-worker", "1.5"], "--gpus-per-worker: a part of one GPU, or a whole number"),
        (["--executor", "rey"], "--executor: Input should be 'local' or 'ray' (given: 'rey')"),
        (["--workers", "0"], "--workers: Input should be greater than 0"),
    ],
)
def test_options_of_where_it_runs_are_checked_before_anything_is_begun(say, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    code, _, said = say("score", "uniform:61", "--corpus", "rows.npy", "--study", "s", *words)
    assert code in (1, 2)
    assert part in said
    assert said.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_show_names_the_shards_that_other_shares_are_to_score(say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).integers(1, 60, (28, 24)))
    score = ["score", "uniform:61", "--corpus", "rows.npy", "--study", "s", "--context", 8, "--continuation", 8]
    code, out, _ = say(*score, "--shards", 7, "--shard", "2/5")
    assert code == 0
    assert out == "Share 2/5 is scored; 5 of 7 shards are missing. See which: mematlas show s\n"
    _, out, _ = say("show", "s")
    assert "2 of 7 shards: run the same command again to finish it" in out
    assert "  uniform-61 lacks 5 of 7 shards: 0, 2-5\n" in out
    code, out, _ = say(*score, "--shards", 7)
    assert out == "Scores are in s. Look at them: mematlas show s\n"
    assert "lacks" not in say("show", "s")[1]
    assert mematlas.open_study("s").scores().height == 28
