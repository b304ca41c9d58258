"""Runs that finish at the same moment all stay in the manifest, and so do those of older studies."""

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


def _record_runs(folder, names, barrier):
    for name in names:
        barrier.wait()
        record_run(Study(folder), name, {"entry": name})


def test_two_processes_that_finish_at_the_same_time_lose_no_run(tmp_path):
    context = multiprocessing.get_context("fork")
    names_by_process = [[f"{letter}{number:02d}" for number in range(40)] for letter in "ab"]
    barrier = context.Barrier(2)
    processes = [context.Process(target=_record_runs, args=(tmp_path, names, barrier)) for names in names_by_process]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    content = Study(tmp_path).manifest()
    assert content["runs"] == {name: {"entry": name} for names in names_by_process for name in names}
    assert content["current"] in ("a39", "b39")


def test_a_run_recorded_meanwhile_is_added_by_the_last_writer(tmp_path, monkeypatch):
    study, write_manifest = Study(tmp_path), manifest._write_manifest

    def interrupted(study, entries):
        monkeypatch.setattr(manifest, "_write_manifest", write_manifest)
        record_run(study, "other", {"entry": "meanwhile"})
        write_manifest(study, entries)  # which were read before the other run was recorded

    monkeypatch.setattr(manifest, "_write_manifest", interrupted)
    record_run(study, "own", {"entry": "first"})
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content == {"current": "other", "runs": {"own": {"entry": "first"}, "other": {"entry": "meanwhile"}}}


def test_runs_of_an_older_manifest_stay_and_the_one_recorded_last_is_current(tmp_path):
    write_json(tmp_path / "manifest.json", {"current": "old", "runs": {"old": {"entry": 0}, "own": {"entry": 1}}})
    study = Study(tmp_path)
    record_run(study, "own", {"entry": 2})
    record_run(study, "another", {"entry": 3})
    assert study.manifest() == {
        "current": "another",
        "runs": {"old": {"entry": 0}, "own": {"entry": 2}, "another": {"entry": 3}},
    }
    record_run(study, "own", {"entry": 4})
    assert study.manifest()["current"] == "own"


def test_a_clock_that_was_set_back_does_not_reorder_runs(tmp_path, monkeypatch):
    study = Study(tmp_path)
    monkeypatch.setattr(manifest.time, "time_ns", lambda: 10**18)
    record_run(study, "first", {})
    monkeypatch.setattr(manifest.time, "time_ns", lambda: 5)
    record_run(study, "second", {})
    assert study.manifest()["current"] == "second"


def test_a_damaged_entry_is_reported_with_its_remedy(tmp_path):
    record_run(Study(tmp_path), "own", {})
    (tmp_path / "manifests" / "own.json").write_text("{")
    with pytest.raises(StudyError, match=r"own\.json is damaged .*; delete it and run the same command again"):
        record_run(Study(tmp_path), "other", {})


def test_two_runs_of_one_study_are_both_in_its_manifest(tmp_path, monkeypatch):
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
def test_a_model_whose_last_shard_was_written_before_a_kill_is_recorded_by_the_next_command(
    tmp_path, monkeypatch, other, models
):
    """Cases: another model, and another one with the same label."""
    monkeypatch.chdir(tmp_path)
    shelf = shelves.fill(tmp_path)
    options = {"corpus": str(shelf / "rows.npy"), "context": [8], "continuation": [4], "study": shelf / "study"}
    study = mematlas.score("parrot:half.npy", **options)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mematlas.pipeline.steps.score.record_run", killed)
        with pytest.raises(KeyboardInterrupt):
            mematlas.score(other, **options)
    with pytest.raises(StudyError, match=r"is not finished: its manifest lacks (parrot|uniform).*run the same"):
        reopen_rows(study)
    mematlas.score(other, **options)
    recorded = study.manifest()["runs"][study.run().key]["models"]
    assert sorted(recorded) == models
    assert recorded[models[-1]]["spec"] == other
    assert reopen_rows(study).run.key == study.run().key


def test_an_empty_entry_is_left_out_and_a_damaged_one_is_found_by_verify(tmp_path):
    shelf = shelves.fill(tmp_path)
    study = mematlas.score(
        f"parrot:{shelf / 'half.npy'}", corpus=str(shelf / "rows.npy"), context=[8], continuation=[4], study=shelf / "s"
    )
    write_json(study.folder / "manifests" / "empty.json", {})
    record_run(study, "other", {"entry": 1})
    assert set(study.manifest()["runs"]) == {study.run().key, "other"}
    (study.folder / "manifests" / "empty.json").write_text("{")
    (fault,) = [fault for fault in verify(study.folder, rescore=False).faults if "empty" in fault.file]
    assert "it cannot be read" in fault.problem
