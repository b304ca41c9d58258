"""Runs that finish at the same moment all stay in the manifest, and older studies keep theirs."""

import json
import multiprocessing
from pathlib import Path

import pytest

import mematlas
from mematlas.errors import StudyError
from mematlas.io.paths import write_json
from mematlas.scoring.reopen import reopen_rows
from mematlas.study import Study, manifest
from mematlas.study.manifest import record_run
from mematlas.verification.verify import verify
from tests import study_shelf as shelves


def _note(folder, names, barrier):
    for name in names:
        barrier.wait()
        record_run(Study(folder), name, {"said": name})


def test_two_processes_that_finish_at_once_again_and_again_lose_no_run(tmp_path):
    context = multiprocessing.get_context("fork")
    names, barrier = [[f"{who}{number:02d}" for number in range(40)] for who in "ab"], context.Barrier(2)
    processes = [context.Process(target=_note, args=(tmp_path, of, barrier)) for of in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    kept = Study(tmp_path).manifest()
    assert kept["runs"] == {name: {"said": name} for of in names for name in of}
    assert kept["current"] in ("a39", "b39")


def test_a_run_that_comes_between_is_found_by_whoever_writes_last(tmp_path, monkeypatch):
    study, write = Study(tmp_path), manifest._write

    def interrupted(of, found):
        monkeypatch.setattr(manifest, "_write", write)
        record_run(study, "other", {"said": "meanwhile"})
        write(of, found)  # as it was read before the other came

    monkeypatch.setattr(manifest, "_write", interrupted)
    record_run(study, "own", {"said": "first"})
    kept = json.loads((tmp_path / "manifest.json").read_text())
    assert kept == {"current": "other", "runs": {"own": {"said": "first"}, "other": {"said": "meanwhile"}}}


def test_runs_of_an_older_manifest_stay_and_the_one_noted_last_is_current(tmp_path):
    write_json(tmp_path / "manifest.json", {"current": "old", "runs": {"old": {"said": 0}, "own": {"said": 1}}})
    study = Study(tmp_path)
    record_run(study, "own", {"said": 2})
    record_run(study, "another", {"said": 3})
    assert study.manifest() == {
        "current": "another",
        "runs": {"old": {"said": 0}, "own": {"said": 2}, "another": {"said": 3}},
    }
    record_run(study, "own", {"said": 4})
    assert study.manifest()["current"] == "own"


def test_a_clock_that_was_set_back_does_not_reorder_runs(tmp_path, monkeypatch):
    study = Study(tmp_path)
    monkeypatch.setattr(manifest.time, "time_ns", lambda: 10**18)
    record_run(study, "first", {})
    monkeypatch.setattr(manifest.time, "time_ns", lambda: 5)
    record_run(study, "second", {})
    assert study.manifest()["current"] == "second"


def test_a_damaged_note_is_told_with_what_to_do(tmp_path):
    record_run(Study(tmp_path), "own", {})
    (tmp_path / "manifests" / "own.json").write_text("{")
    with pytest.raises(StudyError, match=r"own\.json is damaged .*; delete it and run the same command again"):
        record_run(Study(tmp_path), "other", {})


def test_two_questions_about_one_study_stand_in_its_manifest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shelves.fill(tmp_path)
    for continuation in (4, 8):
        study = mematlas.score("uniform:60", corpus="rows.npy", study="s", context=[8], continuation=[continuation])
    runs = {run.key for run in study.runs()}
    assert runs == set(study.manifest()["runs"]) == {path.stem for path in Path("s/manifests").iterdir()}
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("other", "models"), [("uniform:60", ["parrot", "uniform-60"]), ("parrot:few.npy", ["parrot"])]
)
def test_a_model_whose_last_shard_was_written_before_a_kill_is_noted_by_the_next_command(
    tmp_path, monkeypatch, other, models
):
    """Another model, and another one of the same name."""
    monkeypatch.chdir(tmp_path)
    shelf = shelves.fill(tmp_path)
    asked = {"corpus": str(shelf / "rows.npy"), "context": [8], "continuation": [4], "study": shelf / "study"}
    study = mematlas.score("parrot:half.npy", **asked)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mematlas.pipeline.steps.score.note_run", killed)
        with pytest.raises(KeyboardInterrupt):
            mematlas.score(other, **asked)
    with pytest.raises(StudyError, match=r"is not finished: its manifest does not know (parrot|uniform).*run the same"):
        reopen_rows(study)
    mematlas.score(other, **asked)
    noted = study.manifest()["runs"][study.run().key]["models"]
    assert sorted(noted) == models
    assert noted[models[-1]]["spec"] == other
    assert reopen_rows(study).run.key == study.run().key


def test_a_noted_run_that_tells_nothing_is_no_entry_and_verify_finds_it(tmp_path):
    shelf = shelves.fill(tmp_path)
    study = mematlas.score(
        f"parrot:{shelf / 'half.npy'}", corpus=str(shelf / "rows.npy"), context=[8], continuation=[4], study=shelf / "s"
    )
    write_json(study.folder / "manifests" / "empty.json", {})
    record_run(study, "other", {"said": 1})
    assert set(study.manifest()["runs"]) == {study.run().key, "other"}
    (study.folder / "manifests" / "empty.json").write_text("{")
    (fault,) = [found for found in verify(study.folder, rescore=False).faults if "empty" in found.file]
    assert "it cannot be read" in fault.wrong
