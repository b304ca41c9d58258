"""`mematlas slurm`, and the output of `show` for a run with unfinished slices."""

import os
import subprocess

import numpy as np
import pytest

import mematlas

OPTIONS = ["--corpus", "rows of mine.npy", "--study", "a study", "--context", "8", "--context", "12", "--bos"]


def test_the_script_runs_every_task_with_its_slice_and_the_same_options(cli, tmp_path):
    script = tmp_path / "score it.sh"
    code, out, err = cli("slurm", "uniform:61", "it's", *OPTIONS, "--tasks", 8, "--sbatch=--mem=3G", "--script", script)
    assert (code, err) == (0, "")
    assert f"sbatch '{script}'" in out
    assert "mematlas show 'a study'" in out
    assert "#SBATCH --array=1-8\n" in script.read_text()
    assert "#SBATCH --mem=3G\n" in script.read_text()
    (tmp_path / "mematlas").write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    (tmp_path / "mematlas").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3"}
    completed = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=True)
    words = completed.stdout.splitlines()
    assert words[:3] == ["score", "uniform:61", "it's"]
    assert words[-2:] == ["--shard", "3/8"]
    options = " ".join(words[3:-2])
    assert options == "--corpus rows of mine.npy --study a study --context 8 --context 12 --bos"


def test_without_a_file_the_script_is_printed(cli):
    code, out, _ = cli("slurm", "uniform:61", *OPTIONS, "--tasks", 2)
    assert code == 0
    assert out.startswith("#!/bin/bash\n")
    assert out.endswith('--shard "$SLURM_ARRAY_TASK_ID/2"\n')


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["uniform:61", *OPTIONS, "--tasks", "0"], "--tasks 0: an array has at least one task."),
        ([*OPTIONS, "--tasks", "2"], "No model was given"),
        (
            ["uniform:61", *OPTIONS, "--tasks", "2", "--sbatch=mem"],
            "--sbatch 'mem' is not an option of sbatch; write it as in",
        ),
        (["uniform:61", *OPTIONS, "--tasks", "2", "--settle"], "--settle scores 16-bit rows again"),
    ],
)
def test_wrong_options_are_one_line(cli, words, part):
    code, out, err = cli("slurm", *words)
    assert code == 2
    assert out == ""
    assert err.startswith("mematlas: ")
    assert err.count("\n") == 1
    assert part in err


def test_an_existing_script_is_not_overwritten(cli, tmp_path):
    (tmp_path / "s.sh").write_text("mine")
    code, _, err = cli("slurm", "uniform:61", *OPTIONS, "--tasks", 2, "--script", tmp_path / "s.sh")
    assert code == 1
    assert "already exists and is not overwritten" in err
    assert (tmp_path / "s.sh").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--shard", "3/2"], "--shard 3/2: i counts from 1 to n; give 1/2 to 2/2."),
        (
            ["--address", "auto"],
            "--address auto is an option of Ray clusters only: add --executor ray, or leave it out.",
        ),
        (["--gpus-per-worker", "1"], "--gpus-per-worker 1.0 is an option of Ray clusters only"),
        (
            ["--executor", "ray", "--gpus-per-worker", "1.5"],
            "--gpus-per-worker: a fraction of one GPU, or a whole number",
        ),
        (["--executor", "rey"], "--executor: Input should be 'local' or 'ray' (given: 'rey')"),
        (["--workers", "0"], "--workers: Input should be greater than 0"),
    ],
)
def test_worker_options_are_checked_before_anything_starts(cli, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("score", "uniform:61", "--corpus", "rows.npy", "--study", "s", *words)
    assert code in (1, 2)
    assert part in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_show_lists_the_shards_that_are_missing(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).integers(1, 60, (28, 24)))
    score = ["score", "uniform:61", "--corpus", "rows.npy", "--study", "s", "--context", 8, "--continuation", 8]
    code, out, _ = cli(*score, "--shards", 7, "--shard", "2/5")
    assert code == 0
    assert out == "Slice 2/5 is scored; 5 of 7 shards are missing. List them: mematlas show s\n"
    _, out, _ = cli("show", "s")
    assert "2 of 7 shards: run the same command again to complete it" in out
    assert "  uniform-61: 5 of 7 shards are missing: 0, 2-5\n" in out
    code, out, _ = cli(*score, "--shards", 7)
    assert out == "Scores are in s. Show them: mematlas show s\n"
    assert "missing: " not in cli("show", "s")[1]
    assert mematlas.open_study("s").scores().height == 28
