"""`--json` of every command that prints a table, and `--quiet` of every command that shows progress."""

import json
import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.cli import COMMANDS, command_app, run
from mematlas.cli.output import print_json
from tests import study_shelf as shelves

SOURCE = Path(mematlas.__file__).parent / "cli" / "commands"
TESTS = Path(__file__).parents[1]
SCORE = ["score", "parrot:rows.npy", "--corpus", "rows.npy", "--context", "8", "--continuation", "4"]
#: Words of a call -> the keys of the object that it prints.
CALLS = {
    ("show", "study"): {"study", "runs", "models", "scores", "results"},
    ("rows", "study", "--text"): {"study", "run", "context", "continuation", "scored", "selected", "rows"},
    ("list", "formats"): {"formats"},
    ("list", "analyses"): {"analyses"},
    ("plan",): {"rows", "contexts", "continuations", "fed_tokens_per_row", "models", "devices"}
    | {"device_hours", "hours", "bytes", "assumptions"},
    ("verify", "study", "--rows", "2"): {"study", "is_sound", "runs", "files", "size", "without_checksum"}
    | {"unfinished", "faults", "unchecked", "agreements"},
    ("analyze", "study", "--only", "size"): {"folder", "findings", "failures", "exported"},
    ("run", "study.yaml"): {"study", "run", "results"},
    ("run", "study.yaml", "--dry-run"): {"run", "contexts", "continuations", "align", "row_counts", "models"}
    | {"fed_tokens_per_row", "disk", "probes", "seconds", "steps"},
    ("count", "index", "--ids", "1,2"): {"count", "scope", "ids", "text", "hits"},
}
#: Command -> the test that tries its --json.
ELSEWHERE = {
    "fit": "cli/test_fit_command.py",
    "predict": "cli/test_predict_command.py",
    "experiment": "cli/test_experiment_command.py",
    "demo": "pipeline/test_demo.py",
    "audit": "audit/test_command.py",
    "trace-states": "cli/test_trace_states_command.py",
    "probe layers": "probes/test_layers.py",
    "probe prompts": "probes/test_prompts.py",
    "probe prior": "probes/test_prior.py",
    "probe style": "probes/test_style.py",
    "probe ratios": "probes/test_ratios.py",
    "probe compress": "probes/test_compress.py",
    "canaries": "audit/canaries/test_check.py",
    "stress": "cli/test_stress_command.py",
    "endpoint": "cli/test_endpoint_command.py",
    "probe tasks": "probes/test_tasks.py",
    "probe recall": "cli/test_probe_command.py",
}
QUIET = [
    [*SCORE, "--study", "quiet"],
    ["features", "study"],
    ["analyze", "study", "--only", "size"],
    ["verify", "study", "--rows", "2"],
    ["run", "study.yaml"],
    ["index", "rows.npy", "--out", "quiet-index"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = shelves.fill(tmp_path_factory.mktemp("json"))
    path = shelves.study_file(folder, analyses="size", gallery="false")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["run", str(path)]) == 0
        assert run(["index", "rows.npy", "--out", "index"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def has_option(command: str, option: str) -> bool:
    return any(option in argument.names for argument in command_app(command).assemble_argument_collection())


def source_of(command: str) -> str:
    return (SOURCE / COMMANDS[command][0].replace(".", "/")).with_suffix(".py").read_text()


def refuse_constant(name: str):
    raise AssertionError(f"{name} is not JSON")


def test_every_command_that_prints_a_table_has_the_option_and_is_tried():
    with_json = {command for command in COMMANDS if has_option(command, "--json")}
    assert {command for command in COMMANDS if "print_table" in source_of(command)} <= with_json
    assert {words[0] for words in CALLS} | set(ELSEWHERE) == with_json
    for command, test in ELSEWHERE.items():
        assert '", "'.join(f'"{command}"'.split()) in (TESTS / test).read_text() or command in test
        assert '"--json"' in (TESTS / test).read_text()


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_command_prints_one_object_and_nothing_else(cli, words):
    code, out, err = cli(*words, "--json")
    assert code == 0, err
    assert set(json.loads(out, parse_constant=refuse_constant)) == CALLS[words]


def test_what_was_not_measured_is_null(cli):
    shown = json.loads(cli("show", "study", "--json")[1])
    assert [model["training_step"] for model in shown["models"]] == [None] * 3
    assert {score["text_share"] for score in shown["scores"]} == {None}
    first = json.loads(cli("rows", "study", "--json")[1])["rows"][0]
    assert (first["m"], first["repetitions"], first["source"]) == (1.0, None, None)


def test_the_object_says_what_the_table_says(cli):
    planned = json.loads(cli("plan", "--rows", 1000, "--devices", 4, "--json")[1])
    assert (planned["rows"], planned["contexts"], planned["fed_tokens_per_row"]) == (1000, [32], 63)
    assert planned["hours"] == pytest.approx(planned["device_hours"] / 4)
    recited = {(score["model"], score["role"]): score["share"] for score in _shown(cli)}
    assert recited["parrot", "train"] == 1.0
    assert recited["parrot-23", "control"] == 0.0


def _shown(cli):
    scores = json.loads(cli("show", "study", "--json")[1])["scores"]
    return [score for score in scores if score["continuation"] == 12]


def test_a_fault_is_in_the_object_and_the_exit_code(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shelves.fill(tmp_path)
    assert cli(*SCORE, "--study", "broken")[0] == 0
    path = next(Path("broken/scores").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    code, out, err = cli("verify", "broken", "--no-rescore", "--json")
    found = json.loads(out)
    assert (code, found["is_sound"], len(found["faults"])) == (1, False, 1)
    assert err.startswith("mematlas: broken has 1 faults")


def test_values_that_json_does_not_have_become_ones_that_it_has(capsys):
    frame = pl.DataFrame({"a": [1, None], "b": [float("nan"), 0.5]})
    print_json(
        {
            "frame": frame,
            "infinite": [float("inf"), -float("inf")],
            "path": Path("a/b"),
            "numpy": (np.float32(0.5), np.int64(3), np.array([1, 2])),
            "text": "\x1b\u202eü",
            3: True,
        }
    )
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out, parse_constant=refuse_constant) == {
        "frame": [{"a": 1, "b": None}, {"a": None, "b": 0.5}],
        "infinite": [None, None],
        "path": "a/b",
        "numpy": [0.5, 3, [1, 2]],
        "text": "\x1b\u202eü",
        "3": True,
    }
    with pytest.raises(TypeError, match="object has no place in JSON"):
        print_json(object())


# ---------------------------------------------------------------------------------------------------- quiet and logging


def test_every_command_that_shows_progress_can_be_quiet():
    for command in COMMANDS:
        assert has_option(command, "--quiet") == ("progress_display" in source_of(command)), command
        assert "Bar()" not in source_of(command)


@pytest.mark.parametrize("words", QUIET, ids=lambda words: words[0])
def test_a_quiet_command_prints_results_alone(cli, words):
    code, out, err = cli(*words, "--quiet")
    assert code == 0, err
    assert out
    assert err == ""


def test_an_error_is_printed_all_the_same(cli):
    code, _, err = cli("analyze", "nowhere", "--quiet")
    assert code == 1
    assert "nowhere is not a study" in err


def test_without_quiet_there_is_progress(cli):
    assert cli(*SCORE, "--study", "loud")[2]


def test_what_the_library_would_say_goes_to_its_logger(folder, caplog, capsys):
    with caplog.at_level(logging.INFO, "mematlas"):
        options = {"corpus": "rows.npy", "context": 8, "continuation": 4, "study": "logged"}
        mematlas.score("parrot:rows.npy", **options)
    assert {record.name for record in caplog.records} == {"mematlas"}
    assert any("30 rows" in record.getMessage() for record in caplog.records)
    assert not logging.getLogger("mematlas").handlers
    assert capsys.readouterr().err == ""
