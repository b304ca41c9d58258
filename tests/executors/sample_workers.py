"""Workers that need no model, as functions of a module, so that they can be pickled."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from mematlas.errors import ModelError


def make_squarer(threads):
    """Its worker returns (task, its square, the process, the threads it may use)."""
    return lambda task: (task, task * task, os.getpid(), threads)


def make_killed_worker(folder, deadly_task, deaths, threads):
    """Its worker squares, but is killed by `deadly_task` the first `deaths` times; each attempt leaves a file."""

    def work(task):
        (Path(folder) / f"{task}-{time.monotonic_ns()}").touch()
        attempts = len(list(Path(folder).glob(f"{task}-*")))
        if task == deadly_task and attempts <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return task * task

    return work


def make_failing_worker(folder, threads):
    """Its worker raises a user error for task 2."""

    def work(task):
        (Path(folder) / str(task)).touch()
        if task == 2:
            raise ModelError("the model is gone; bring it back.")
        return task

    return work


def killed_worker(folder, deadly_task, deaths):
    return partial(make_killed_worker, str(folder), deadly_task, deaths)


def failing_worker(folder):
    return partial(make_failing_worker, str(folder))


def killed_once(mark, make_factory, *arguments):
    """Returns `make_factory(*arguments)`, but the first process that gets a task creates `mark` and is killed."""
    return partial(_killed_once, Path(mark), make_factory(*arguments))


def _killed_once(mark, make_worker, threads):
    worker = make_worker(threads)

    def work(task):
        try:
            mark.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            return worker(task)

    return work
