"""List options take commas, repeats, and both: `--context 16,32 --context 64`."""

import json
from pathlib import Path

import numpy as np
import pytest

from mematlas.cli import COMMANDS, command_app
from mematlas.study import open_study

SCORE = ("score", "parrot:rows.npy", "--corpus", "rows.npy", "--study", "study")
#: The list options, and why one of another program is none.
LISTS = {
    "score": {"--context", "--continuation", "--control-models", "--signals", "--temperature"},
    "slurm": {"--context", "--continuation", "--control-models", "--signals", "--temperature", "--sbatch"},
    "plan": {"--context", "--continuation"},
    "import": {"--models"},
    "fit": {"--models", "--sees", "--inputs"},
    "analyze": {"--only", "--export"},
    "report": {"--format"},
    "audit": {"--fail-on"},
    "trace-states": {"--pictures"},
    "probe layers": {"--looks", "--strengths", "--pictures"},
    "probe prior": {"--pictures"},
    "probe prompts": {"--looks", "--changes", "--parts", "--strengths", "--pictures"},
    "probe style": {"--pictures"},
    "probe ratios": {"--pictures"},
    "probe compress": {"--pictures"},
    "canaries": {"--repetitions"},
    "stress": {"--shifts", "--substitutions", "--pictures"},
    "probe tasks": {"--n", "--gamma", "--control", "--pictures"},
    "probe recall": {"--template", "--shots", "--invariance", "--temperatures", "--pictures"},
    "rows": {"--model", "--level"},
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).integers(1, 57, (30, 100)))
    np.save("a,b.npy", np.load("rows.npy")[:3])


def test_the_list_options_are_those_that_are_tested():
    lists = {
        command: {
            argument.name
            for argument in command_app(command).assemble_argument_collection()
            if argument.name.startswith("--") and "list[" in str(argument.hint)
        }
        for command in COMMANDS
    }
    assert {command: names for command, names in lists.items() if names} == LISTS


@pytest.mark.parametrize(
    "words",
    [
        ["--context", "8,16", "--context", "32", "--continuation", "4,8"],
        ["--context", "8", "--context", "16", "--context", "32", "--continuation", "8", "--continuation", "4"],
        ["--context=32, 16,8", "--continuation=4, 8"],
        ["--context", "32,8,16,8", "--continuation", "4,8"],
    ],
)
def test_lengths(cli, words):
    code, _, err = cli(*SCORE, *words)
    assert code == 0, err
    settings = open_study("study").run().settings
    assert (settings["context"], settings["continuation"]) == ([8, 16, 32], [4, 8])


def test_signals_temperatures_and_control_models(cli):
    controls = ["--control-models", "uniform:60,uniform:61", "--control-models", "parrot:a,b.npy:9"]
    signals = ["--signals", "free,truth", "--temperature", "0.5,2", "--temperature", "4"]
    code, _, err = cli(*SCORE, "--context", "8", "--continuation", "4", *controls, *signals)
    assert code == 0, err
    run = open_study("study").run()
    assert len(run.models) == 4
    assert run.settings["signals"] == ["free", "truth"]
    assert run.settings["temperature"] == [0.5, 2.0, 4.0]
    manifest = json.loads(Path("study/manifest.json").read_text())
    assert manifest["runs"][run.key]["configuration"]["control_models"] == [
        *("uniform:60", "uniform:61", "parrot:a,b.npy:9"),
    ]


@pytest.mark.parametrize("words", [["--context", "16,32", "--context", "64"], ["--context=64,16", "--context=32"]])
def test_plan(cli, words):
    code, out, _ = cli("plan", *words, "--continuation", "8,16")
    assert code == 0
    assert out.startswith("146,432,000 rows, contexts [16, 32, 64] x continuations [8, 16]: ")


@pytest.mark.parametrize(
    ("only", "export"),
    [
        (["--only", "distribution,context"], ["--export", "csv,latex"]),
        (["--only", "distribution", "context"], ["--export", "csv", "latex"]),
        (["--only", "distribution", "--only", "context"], ["--export", "csv", "--export", "latex"]),
    ],
)
def test_analyses_and_formats(cli, only, export):
    cli(*SCORE, "--context", "8,16", "--continuation", "4")
    code, out, err = cli("analyze", "study", *only, *export)
    assert code == 0, err
    assert "2 findings are in" in out
    assert "(csv, latex)" in out
    findings = next(Path("study/findings").iterdir())
    assert {path.suffix for path in (findings / "context").iterdir()} >= {".csv", ".tex"}


@pytest.mark.parametrize(
    "words", [["--format", "png,svg"], ["--format", "svg", "png"], ["--format=PNG", "--format=svg"]]
)
def test_images_of_a_report(cli, monkeypatch, words):
    cli(*SCORE, "--context", "8,16", "--continuation", "4")
    cli("analyze", "study", "--only", "context")
    code, _, err = cli("report", "study", *words)
    assert code == 0, err
    pictures = next(path for path in Path("study").iterdir() if path.is_dir() and list(path.glob("*.png")))
    assert {path.suffix for path in pictures.iterdir()} == {".png", ".svg"}


def test_slurm_writes_a_command_with_every_value(cli):
    words = ["--context", "8,16", "--continuation", "4", "--control-models", "uniform:60,uniform:61"]
    code, out, _ = cli("slurm", *SCORE[1:], *words, "--tasks", "2", "--sbatch=--gres=gpu:1,shard:2")
    assert code == 0
    assert "--context 8 --context 16 --continuation 4 --control-models uniform:60 --control-models uniform:61" in out
    assert "#SBATCH --gres=gpu:1,shard:2" in out  # not a list of ours
