"""The protocol of steps: what every step in STEPS must do, and what the runner does for any list of tasks."""

import dataclasses

import pytest

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.cli import run as command
from mematlas.errors import StudyError
from mematlas.executors.base import FailedTask
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.pipeline.run import build_steps, run_file
from mematlas.pipeline.step import Step, StepContext, StepStatus, TaskStep, run_steps, run_tasks, step_statuses
from mematlas.pipeline.steps import STEPS
from mematlas.pipeline.study_file import read_study_file
from mematlas.progress import Silent
from mematlas.scoring.job import resolve_job
from tests import study_shelf as shelves


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def context(shelf, **changed):
    file = read_study_file(shelves.study_file(shelf, **changed))
    return StepContext(file, resolve_job(file.models, file.config, extend=False))


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Toy(TaskStep[int, int]):
    """Doubles numbers."""

    name = "toy"
    units = "numbers"
    remedy = "the others are kept. Try again."

    def __init__(self, folder, numbers, kept=()):
        self.numbers, self.kept, self.log = numbers, dict(kept), []
        self._folder = folder

    @classmethod
    def from_context(cls, context):
        return cls(context.study.folder, [1, 2])

    @property
    def folder(self):
        return self._folder

    def tasks(self):
        return [number for number in self.numbers if number not in self.kept]

    def is_current(self):
        return not self.tasks()

    def execute(self, workers, progress):
        run_tasks(self, workers, progress)

    def prepare(self, tasks):
        self.log.append(f"prepare {tasks}")

    def run_here(self, tasks, progress):
        for number in tasks:
            self.store((number, 2 * number), progress)

    def start_shared(self, tasks, workers, progress):
        self.log.append(f"{len(tasks)} tasks, {workers} workers")

    def worker_factory(self):
        return lambda threads: lambda number: (number, 2 * number)

    def store(self, result, progress):
        self.kept[result[0]] = result[1]


class InProcess:
    """An executor without processes, which gives up task 13."""

    def __init__(self, pool):
        self.pool = pool

    def run(self, make_worker, tasks, on_result, say):
        worker = make_worker(1)
        for task in tasks:
            if task != 13:
                on_result(worker(task))
        return [FailedTask(task, 4, "signal 9") for task in tasks if task == 13]


def test_every_step_of_the_table_goes_by_its_name():
    assert list(STEPS) == ["scoring", "features", "occurrences", "predictors", "analyses", "gallery", "report"]
    for name in STEPS:
        step = STEPS.load(name)
        assert issubclass(step, Step)
        assert step.name == name
        assert STEPS.summary(name)


def test_executed_steps_are_done_and_do_nothing_a_second_time(shelf):
    run_file(read_study_file(shelves.study_file(shelf)), Silent())
    before = times(shelf / "study")
    steps = build_steps(context(shelf))
    expected = {name: "off" if name in ("predictors", "report") else "done" for name in STEPS}
    assert {name: status.text for name, status in step_statuses(steps).items()} == expected
    run_steps(steps, SINGLE_PROCESS, Silent())
    assert {path.name for path, time in times(shelf / "study").items() if before.get(path) != time} <= {"index.json"}


def test_a_step_with_work_makes_the_later_ones_outdated_but_not_features(shelf):
    run_file(read_study_file(shelves.study_file(shelf)), Silent())
    (marker, *_) = (shelf / "study" / "scores").rglob("*.done")
    marker.unlink()
    texts = {name: status.text for name, status in step_statuses(build_steps(context(shelf))).items()}
    assert texts["scoring"] == "1 of 3 models to score"
    assert texts["features"] == "done"
    assert (texts["occurrences"], texts["gallery"], texts["report"]) == ("to do", "to do", "off")
    assert texts["analyses"] == f"{len(ANALYSES)} of {len(ANALYSES)} to do"


def test_every_enabled_step_says_what_it_wrote_and_show_lists_it(shelf, capsys, monkeypatch):
    monkeypatch.chdir(shelf)
    outcome = run_file(read_study_file(shelves.study_file(shelf, analyses="size")), Silent())
    lines = {step.name: step.summary() for step in outcome.steps}
    assert "Scores of 3 models" in lines["scoring"]
    assert "1 findings" in lines["analyses"]
    assert lines["report"] == f"The report is off; write it with: mematlas report {outcome.study.folder}"
    assert outcome.output("report") is None
    assert outcome.output("gallery").is_file()
    assert command(["show", "study"]) == 0
    shown = capsys.readouterr().out.partition("results:")[2].split()
    assert shown[0::2] == ["features", "occurrences", "analyses", "gallery"]
    assert all((shelf / path).exists() for path in shown[1::2])


def test_tasks_are_done_here_or_by_workers_with_the_same_result(tmp_path, monkeypatch):
    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", InProcess)
    here, shared = (Toy(tmp_path, [1, 2, 3], {2: 4}) for _ in range(2))
    here.execute(SINGLE_PROCESS, Silent())
    shared.execute(WorkerOptions(workers=2), Silent())
    assert here.kept == shared.kept == {1: 2, 2: 4, 3: 6}
    assert here.log == ["prepare [1, 3]"]
    assert shared.log == ["prepare [1, 3]", "2 tasks, 2 workers"]


def test_a_task_given_up_is_one_error_and_all_others_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", InProcess)
    step = Toy(tmp_path, [1, 13, 2])
    with pytest.raises(StudyError, match=r"13 was given up after 4 workers .*; the others are kept\. Try again\."):
        step.execute(WorkerOptions(workers=2), Silent())
    assert step.kept == {1: 2, 2: 4}
    assert step.tasks() == [13]


def test_progress_is_stopped_even_if_a_task_fails(tmp_path):
    class Failing(Toy):
        def run_here(self, tasks, progress):
            raise StudyError("no")

    class Watching(Silent):
        stops = 0

        def stop(self):
            self.stops += 1

    progress = Watching()
    with pytest.raises(StudyError, match="no"):
        Failing(tmp_path, [1]).execute(SINGLE_PROCESS, progress)
    assert progress.stops == 1


def test_a_new_step_is_a_class_and_a_line_in_the_table(shelf, monkeypatch):
    monkeypatch.setitem(STEPS._members, "toy", (f"{__name__}:Toy", None, "doubles numbers"))
    outcome = run_file(read_study_file(shelves.study_file(shelf, gallery="false", analyses="size")), Silent())
    assert outcome.steps[-1].kept == {1: 2, 2: 4}
    assert step_statuses(build_steps(context(shelf)))["toy"] == StepStatus(False, "to do")


def test_a_disabled_step_is_cleared_and_counts_as_done(shelf):
    class Clearing(Toy):
        def clear(self):
            self.log.append("cleared")

    step = Clearing(shelf, [1])
    step.enabled = False
    run_steps([step], SINGLE_PROCESS, Silent())
    assert (step.log, step.kept) == (["cleared"], {})
    assert step_statuses([step])["toy"] == StepStatus(True, "off")


def test_a_context_gives_the_study_of_the_file_even_if_the_job_has_another_folder(shelf):
    given = context(shelf)
    moved = dataclasses.replace(given.job, config=given.job.config.model_copy(update={"study": shelf / "other"}))
    assert StepContext(given.file, moved).study.folder == shelf / "study"
    assert mematlas.open_study(shelf / "study").run().key == given.run.key
