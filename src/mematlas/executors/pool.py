"""Runs tasks with the workers that the options request; shared by scoring, counting, analysing and fitting."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mematlas.errors import StudyError
from mematlas.executors import EXECUTORS
from mematlas.executors.base import Executor, FailedTask, Result, Say, Task, WorkerFactory, WorkerPool
from mematlas.executors.options import WorkerOptions


def map_tasks(
    options: WorkerOptions,
    make_worker: "WorkerFactory[Task, Result]",
    tasks: Sequence[Task],
    on_result: Callable[[Result], None],
    say: Say,
    gpus: float | None = 0,
) -> "list[FailedTask[Task]]":
    """Run `tasks`, started in their order, with the executor that the options name; see `base.Executor.run`.

    Args:
        gpus: GPUs of each worker, see `WorkerPool`; none by default.
    """
    executor: Executor = EXECUTORS.load(options.executor)(WorkerPool(options.workers, options.address, gpus))
    return executor.run(make_worker, tasks, on_result, say)


def raise_failed(failed_tasks: "Sequence[FailedTask[Any]]", units: str, remedy: str) -> None:
    """Raise an error if any task was given up.

    Args:
        units: the plural noun for tasks; remedy: what is kept and what to do, as "all others are kept. Do this."

    Raises:
        StudyError: there are failed tasks.
    """
    if failed_tasks:
        first = failed_tasks[0]
        more = f" and {len(failed_tasks) - 1} more {units} were given up" if len(failed_tasks) > 1 else ""
        raise StudyError(
            f"{first.task} was given up after {first.attempts} workers died while running it (the last one: "
            f"{first.reason}){more}; {remedy}"
        )


def enter_folder(folder: Path) -> None:
    """Change a worker's directory to the one in which the command was run, so that relative paths mean the same.

    Raises:
        StudyError: the folder does not exist on the worker's machine.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise StudyError(
            f"A worker does not see the folder {folder} ({error.strerror}); run the command in a folder that "
            "all machines share."
        ) from None
