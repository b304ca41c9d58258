"""Workers that are killed while they train an arm, as functions of a module, so that they can be pickled."""

import os
import signal
from functools import partial
from pathlib import Path

from mematlas.errors import StudyError
from mematlas.experiments import workers
from mematlas.experiments.training.trainer import train_arm


def killed_midway(folder: Path, label: str, step: int, failing: str = ""):
    """A factory of workers; the first that reaches this step of the arm is killed. Its steps are noted in `folder`.

    failing: an arm that ends with a user's error.
    """
    return partial(_killed_midway, workers.arm_workers(), folder.resolve(), label, step, failing)


def _killed_midway(make_worker, folder, label, deadly_step, failing, threads):
    def train(arm, arm_folder, **options):
        def report(step, steps, loss, name):
            with (folder / f"{name}-{os.getpid()}").open("a") as file:
                file.write(f"{step}\n")
            mark = folder / "killed"
            if (name, step) == (label, deadly_step) and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        if arm.label == failing:
            raise StudyError(f"{arm.label} has no room; free some.")
        return train_arm(arm, arm_folder, report, **options)

    workers.train_arm = train
    return make_worker(threads)


def steps_of(folder: Path, label: str) -> list[list[int]]:
    """The steps of an arm that each process made, first those of the process that started it."""
    notes = [[int(line) for line in path.read_text().split()] for path in folder.glob(f"{label}-*")]
    return sorted(notes)
