"""Arms as tasks of the executors: every worker process trains one arm at a time, from its last saved state.

The task carries the whole arm, so a worker needs neither the corpus nor the configuration; it writes to the arm's
folder itself: bit for bit what a thread of the command writes with the same number of torch's threads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.executors.pool import enter_folder
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.trainer import train_arm
from mematlas.models.threads import limit_threads

if TYPE_CHECKING:
    from mematlas.executors.base import WorkerFactory


@dataclass(frozen=True, slots=True, eq=False)
class ArmTask:
    """An arm and how it is trained. folder: of the arm, as seen from the folder in which the command was run."""

    arm: Arm
    folder: Path
    device: str
    state_every: int

    def __str__(self) -> str:
        return self.arm.label


def arm_workers() -> "WorkerFactory[ArmTask, str]":
    """A picklable factory: called with a number of threads in the worker process, it returns the worker."""
    return partial(_arm_worker, Path.cwd())


def _arm_worker(folder: Path, threads: int) -> Callable[[ArmTask], str]:
    enter_folder(folder)
    limit_threads(threads)
    return _train


def _train(task: ArmTask) -> str:
    """Train an arm to its end; returns its label."""
    train_arm(task.arm, task.folder, state_every=task.state_every, device=task.device)
    return task.arm.label


def gpus_per_worker(device: str, executor: str) -> float | None:
    """GPUs of each worker, as `executors.base.WorkerPool` has it; local workers all see a GPU that is named."""
    if not device.startswith(("cuda", "auto")):
        return 0
    return None if executor == "ray" or device in ("auto", "cuda") else 0
