"""A study's folder: what is kept, scored again and refused."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import mematlas
from mematlas.errors import MematlasError, OptionError, StudyError
from mematlas.models.huggingface import FolderSource
from mematlas.models.standins.standin import StandInSource
from tests import tiny_networks as networks


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A tiny model and rows of which it recites some."""
    folder = tmp_path_factory.mktemp("shelf")
    network = networks.neox()
    rows = networks.partly_recited_rows(network, networks.grid([8, 12], [12]), 60)
    np.save(folder / "rows.npy", rows)
    np.save(folder / "control.npy", np.random.default_rng(9).integers(0, networks.V, (7, 24)))
    networks.save_network(network, folder / "tiny")
    return folder


def ask(shelf, study, *models, **options):
    given = {"corpus": str(shelf / "rows.npy"), "context": [8, 12], "continuation": [4, 12], "shards": 6} | options
    return mematlas.score(*(models or (str(shelf / "tiny"),)), study=study, **given)


def uniform(shelf, study, *models, **options):
    return ask(shelf, study, *(models or (f"uniform:{networks.V}",)), **options)


def shards(study):
    return sorted(study.folder.glob("scores/**/*.parquet"))


def times(study):
    return {path: path.stat().st_mtime_ns for path in study.folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("wrong", [{"corpus": "none.npy"}, {"shards": 61}, {"rows": "frist:3"}])
def test_a_refused_question_leaves_no_folder_behind(shelf, tmp_path, wrong):
    (tmp_path / "own").mkdir()
    for name in ("new", "own"):
        with pytest.raises(MematlasError):
            uniform(shelf, tmp_path / name, **wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_the_same_command_twice_does_nothing(shelf, tmp_path, monkeypatch):
    first = ask(shelf, tmp_path / "s")
    before = times(first)

    def refuse(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(FolderSource, "load", refuse)
    second = ask(shelf, tmp_path / "s")
    assert len(shards(second)) == 6
    assert times(second) == before
    assert second.scores().equals(first.scores())


def score_alone(options):
    torch.set_num_threads(1)
    mematlas.score(options["model"], **{name: value for name, value in options.items() if name != "model"})


@pytest.fixture
def one_thread():
    """The killed processes score with one thread; another number would move a margin by a unit in the last place."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_study_that_is_killed_at_random_moments_ends_up_as_if_nothing_had_happened(shelf, tmp_path):
    options = {"model": str(shelf / "tiny"), "corpus": str(shelf / "rows.npy"), "study": str(tmp_path / "killed")}
    options |= {"context": [8, 12], "continuation": [4, 12], "shards": 30, "batch": 1, "signals": ["truth"]}
    chance, seen = random.Random(0), []
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.pipeline.test_score", "mematlas.models.causal", "mematlas.scoring.shards"])
    for _ in range(5):
        running = processes.Process(target=score_alone, args=(options,))
        running.start()
        already, end = len(list(tmp_path.glob("killed/scores/*/*/*.done"))), time.monotonic() + 60
        while len(list(tmp_path.glob("killed/scores/*/*/*.done"))) < already + 1 and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(running.pid, signal.SIGKILL)
        running.join()
        seen.append(len(list(tmp_path.glob("killed/scores/*/*/*.done"))))
    assert seen[0] >= 1
    assert seen == sorted(seen)
    assert not (tmp_path / "killed" / "manifest.json").exists() or seen[-1] == 30
    model = options.pop("model")
    killed = mematlas.score(model, **options)
    whole = mematlas.score(model, **options | {"study": str(tmp_path / "whole")})
    assert killed.scores().equals(whole.scores())
    assert killed.signals("truth").equals(whole.signals("truth"))
    assert killed.rows().equals(whole.rows())


@pytest.mark.parametrize(
    "change",
    [
        {"depth": "verbatim"},
        {"align": "end"},
        {"eos": "suppress"},
        {"continuation": [12]},
        {"rows": "first:59"},
        {"signals": ["truth"]},
        {"shards": 5},
        {"batch": 3},
    ],
)
def test_a_changed_option_never_meets_an_old_shard(shelf, tmp_path, change):
    first = uniform(shelf, tmp_path / "s")
    old, before = set(shards(first)), times(first)
    second = uniform(shelf, tmp_path / "s", **change)
    assert len(second.runs()) == 2
    assert len(set(shards(second)) - old) == change.get("shards", 6)
    assert all(path.stat().st_mtime_ns == before[path] for path in old)
    assert second.run().key != first.runs()[0].key


def test_changed_rows_and_changed_weights_never_meet_an_old_shard(shelf, tmp_path):
    rows = np.load(shelf / "rows.npy")
    np.save(tmp_path / "rows.npy", rows)
    networks.save_network(networks.neox(), tmp_path / "tiny")
    options = {"corpus": str(tmp_path / "rows.npy")}
    first = ask(shelf, tmp_path / "s", str(tmp_path / "tiny"), **options).scores()
    networks.save_network(networks.neox(seed=1), tmp_path / "tiny")
    second = ask(shelf, tmp_path / "s", str(tmp_path / "tiny"), **options)
    assert len(shards(second)) == 12
    assert second.scores().shape == first.shape
    assert not second.scores().equals(first)
    np.save(tmp_path / "rows.npy", rows[::-1])
    assert len(shards(ask(shelf, tmp_path / "s", str(tmp_path / "tiny"), **options))) == 18


def test_a_damaged_marker_a_cut_shard_and_a_missing_one_are_scored_again(shelf, tmp_path):
    study = ask(shelf, tmp_path / "s")
    expected, files = study.scores(), shards(study)
    files[0].with_suffix(".done").write_text("{ not json")
    files[1].write_bytes(files[1].read_bytes()[:-7])
    files[2].unlink()
    files[3].with_suffix(".done").unlink()
    untouched = {path: path.stat().st_mtime_ns for path in files[4:]}
    assert study.done(study.run(), "tiny") == 2
    again = ask(shelf, tmp_path / "s")
    assert again.scores().equals(expected)
    assert {path: path.stat().st_mtime_ns for path in files[4:]} == untouched


def test_the_manifest_comes_last_and_says_what_was_asked(shelf, tmp_path):
    study = ask(shelf, tmp_path / "s")
    manifest = study.manifest()
    run = manifest["runs"][manifest["current"]]
    assert manifest["current"] == study.run().key
    assert run["configuration"]["context"] == [8, 12]
    assert run["models"]["tiny"]["parameters"] == 49_088
    assert run["models"]["tiny"]["vocabulary"] == networks.V
    assert run["timings"]["tiny"]["rows"] == 60
    assert {"mematlas", "torch", "transformers", "python"} <= set(run["versions"])
    latest = max(path.stat().st_mtime_ns for path in study.folder.rglob("*.done"))
    assert (study.folder / "manifest.json").stat().st_mtime_ns >= latest


def test_an_unfinished_run_is_read_only_when_partial_is_asked_for(shelf, tmp_path):
    study = uniform(shelf, tmp_path / "s")
    whole = study.scores()
    shards(study)[2].with_suffix(".done").unlink()
    with pytest.raises(StudyError, match=r"has 5 of 6 shards .* run the same command again"):
        study.scores()
    partial = study.scores(partial=True)
    assert partial["row"].n_unique() == 50
    assert partial.equals(whole.filter(~whole["row"].is_in(list(range(20, 30)))))


def test_control_rows_have_ids_of_their_own_and_their_role(shelf, tmp_path):
    study = uniform(shelf, tmp_path / "s", control=str(shelf / "control.npy"), control_rows="first:5", rows="first:20")
    rows = study.rows()
    assert rows["row"].to_list() == [*range(20), *range(60, 65)]
    assert rows["role"].to_list() == ["train"] * 20 + ["control"] * 5
    control = np.load(shelf / "control.npy")
    scores = study.scores().filter(context=8, continuation=12)
    expected = (control[:5, 8:20] == 0).sum(1).tolist()
    assert scores.filter(scores["row"] >= 60)["matches"].to_list() == expected


@pytest.mark.parametrize("align", ["start", "end"])
def test_signals_are_cut_to_a_cell(shelf, tmp_path, align):
    study = ask(shelf, tmp_path / "s", signals=["truth", "free"], align=align)
    scores = study.scores()
    for context, continuation in ((8, 4), (12, 12)):
        truth = study.signals("truth", context=context, continuation=continuation)
        free = study.signals("free", context=context, continuation=continuation)
        assert truth["row"].to_list() == free["row"].to_list() == list(range(60))
        assert set(truth["context"]) == {context}
        assert set(truth["hit"].list.len()) == {context + continuation}
        assert set(free["token"].list.len()) == {continuation}
        cell = scores.filter(context=context, continuation=continuation)
        recited = (cell["matches"] == continuation).to_list()
        assert recited == truth["hit"].list.tail(continuation).list.all().to_list()
        assert any(recited)


def test_signals_that_were_not_recorded_are_asked_for_with_the_option_that_records_them(shelf, tmp_path):
    with pytest.raises(StudyError, match="score with --signals free"):
        uniform(shelf, tmp_path / "s").signals("free")


def test_settled_rows_are_what_float32_says_and_changed_ones_are_counted(shelf, tmp_path):
    exact = ask(shelf, tmp_path / "s")
    reference = exact.scores()
    rough = ask(shelf, tmp_path / "s", dtype="bfloat16").scores()
    settled = ask(shelf, tmp_path / "s", dtype="bfloat16", settle=True)
    timing = settled.manifest()["runs"][settled.run().key]["timings"]["tiny"]
    # random weights give small margins, so that every row is doubtful
    assert timing["doubtful_rows"] == timing["settled_rows"] == 60
    assert settled.scores().equals(reference)
    cells = ["matches", "verbatim"]
    differing = {
        row for row, a, b in zip(reference["row"], rough.rows(), reference.rows(), strict=True) if a[4:6] != b[4:6]
    }
    assert len(differing) <= timing["changed_rows"] <= 60
    assert (timing["changed_rows"] > 0) == (not rough.select(cells).equals(reference.select(cells)))


def test_models_in_folders_of_the_same_name_get_labels_of_their_own(shelf, tmp_path):
    for parent in ("a", "b"):
        networks.save_network(networks.neox(seed=ord(parent)), tmp_path / parent / "tiny")
    study = ask(shelf, tmp_path / "s", str(tmp_path / "a" / "tiny"), str(tmp_path / "b" / "tiny"))
    assert study.models()["model"].to_list() == ["a-tiny", "b-tiny"]
    assert study.scores()["model"].unique(maintain_order=True).to_list() == ["a-tiny", "b-tiny"]


def test_the_same_model_twice_is_refused(shelf, tmp_path):
    with pytest.raises(OptionError, match="was given twice; name each model once"):
        uniform(shelf, tmp_path / "s", f"uniform:{networks.V}", f"uniform:{networks.V}")


def word_tokenizer(folder: Path, *words: str) -> None:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def test_models_with_different_tokenizers_share_no_text(shelf, tmp_path):
    for name, words in (("a", ("one", "two")), ("b", ("two", "one"))):
        shutil.copytree(shelf / "tiny", tmp_path / name)
        word_tokenizer(tmp_path / name, *words)
    (tmp_path / "text.txt").write_text("one two two one " * 40)
    models = [str(tmp_path / name) for name in "ab"]
    options = {"corpus": str(tmp_path / "text.txt"), "shards": 1}
    with pytest.raises(OptionError, match=r"have different tokenizers.* name one tokenizer with --tokenizer"):
        ask(shelf, tmp_path / "s", *models, **options)
    study = ask(shelf, tmp_path / "s", *models, tokenizer=models[0], **options)
    assert len(study.models()) == 2


def test_a_stand_in_that_breaks_half_way_keeps_the_finished_shards(shelf, tmp_path, monkeypatch):
    load, calls = StandInSource.load, []

    def breaking(self, options):
        model = load(self, options)
        head = model.head

        def counted(states):
            calls.append(1)
            if len(calls) > 300:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return head(states)

        model.head = counted
        return model

    monkeypatch.setattr(StandInSource, "load", breaking)
    with pytest.raises(MematlasError, match="does not fit into memory"):
        uniform(shelf, tmp_path / "s", batch=1)
    study = mematlas.open_study(tmp_path / "s")
    done = study.done(study.run(), f"uniform-{networks.V}")
    assert 0 < done < 6
    assert study.manifest() == {}
    monkeypatch.undo()
    assert uniform(shelf, tmp_path / "s", batch=1).scores()["row"].n_unique() == 60
