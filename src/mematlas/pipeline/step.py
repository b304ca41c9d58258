"""The protocol of a study's steps, which `mematlas run` executes in turn and `mematlas run --dry-run` and `show` list.

A step is a file in `pipeline/steps` and a line in its table STEPS. It says whether its output is current, computes
what is missing, and records that. Most work is a list of tasks (shards, fits, analyses): a `TaskStep` says which tasks
are missing, how a worker does one and how a result is stored, and `run_tasks` does the rest.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Self

from mematlas.executors.base import FailedTask, Result, Task, WorkerFactory
from mematlas.executors.options import WorkerOptions
from mematlas.executors.pool import map_tasks, raise_failed
from mematlas.io.paths import check_shared
from mematlas.pipeline.study_file import StudyFile
from mematlas.progress import Progress
from mematlas.scoring.job import ScoringJob
from mematlas.scoring.reopen import ScoredRows, job_rows
from mematlas.study import Run, Study


@dataclass(frozen=True)
class StepContext:
    """What the steps of a study file are built from: the file, and the scoring job that it describes.

    The job of a dry run has a folder of its own; `study` is always the one that the file names.
    """

    file: StudyFile
    job: ScoringJob

    @property
    def study(self) -> Study:
        return Study(self.file.study)

    @property
    def run(self) -> Run:
        return self.job.run

    @cached_property
    def scored_rows(self) -> ScoredRows:
        return job_rows(self.job)


@dataclass(frozen=True, slots=True)
class StepStatus:
    """The state of a step. done: nothing of it is missing or outdated; text: the state in a few words."""

    done: bool
    text: str


class Step(ABC):
    """One step of a study.

    announcement: shown by `run_steps` before work begins, None for no message; enabled: False if the study file
    switches the step off. A disabled step counts as done.
    """

    name: ClassVar[str]
    announcement: ClassVar[str | None] = None
    enabled: bool = True

    @classmethod
    @abstractmethod
    def from_context(cls, context: StepContext) -> Self:
        """The step as a study file configures it."""

    @abstractmethod
    def is_current(self) -> bool:
        """Whether the output exists and was computed from the inputs as they are now."""

    @abstractmethod
    def execute(self, workers: WorkerOptions, progress: Progress) -> None:
        """Compute what is missing or outdated, and record it; do nothing if everything is current.

        Raises:
            MematlasError: one line with value, rule and remedy; what is finished is kept.
        """

    def clear(self) -> None:  # noqa: B027  most steps have nothing to remove
        """Called instead of `execute` if the step is disabled: remove an output that is no longer valid."""

    def status(self, upstream_pending: bool) -> StepStatus:
        """The state of the step; upstream_pending: whether an earlier step has work to do."""
        if not self.enabled:
            return StepStatus(True, "off")
        done = not upstream_pending and self.is_current()
        return StepStatus(done, "done" if done else "to do")

    def summary(self) -> str | None:
        """A line that tells the user what the step wrote and how to use it; None if there is nothing to tell."""
        return None

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        """The path of the step's output for a run, current or not; None if there is none. For `mematlas show`."""
        return None


class TaskStep(Step, Generic[Task, Result]):
    """A step whose work is a list of tasks, which an executor's workers can share.

    units: what tasks are called in messages; remedy: what is kept and what the user can do after a task failed; gpus:
    of each worker, see `executors.base.WorkerPool`.
    """

    units: ClassVar[str]
    remedy: ClassVar[str]
    gpus: float | None = 0

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The study folder, which all workers must share."""

    @abstractmethod
    def tasks(self) -> list[Task]:
        """The tasks that are missing."""

    def split(self, tasks: list[Task]) -> Sequence[Any]:
        """The tasks as workers take them; finer than `tasks` if these are too few to share."""
        return tasks

    def prepare(self, tasks: list[Task]) -> None:
        """Called before the first task, once workers are known to share the folder."""

    @abstractmethod
    def run_here(self, tasks: list[Task], progress: Progress) -> None:
        """Do the tasks in this process and store their results."""

    @abstractmethod
    def start_shared(self, tasks: Sequence[Any], workers: int, progress: Progress) -> None:
        """Begin the progress display of tasks that `workers` processes share."""

    @abstractmethod
    def worker_factory(self) -> WorkerFactory[Any, Any]:
        """A picklable factory of workers for other processes; it is called with the number of threads of a worker."""

    @abstractmethod
    def store(self, result: Any, progress: Progress) -> None:
        """Store the result of a worker's task; called in this process."""

    def handle_failed(self, failed: list[FailedTask[Any]]) -> None:
        """Called after all tasks, with those given up because their workers kept dying.

        Raises:
            StudyError: there are any.
        """
        raise_failed(failed, self.units, self.remedy)


def run_tasks(step: TaskStep[Task, Result], workers: WorkerOptions, progress: Progress) -> None:
    """Do the missing tasks of a step, in this process or by an executor's workers."""
    tasks = step.tasks()
    shared = step.split(tasks)
    try:
        if not workers.uses_workers(len(shared)):
            step.prepare(tasks)
            step.run_here(tasks, progress)
            return
        check_shared(step.folder)
        step.prepare(tasks)
        step.start_shared(shared, min(workers.workers, len(shared)), progress)
        failed = map_tasks(
            workers,
            step.worker_factory(),
            shared,
            lambda result: step.store(result, progress),
            progress.say,
            step.gpus,
        )
        step.handle_failed(failed)
    finally:
        progress.stop()


def run_steps(steps: Sequence[Step], workers: WorkerOptions, progress: Progress) -> None:
    """Execute the enabled steps in their order."""
    for step in steps:
        if not step.enabled:
            step.clear()
            continue
        if step.announcement and not step.is_current():
            progress.say(step.announcement)
        step.execute(workers, progress)


def step_statuses(steps: Sequence[Step]) -> dict[str, StepStatus]:
    """The state of every step by name; a step with work to do makes those after it outdated."""
    statuses: dict[str, StepStatus] = {}
    for step in steps:
        statuses[step.name] = step.status(any(not status.done for status in statuses.values()))
    return statuses
