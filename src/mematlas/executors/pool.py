"""Tasks carried out by the workers that options ask for: what scoring, counting, analysing and fitting share."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mematlas.errors import StudyError
from mematlas.executors import EXECUTORS
from mematlas.executors.base import Executor, FailedTask, MakeWorker, Result, Say, Task, WorkerPool
from mematlas.executors.options import WorkerOptions


def map_tasks(
    options: WorkerOptions,
    make_worker: "MakeWorker[Task, Result]",
    tasks: Sequence[Task],
    on_result: Callable[[Result], None],
    say: Say,
    gpus: float | None = 0,
) -> "list[FailedTask[Task]]":
    """Carry out `tasks`, begun in their order, wherever the options say; see `base.Executor.run`.

    Args:
        gpus: see `WorkerPool`; work that needs none asks for none.
    """
    executor: Executor = EXECUTORS.load(options.executor)(WorkerPool(options.workers, options.address, gpus))
    return executor.run(make_worker, tasks, on_result, say)


def raise_failed(lost: "Sequence[FailedTask[Any]]", units: str, rest: str) -> None:
    """Tell of tasks that were given up.

    Args:
        units: what tasks are called; rest: what is kept, and the remedy, as "all others are kept. Do this."

    Raises:
        StudyError: there are any.
    """
    if lost:
        first, more = lost[0], f" and {len(lost) - 1} more {units} were given up" if len(lost) > 1 else ""
        raise StudyError(
            f"{first.task} was given up after {first.tries} workers died of it (the last one: {first.how}){more}; "
            f"{rest}"
        )


def enter_folder(folder: Path) -> None:
    """Let a worker see relative paths from the folder in which the command was given.

    Raises:
        StudyError: it is not there.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise StudyError(
            f"A worker does not see the folder {folder} ({error.strerror}); run the command in a folder that "
            "all machines share."
        ) from None
