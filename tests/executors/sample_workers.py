"""Workers that need no model, as functions of a module, so that they can be called in another process."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from mematlas.errors import ModelError


def make_squarer(threads):
    """Tells (task, its square, the process, the threads it may use)."""
    return lambda task: (task, task * task, os.getpid(), threads)


def make_mortal(folder, deadly, deaths, threads):
    """Squares, but its process is killed by the task `deadly`, `deaths` times; each try leaves a file."""

    def work(task):
        (Path(folder) / f"{task}-{time.monotonic_ns()}").touch()
        tries = len(list(Path(folder).glob(f"{task}-*")))
        if task == deadly and tries <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return task * task

    return work


def make_refusing(folder, threads):
    """Refuses the task 2, as for want of a model."""

    def work(task):
        (Path(folder) / str(task)).touch()
        if task == 2:
            raise ModelError("the model is gone; bring it back.")
        return task

    return work


def mortal(folder, deadly, deaths):
    return partial(make_mortal, str(folder), deadly, deaths)


def refusing(folder):
    return partial(make_refusing, str(folder))


def kills_its_process_once(mark, make, *arguments):
    """What `make` makes of the arguments, but the first process that has a task is killed by it; it leaves `mark`."""
    return partial(_killed_once, Path(mark), make(*arguments))


def _killed_once(mark, make_worker, threads):
    worker = make_worker(threads)

    def work(task):
        try:
            mark.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            return worker(task)

    return work
