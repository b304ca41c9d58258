"""What a user reads: one line for what is wrong, and what to do about it."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mematlas
from mematlas.cli.commands import run
from mematlas.study import shards as markers
from tests import tiny_networks as networks


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    networks.saved(networks.neox(), folder / "tiny")
    np.save(folder / "rows.npy", np.random.default_rng(0).integers(0, networks.V, (20, 24)))
    return folder


@pytest.fixture
def say(shelf, tmp_path, capsys):
    """Run `mematlas score` with some options changed; returns exit code, standard output and standard error."""

    def told(model=f"uniform:{networks.V}", **changed):
        options = {"corpus": shelf / "rows.npy", "study": tmp_path / "s", "context": 8, "continuation": 16} | changed
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        code = run(["score", str(model), *words])
        return code, *capsys.readouterr()

    return told


def check_one_line(told, *parts, code=1):
    given, _, said = told
    assert given == code
    assert said.count("\n") == 1, said
    assert said.startswith("mematlas: ")
    assert "Traceback" not in said
    for part in parts:
        assert part in said


def test_a_missing_corpus_is_one_line(say, tmp_path):
    check_one_line(say(corpus=tmp_path / "no.npy"), "no.npy")


def test_an_empty_corpus_is_one_line(say, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    check_one_line(say(corpus=tmp_path / "empty.jsonl"), "empty.jsonl")


def test_rows_that_are_too_short_are_one_line(say):
    check_one_line(say(context=30), "have at most 24 tokens", "needs 46", "choose a shorter --context")


def test_a_token_outside_the_vocabulary_is_one_line_and_finished_shards_stay(say, shelf, tmp_path):
    rows = np.load(shelf / "rows.npy")
    rows[15, 3] = 70_000
    np.save(tmp_path / "rows.npy", rows)
    said = say(corpus=tmp_path / "rows.npy", shards=4)
    assert said[0] == 1
    line = said[2].splitlines()[-1]
    assert line.startswith("mematlas: Row 15 holds the token id 70000 at position 3, outside the vocabulary")
    study = mematlas.open_study(tmp_path / "s")
    assert study.done(study.run(), f"uniform-{networks.V}") == 3


def test_an_unknown_option_is_one_line(say):
    check_one_line(say(contxt=8), "--contxt", "mematlas score --help", code=2)


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"context": 0}, ["--context", "positive"]),
        ({"temperature": 2}, ["add --signals truth"]),
        ({"settle": True}, ["float32 already"]),
        ({"shards": 99}, ["--shards 99 is more than the 20 rows"]),
        ({"rows": "some:3"}, ["some"]),
    ],
)
def test_a_wrong_value_is_one_line(say, changed, parts):
    if changed.get("settle"):
        changed = {"dtype": "float32", **changed}
    said = say(**changed)
    check_one_line(said, *parts, code=said[0])
    assert said[0] in (1, 2)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("unifrom:50", ["No model backend is called 'unifrom'", "Did you mean 'uniform'?"]),
        ("uniform", ["needs more"]),
        ("./no/such/folder", ["No model folder at './no/such/folder'"]),
        ("uniform:one", ["give its size"]),
        ("missing.gguf", ["No GGUF file at 'missing.gguf'"]),
    ],
)
def test_an_unknown_model_is_one_line(say, model, parts):
    check_one_line(say(model), *parts)


def test_a_study_that_cannot_be_written_is_one_line(say, tmp_path):
    (tmp_path / "file").write_text("in the way")
    check_one_line(say(study=tmp_path / "file"), "cannot be written", "choose another --study folder")
    check_one_line(say(study=tmp_path / "file" / "below"), "cannot be written", "choose another --study folder")


def test_no_room_is_one_line_and_the_same_command_goes_on(say, tmp_path, monkeypatch):
    write, calls = markers.pq.write_table, []

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments, **options)

    monkeypatch.setattr(markers.pq, "write_table", full)
    said = say(shards=4)
    assert said[0] == 1
    assert said[2].splitlines()[-1].startswith("mematlas: No room on the disk that holds")
    assert "run the same command again: finished shards are kept." in said[2]
    monkeypatch.undo()
    assert say(shards=4)[0] == 0
    assert mematlas.open_study(tmp_path / "s").scores()["row"].n_unique() == 20
    assert not list((tmp_path / "s").rglob(".*"))


def test_stopping_is_130_and_the_same_command_goes_on(say, tmp_path, monkeypatch):
    write, calls = markers.write_shard, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr("mematlas.scoring.shards.write_shard", stopped)
    said = say(shards=4)
    assert said[0] == 130
    assert "Stopped. Finished shards are kept; run the same command again to go on." in said[2]
    monkeypatch.undo()
    study = mematlas.open_study(tmp_path / "s")
    assert study.done(study.run(), f"uniform-{networks.V}") == 2
    assert say(shards=4)[0] == 0
    assert study.scores()["row"].n_unique() == 20


def test_a_tokenizer_that_does_not_fit_is_one_line(say, shelf, tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    shutil.copytree(shelf / "tiny", tmp_path / "wrong")
    words = {f"w{number}": number for number in range(600)}
    Tokenizer(WordLevel(words, unk_token="w0")).save(str(tmp_path / "wrong" / "tokenizer.json"))
    (tmp_path / "wrong" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (tmp_path / "text.txt").write_text("w1\n" * 300)
    said = say(tmp_path / "wrong", corpus=tmp_path / "text.txt")
    assert said[0] == 1
    assert "gives ids up to 599, but the model takes 499" in said[2].splitlines()[-1]


def test_a_folder_without_tokenizer_scores_tokens(say, shelf, tmp_path):
    code, out, _ = say(shelf / "tiny")
    assert code == 0
    assert f"mematlas show {tmp_path / 's'}" in out
    assert mematlas.open_study(tmp_path / "s").scores()["model"].unique().to_list() == ["tiny"]


def test_pickled_weights_are_refused(say, shelf, tmp_path):
    shutil.copytree(shelf / "tiny", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    check_one_line(say(tmp_path / "pickled"), "holds pickled weights only", "save_pretrained")


def test_truncated_weights_are_refused(say, shelf, tmp_path):
    shutil.copytree(shelf / "tiny", tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    check_one_line(say(tmp_path / "cut"), "is truncated", "fetch the model again")


@pytest.fixture
def hub(shelf, tmp_path, monkeypatch):
    """A hub cache with one model in two revisions."""
    root = tmp_path / "hub" / "models--org--name"
    for revision, commit, seed in (("main", "a" * 40, 0), ("step7", "b" * 40, 1)):
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs" / revision).write_text(commit)
        networks.saved(networks.neox(seed=seed), root / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return root


def test_a_hub_id_is_read_from_the_local_cache_with_and_without_a_revision(hub, say, tmp_path):
    assert say("org/name")[0] == 0
    assert say("org/name@step7")[0] == 0
    runs = json.loads((tmp_path / "s" / "manifest.json").read_text())["runs"]
    models = next(iter(runs.values()))["models"]
    assert list(models) == ["name", "name@step7"]
    assert models["name@step7"]["training_step"] == 7
    assert models["name"]["fingerprint"] != models["name@step7"]["fingerprint"]


def test_a_hub_id_that_is_not_there_is_one_line(hub, say):
    check_one_line(say("org/other"), "No folder is called 'org/other' here", "Check the spelling")


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("formats", ["npy", "parquet", "jsonl", "memmap"]),
        ("models", ["hf", "gguf", "uniform", "parrot", "ngram"]),
        ("metrics", ["memorization_score", "verbatim_length", "extractable"]),
    ],
)
def test_list_names_every_member_with_a_line_about_it(capsys, table, names):
    assert run(["list", table]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert set(names) <= {line.split()[0] for line in lines}
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("command", ["score", "show", "list", "demo"])
def test_the_help_of_every_command_has_an_example(capsys, command):
    assert run([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"mematlas {command}" in out.split("Example")[1]


def test_the_package_names_no_folder_of_the_machine_in_its_help(capsys):
    assert run(["--help"]) == 0
    assert str(Path.home()) not in capsys.readouterr().out
