"""A wrong value of any option ends with exit code 2 and one line; what is wrong with a file or a study, with 1."""

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from mematlas.cli import COMMANDS, app, command_app
from tests import study_shelf as shelves

SCORE = ["uniform:60", "--corpus", "rows.npy", "--context", "8", "--continuation", "4", "--study", "s"]
#: A call of each command that has no wrong option.
VALID = {
    "run": ["study.yaml"],
    "init": ["new.yaml"],
    "score": SCORE,
    "plan": [],
    "features": ["study"],
    "fit": ["study"],
    "predict": ["uniform:60", "--corpus", "rows.npy", "--predictor", "predictor"],
    "analyze": ["study"],
    "report": ["study"],
    "show": ["study"],
    "rows": ["study"],
    "explore": ["no-study", "--no-browser"],
    "verify": ["study"],
    "slurm": [*SCORE, "--tasks", "2"],  # --tasks comes last, so that RULES can replace it
    "list": ["formats"],
    "index": ["rows.npy", "--out", "index"],
    "count": ["index", "--ids", "1,2"],
    "import": ["scores.parquet", "--study", "published"],
    "demo": [],
    "experiment": ["forget", "forget.yaml"],
    "audit": ["no-model", "--train", "rows.npy"],
    "trace-states": ["uniform:60", "--corpus", "rows.npy", "--rows", "first:1"],
    "probe layers": ["uniform:60", "--corpus", "rows.npy"],
    "probe prompts": ["uniform:60", "--corpus", "rows.npy"],
    "probe prior": ["uniform:60", "--corpus", "rows.npy"],
    "probe compress": ["uniform:60", "--corpus", "rows.npy"],
    "probe style": ["uniform:60", "--texts", "authors.csv"],
    "probe ratios": ["uniform:60", "--corpus", "texts.csv"],
    "stress": ["uniform:60", "uniform:60", "--corpus", "rows.npy", "--rows", "first:1"],
    "endpoint": ["http://127.0.0.1:9/v1#model"],
    "canaries": ["make", "--template", "A {digits:9}", "--into", "rows.npy"],
    "probe tasks": ["uniform:60", "--task", "task.csv", "--index", "index"],
    "probe recall": ["uniform:60", "--items", "items.csv", "--template", "{input}: {output}"],
}
#: Wrong values of options whose type does not exclude them: command, words, a part of the line.
RULES = [
    ("score", ["--rows", "some:3"], "No selection is called 'some'"),
    ("score", ["--rows", "first:0"], "selects no row"),
    ("score", ["--control", "control.npy", "--control-rows", "sample:x"], "is not of the form"),
    ("score", ["--shard", "0/4"], "--shard 0/4: i counts from 1 to n"),
    ("score", ["--shard", "two"], "--shard 'two' is not i/n"),
    ("score", ["--format", "jpeg"], "No format is called 'jpeg'. `mematlas list formats` shows them all."),
    ("score", ["--context", "16,x"], "--context: Input should be a valid integer"),
    ("score", ["--context", "16,,32"], "--context: Input should be a valid integer"),
    ("score", ["--context", "0"], "--context: numbers of tokens must be positive"),
    ("score", ["--signals", "truth,all"], "--signals: Input should be 'truth', 'free' or 'hidden'"),
    ("score", ["--signals", "truth", "--temperature", "0.5,0"], "--temperature: temperatures must be positive"),
    ("score", ["--temperature", "2"], "add --signals truth"),
    ("score", ["--batch", "0"], "--batch: must be a positive number of rows, or auto"),
    ("score", ["--device", "gpu"], "--device: must be auto, cpu, cuda, cuda:N, mps, or another device of torch"),
    ("predict", ["--device", "cuda:x"], "--device: must be auto, cpu, cuda, cuda:N, mps"),
    ("score", ["--hidden-layer", "first", "--signals", "hidden"], "--hidden-layer: a layer is last"),
    ("score", ["--shards", "99"], "--shards 99 is more than the 30 rows"),
    ("score", ["--address", "auto"], "--address auto is an option of Ray clusters only"),
    ("score", ["--order", "size", "--settle"], "--settle scores 16-bit rows again"),
    ("score", ["32"], "There is no model '32'; several values of an option are separated by commas: --context 16,32."),
    ("score", ["--contex", "8"], "Unknown option: --contex. Did you mean '--context'?"),
    ("score", ["--cutmode", "8"], "Unknown option: --cutmode. See `mematlas score --help`."),
    ("plan", ["--context", "16,x"], "--context"),
    ("plan", ["--devices", "0"], "--devices must be positive"),
    ("explore", ["--port", "70000"], "--port"),
    ("report", ["--width", "poster"], "--width: 'poster' is not one of column, page"),
    ("report", ["--format", "jpeg"], "--format: 'jpeg' is not one of png, svg, pdf"),
    ("report", ["--format", "png,jpeg"], "--format: 'jpeg' is not one of png, svg, pdf"),
    ("analyze", ["--only", "sizes"], "No analysis is called 'sizes'. Did you mean 'size'?"),
    ("analyze", ["--only", "overlap,sizes"], "No analysis is called 'sizes'. Did you mean 'size'?"),
    ("analyze", ["--export", "csv,latx"], "--export latx: must be one of csv, latex. Did you mean 'latex'?"),
    ("fit", ["--heads", "3"], "--heads 3 does not divide --width 32"),
    ("fit", ["--inputs", "none,entropy"], "--inputs: none cannot be combined with other inputs"),
    ("count", ["a text"], "Give exactly one of: a text, --ids 1,2,3, or --file QUERIES."),
    ("slurm", ["--tasks", "0"], "--tasks 0: an array has at least one task."),
    ("audit", ["--fail-on", "recitation>lots"], "--fail-on: 'recitation>lots' is no condition; give leak, recites"),
    ("trace-states", ["--pictures", "png,gif"], "--pictures: 'gif' is not one of png, svg, pdf"),
    ("trace-states", ["--sources", "0"], "--sources: Input should be greater than 0"),
    ("probe layers", ["--strengths", "-1"], "--strengths: strengths of noise are numbers of 0 or more"),
    ("probe layers", ["--looks", "noise,smell"], "--looks"),
    ("probe prompts", ["--strengths", "1.5"], "--strengths: strengths are shares of the prompt's tokens, from 0 to 1"),
    ("probe prompts", ["--changes", "swap,rhyme"], "--changes"),
    ("probe prior", ["--prefixes", "1"], "--prefixes: Input should be greater than or equal to 2"),
    ("probe prior", ["--ratio", "0"], "--ratio: Input should be greater than 0"),
    ("probe compress", ["--search", "beam"], "--search: Input should be 'gcg' or 'random'"),
    ("probe compress", ["--budget", "0"], "--budget: Input should be greater than 0"),
    ("probe compress", ["--strings", "no.txt"], "--strings no.txt cannot be read"),
    ("probe style", ["--folds", "1"], "--folds: Input should be greater than or equal to 2"),
    ("probe style", ["--temperature", "-1"], "--temperature: Input should be greater than or equal to 0"),
    ("probe style", ["--prompt-words", "0"], "--prompt-words: Input should be greater than 0"),
    ("probe ratios", ["--control", "a.csv"], "give --label COLUMN or --pattern NAME=REGEX, one of both"),
    ("probe ratios", ["--label", "a", "--pattern", "b=c"], "give --label COLUMN or --pattern NAME=REGEX, one of both"),
    ("probe ratios", ["--label", "topic"], "(--control FILE), or the model before its training (--base MODEL)"),
    ("probe ratios", ["--label", "topic", "--base", "b", "--start-words", "3"], "--start-words 3 takes beginnings of"),
    ("probe ratios", ["--pattern", "question"], "--pattern: is NAME=REGEX, such as question=[?]"),
    ("probe ratios", ["--pattern", "open=("], "--pattern: has a pattern that is no regular expression"),
    ("probe ratios", ["--samples", "5"], "--samples: Input should be greater than or equal to 20"),
    ("stress", ["--pictures", "png,gif"], "--pictures: 'gif' is not one of png, svg, pdf"),
    ("stress", ["--shifts", "4,0"], "--shifts: numbers of tokens are at least 1"),
    ("stress", ["--relearn-on", "all"], "--relearn-on"),
    ("stress", ["--threshold", "64"], "--threshold 64 is more than the 32 tokens that can be recited"),
    ("probe tasks", ["--gama", "0.5"], "Did you mean '--gamma'? See `mematlas probe tasks --help`."),
    ("probe tasks", ["--n", "2,0"], "--n: numbers of words are 1 or more"),
    ("probe tasks", ["--gamma", "0.5,1"], "--gamma: similarities to exceed are from 0 to below 1"),
    ("probe tasks", ["--similarity", "letters"], "--similarity: 'letters' is none of characters, any, exact, embedder"),
    ("probe tasks", ["--pictures", "png,gif"], "--pictures: 'gif' is not one of png, svg, pdf"),
    ("probe recall", ["--shots", "0,-1"], "--shots: numbers of examples are 0 or more"),
    ("probe recall", ["--temperatures", "1"], "--temperatures: needs at least two different temperatures, 0 or more"),
    (
        "probe recall",
        ["--invariance", "template"],
        "--invariance: Input should be 'templates', 'languages', 'temperatures'",
    ),
    ("probe recall", ["--pictures", "png,gif"], "--pictures: 'gif' is not one of png, svg, pdf"),
    ("audit", ["--alternatives", "5"], "--alternatives: Input should be greater than or equal to 19"),
    ("rows", ["--model", "parrot-222"], "--model parrot-222: the run has no such model. Did you mean 'parrot-22'?"),
    ("rows", ["--context", "9"], "has none of 9 tokens, only 8."),
    ("endpoint", ["--max-cost", "5"], "--max-cost 5 needs the prices of a million tokens"),
    ("endpoint", ["--key-variable", "sk-123"], "--key-variable takes the name of an environment variable in capitals"),
    ("endpoint", ["--key-variable", "NO_KEY"], "the environment has no such variable"),
    ("probe recall", ["--max-cost", "5"], "--max-cost 5 needs the prices of a million tokens"),
    ("score", ["--max-cost", "5"], "--max-cost 5 needs the prices of a million tokens"),
    ("slurm", ["--sbatch", "mem"], "--sbatch 'mem' is not an option of sbatch"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = shelves.fill(tmp_path_factory.mktemp("wrong"))
    path = shelves.study_file(folder, analyses="size", features="false", gallery="false")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert app(["run", str(path)], result_action="return_value") is None
        app(["index", "rows.npy", "--out", "index"], result_action="return_value")
    return folder


@pytest.fixture(autouse=True)
def _in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def options_of(command: str) -> list[Any]:
    """The options of a command, without help and version."""
    arguments = command_app(command).assemble_argument_collection()
    return [argument for argument in arguments if argument.parse and argument.name.startswith("--")]


def wrong_values(hint: Any) -> list[str]:
    """Values that no option of this type may have; none for text and paths, whose rules are in RULES."""
    members = get_args(hint)
    if get_origin(hint) is Literal or any(get_origin(member) is Literal for member in members):
        return ["nonsense"]
    if hint in (int, float) or any(member in (int, float) for member in members):
        return ["nonsense", "-1"]
    return []


ENUMERATED = [
    (command, argument.name, value)
    for command in COMMANDS
    for argument in options_of(command)
    for value in wrong_values(argument.hint)
]


def check_refused(result: tuple[int, str, str], code: int, part: str = "") -> None:
    exit_code, _, err = result
    line = err.splitlines()[-1] if err else ""
    assert exit_code == code, err
    assert line.startswith("mematlas: ")
    assert sum(line.startswith("mematlas: ") for line in err.splitlines()) == 1
    assert "Traceback" not in err
    assert part in line


def test_every_command_is_tried():
    assert set(VALID) == set(COMMANDS)
    assert len(ENUMERATED) > 80
    assert {command for command, _, _ in ENUMERATED} == set(COMMANDS) - {
        *("run", "init", "report", "show"),  # have no option of these types
    }


@pytest.mark.parametrize(("command", "option", "value"), ENUMERATED)
def test_a_value_of_another_type_is_exit_code_2(cli, command, option, value):
    check_refused(cli(*command.split(), *VALID[command], f"{option}={value}"), 2, option)


@pytest.mark.parametrize(("command", "words", "part"), RULES)
def test_a_value_that_breaks_a_rule_is_exit_code_2(cli, command, words, part):
    valid = VALID[command][:-2] if "--tasks" in words else VALID[command]
    check_refused(cli(*command.split(), *valid, *words), 2, part)
    assert not Path("s").exists()


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_an_unknown_option_is_exit_code_2_and_names_the_help(cli, command):
    words = [*command.split(), *VALID[command]] if command else []
    check_refused(cli(*words, "--no-such-option"), 2, "--help`")


@pytest.mark.parametrize(
    "words",
    [
        ["score", *SCORE[1:]],
        ["slurm", *SCORE[1:], "--tasks", "2"],
        ["score", "uniform:60", "--corpus", "rows.npy"],
        ["score", "uniform:60", "--study", "s"],
        ["import", "--study", "published"],
        ["list", "nothing"],
        ["run"],
        ["analyze"],
        ["scor"],
        ["count", "index", "--ids", "one"],
        ["count", "index"],
        ["analyze", "study", "--only"],
        ["analyze", "study", "--export"],
        ["report", "study", "--format"],
        ["fit", "study", "--models"],
        ["fit", "study", "--sees"],
        ["plan", "--context"],
    ],
    ids=" ".join,
)
def test_what_is_missing_is_exit_code_2(cli, words):
    check_refused(cli(*words), 2)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["score", "./nowhere", *SCORE[1:]], "There is no model folder './nowhere'. Check the path."),
        (["score", "uniform:60", "--corpus", "no.npy", "--study", "s"], "no.npy"),
        (["score", "uniform:60", "--corpus", "rows.npy", "--study", "s", "--context", "99"], "have at most 24 tokens"),
        (["show", "nowhere"], "nowhere is not a study"),
        (["analyze", "study", "--run", "zz"], "study has no run zz; `mematlas show study` prints those it has."),
        (["run", "nothing.yaml"], "There is no study file nothing.yaml; `mematlas init nothing.yaml` writes one"),
        (["run", "wrong.yaml"], "a study file has no key 'corpsu'"),
        (["features", "study", "--eod", "59"], "does not occur in the corpus"),
    ],
)
def test_what_is_wrong_with_a_file_or_a_study_is_exit_code_1(cli, words, part):
    Path("wrong.yaml").write_text("corpsu: rows.npy\n")
    check_refused(cli(*words), 1, part)


def test_no_suggestion_is_nonsense(cli):
    """A suggestion shares most of its letters: `cutmodel` was suggested for another folder's name."""
    Path("cutmodel").mkdir(exist_ok=True)
    for name in ("nomodel", "mymodel", "model"):
        assert "Did you mean" not in cli("score", f"./{name}", *SCORE[1:])[2]
    assert re.search(r"Did you mean 'cutmodel'\?", cli("score", "./cutmodle", *SCORE[1:])[2])
