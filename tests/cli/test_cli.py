"""Messages of the command line: an error is one line that says what is wrong and how to fix it."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mematlas
from mematlas.cli import run
from mematlas.study import shards as markers
from tests import tiny_networks as networks


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    networks.save_network(networks.neox(), folder / "tiny")
    np.save(folder / "rows.npy", np.random.default_rng(0).integers(0, networks.V, (20, 24)))
    return folder


@pytest.fixture
def score(shelf, tmp_path, capsys):
    """Run `mematlas score` with some options changed; returns exit code, standard output and standard error."""

    def run_score(model=f"uniform:{networks.V}", **changed):
        options = {"corpus": shelf / "rows.npy", "study": tmp_path / "s", "context": 8, "continuation": 16} | changed
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        code = run(["score", str(model), *words])
        return code, *capsys.readouterr()

    return run_score


def check_one_line(result, *parts, code=1):
    exit_code, _, err = result
    assert exit_code == code
    assert err.count("\n") == 1, err
    assert err.startswith("mematlas: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_a_missing_corpus_is_one_line(score, tmp_path):
    check_one_line(score(corpus=tmp_path / "no.npy"), "no.npy")


def test_an_empty_corpus_is_one_line(score, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    check_one_line(score(corpus=tmp_path / "empty.jsonl"), "empty.jsonl")


def test_rows_that_are_too_short_are_one_line(score):
    check_one_line(score(context=30), "have at most 24 tokens", "needs 46", "choose a shorter --context")


def test_a_token_outside_the_vocabulary_is_one_line_and_finished_shards_stay(score, shelf, tmp_path):
    rows = np.load(shelf / "rows.npy")
    rows[15, 3] = 70_000
    np.save(tmp_path / "rows.npy", rows)
    result = score(corpus=tmp_path / "rows.npy", shards=4)
    assert result[0] == 1
    line = result[2].splitlines()[-1]
    assert line.startswith("mematlas: Row 15 contains the token id 70000 at position 3, outside the vocabulary")
    study = mematlas.open_study(tmp_path / "s")
    assert study.done(study.run(), f"uniform-{networks.V}") == 3


def test_an_unknown_option_is_one_line(score):
    check_one_line(score(contxt=8), "--contxt", "mematlas score --help", code=2)


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"context": 0}, ["--context", "positive"]),
        ({"temperature": 2}, ["add --signals truth"]),
        ({"settle": True}, ["already float32"]),
        ({"shards": 99}, ["--shards 99 is more than the 20 rows"]),
        ({"rows": "some:3"}, ["some"]),
    ],
)
def test_a_wrong_value_is_one_line(score, changed, parts):
    if changed.get("settle"):
        changed = {"dtype": "float32", **changed}
    result = score(**changed)
    check_one_line(result, *parts, code=result[0])
    assert result[0] in (1, 2)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("unifrom:50", ["There is no model backend 'unifrom'", "Did you mean 'uniform'?"]),
        ("uniform", ["needs an argument"]),
        ("./no/such/folder", ["There is no model folder './no/such/folder'"]),
        ("uniform:one", ["states no vocabulary size; give at least 2"]),
        ("missing.gguf", ["There is no GGUF file 'missing.gguf'"]),
    ],
)
def test_an_unknown_model_is_one_line(score, model, parts):
    check_one_line(score(model), *parts)


def test_a_study_that_cannot_be_written_is_one_line(score, tmp_path):
    (tmp_path / "file").write_text("in the way")
    check_one_line(score(study=tmp_path / "file"), "cannot be written", "choose another --study folder")
    check_one_line(score(study=tmp_path / "file" / "below"), "cannot be written", "choose another --study folder")


def test_no_room_is_one_line_and_the_same_command_goes_on(score, tmp_path, monkeypatch):
    write, calls = markers.pq.write_table, []

    def full_disk(*arguments, **options):
        calls.append(1)
        if len(calls) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments, **options)

    monkeypatch.setattr(markers.pq, "write_table", full_disk)
    result = score(shards=4)
    assert result[0] == 1
    assert result[2].splitlines()[-1].startswith("mematlas: No space is left on the disk of")
    assert "run the same command again: finished shards are kept." in result[2]
    monkeypatch.undo()
    assert score(shards=4)[0] == 0
    assert mematlas.open_study(tmp_path / "s").scores()["row"].n_unique() == 20
    assert not list((tmp_path / "s").rglob(".*"))


def test_stopping_is_130_and_the_same_command_goes_on(score, tmp_path, monkeypatch):
    write, calls = markers.write_shard, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr("mematlas.scoring.shards.write_shard", stopped)
    result = score(shards=4)
    assert result[0] == 130
    assert "Stopped. Finished shards are kept; run the same command again to continue." in result[2]
    monkeypatch.undo()
    study = mematlas.open_study(tmp_path / "s")
    assert study.done(study.run(), f"uniform-{networks.V}") == 2
    assert score(shards=4)[0] == 0
    assert study.scores()["row"].n_unique() == 20


def test_a_tokenizer_that_does_not_fit_is_one_line(score, shelf, tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    shutil.copytree(shelf / "tiny", tmp_path / "wrong")
    words = {f"w{number}": number for number in range(600)}
    Tokenizer(WordLevel(words, unk_token="w0")).save(str(tmp_path / "wrong" / "tokenizer.json"))
    (tmp_path / "wrong" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (tmp_path / "text.txt").write_text("w1\n" * 300)
    result = score(tmp_path / "wrong", corpus=tmp_path / "text.txt")
    assert result[0] == 1
    assert "has ids up to 599, but the model's vocabulary has only 499" in result[2].splitlines()[-1]


def test_a_folder_without_tokenizer_scores_tokens(score, shelf, tmp_path):
    code, out, _ = score(shelf / "tiny")
    assert code == 0
    assert f"mematlas show {tmp_path / 's'}" in out
    assert mematlas.open_study(tmp_path / "s").scores()["model"].unique().to_list() == ["tiny"]


def test_pickled_weights_are_refused(score, shelf, tmp_path):
    shutil.copytree(shelf / "tiny", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    check_one_line(score(tmp_path / "pickled"), "contains only pickled weights", "save_pretrained")


def test_truncated_weights_are_refused(score, shelf, tmp_path):
    shutil.copytree(shelf / "tiny", tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    check_one_line(score(tmp_path / "cut"), "is truncated", "fetch the model again")


@pytest.fixture
def hub(shelf, tmp_path, monkeypatch):
    """A hub cache with one model in two revisions."""
    root = tmp_path / "hub" / "models--org--name"
    for revision, commit, seed in (("main", "a" * 40, 0), ("step7", "b" * 40, 1)):
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs" / revision).write_text(commit)
        networks.save_network(networks.neox(seed=seed), root / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return root


def test_a_hub_id_is_read_from_the_local_cache_with_and_without_a_revision(hub, score, tmp_path):
    assert score("org/name")[0] == 0
    assert score("org/name@step7")[0] == 0
    runs = json.loads((tmp_path / "s" / "manifest.json").read_text())["runs"]
    models = next(iter(runs.values()))["models"]
    assert list(models) == ["name", "name@step7"]
    assert models["name@step7"]["training_step"] == 7
    assert models["name"]["fingerprint"] != models["name@step7"]["fingerprint"]


def test_a_hub_id_that_is_not_there_is_one_line(hub, score):
    check_one_line(score("org/other"), "There is no folder 'org/other' on this machine", "Check the spelling")


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("formats", ["npy", "parquet", "jsonl", "memmap"]),
        ("models", ["hf", "gguf", "uniform", "parrot", "ngram"]),
        ("metrics", ["memorization_score", "verbatim_length", "extractable"]),
    ],
)
def test_list_prints_every_member_with_a_summary(capsys, table, names):
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


def test_the_help_shows_no_path_of_this_machine(capsys):
    assert run(["--help"]) == 0
    assert str(Path.home()) not in capsys.readouterr().out
