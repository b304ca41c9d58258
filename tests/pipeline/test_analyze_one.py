"""Analyses run by workers: findings equal to the byte, and errors reported as by a single process."""

from dataclasses import replace

import pytest

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.analyses.scores.size import finding as size
from mematlas.cli import run
from mematlas.errors import OptionError, StudyError
from mematlas.executors.base import FailedTask
from mematlas.executors.local import LocalExecutor
from mematlas.executors.options import WorkerOptions
from mematlas.pipeline.steps.analyze import recompute_findings
from mematlas.pipeline.steps.analyze_one import LONGEST, longest_first
from mematlas.progress import Silent
from tests import study_shelf as shelves

TWO = WorkerOptions(workers=2)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {"gallery": "false", "analyses": "size"}
    return mematlas.run(shelves.study_file(shelves.fill(tmp_path), **keys))


def contents(study):
    folder = study.folder / "findings" / study.run().key
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Listening(Silent):
    """Records the messages."""

    def __init__(self):
        self.messages = []

    def say(self, text):
        self.messages.append(text)


class Here(LocalExecutor):
    """Runs all tasks in this process, the last first."""

    def run(self, make_worker, tasks, on_result, say):
        worker = make_worker(1)
        for task in reversed(tasks):
            on_result(worker(task))
        return []


def test_two_processes_say_what_one_says_to_the_byte(study):
    mematlas.analyze(study)
    known, made = contents(study), (study.folder / "made.json").stat().st_mtime_ns
    for path in (study.folder / "findings").rglob("*.json"):
        path.unlink()
    listening = Listening()
    outcome = recompute_findings(study, progress=listening, workers=TWO)
    assert contents(study) == known
    assert list(outcome.findings) == list(ANALYSES)
    assert len(known) > 2 * len(ANALYSES)
    assert (study.folder / "made.json").stat().st_mtime_ns != made
    assert listening.messages[0] == f"{len(ANALYSES)} analyses, 2 workers ..."
    assert sorted(listening.messages[1:]) == sorted(f"analysis {name}: done" for name in ANALYSES)


def test_an_analysis_that_breaks_or_kills_its_workers_keeps_no_other_from_being_written(study, monkeypatch):
    class Losing(Here):
        def run(self, make_worker, tasks, on_result, say):
            super().run(make_worker, [task for task in tasks if task != "overlap"], on_result, say)
            return [FailedTask("overlap", 4, "signal 9, often for lack of memory")]

    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", Losing)
    monkeypatch.setattr(size, "ANALYSIS", replace(size.ANALYSIS, compute=lambda tables: 1 // 0))
    outcome = recompute_findings(study, ["size", "distribution", "overlap", "context"], workers=TWO)
    assert list(outcome.findings) == ["distribution", "context"]  # in whatever order they finished
    assert list(outcome.failures) == ["size", "overlap"]
    with pytest.raises(
        StudyError, match=r"2 of 4 .*: size \(ZeroDivisionError: .*\); overlap \(4 workers died while running it \(the"
    ):
        outcome.check()


def test_the_longest_are_begun_first_and_none_is_left_out():
    assert longest_first(ANALYSES)[: len(LONGEST)] == list(LONGEST)
    assert sorted(longest_first(ANALYSES)) == sorted(ANALYSES)
    assert set(LONGEST) <= set(ANALYSES)
    assert longest_first(["size", "entropy", "context"]) == ["entropy", "size", "context"]


def test_a_study_file_says_who_analyses(study, monkeypatch):
    asked = []
    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", lambda crew: asked.append(crew) or Here(crew))
    path = shelves.study_file(
        study.folder.parent, gallery="false", analyses="[size, distribution]", workers="2", scope="stream"
    )
    mematlas.run(path)
    assert [(crew.workers, crew.address, crew.gpus) for crew in asked] == [(2, None, 0)] * 2  # counting, analysing


def test_the_command_line_passes_the_options_on(study, capsys):
    assert run(["analyze", "study", "--only", "size", "--workers", "2"]) == 0
    assert "analysis size ..." in capsys.readouterr().err  # one task needs no second process
    assert run(["analyze", "study", "--address", "auto"]) == 2
    assert "--address auto is an option of Ray clusters only: add --executor ray" in capsys.readouterr().err
    with pytest.raises(OptionError, match="--workers: Input should be greater than 0"):
        mematlas.analyze(study, workers=0)
