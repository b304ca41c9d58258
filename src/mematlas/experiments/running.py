"""Trains the arms of an experiment, stage after stage, and collects what the study keeps of them."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import torch

from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.executors.pool import map_tasks, raise_failed
from mematlas.experiments.base import Design
from mematlas.experiments.design.plan import first_difference, write_plan
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name
from mematlas.experiments.training.placement import Placement
from mematlas.experiments.training.side_by_side import Progress, side_by_side
from mematlas.experiments.training.trainer import is_trained, read_probes, train_arm
from mematlas.experiments.workers import ArmTask, arm_workers, gpus_per_worker
from mematlas.progress import Progress as Display
from mematlas.progress import Silent
from mematlas.study import write_json

STATE_EVERY = 100
"""Steps after which an arm's state is saved, so that no more than these are lost."""


def train_design(
    design: Design,
    folder: Path,
    progress: Progress,
    *,
    at_once: int,
    device: str,
    workers: WorkerOptions = SINGLE_PROCESS,
    display: Display | None = None,
) -> None:
    """Train every arm in `folder`/arms, write the plans to `folder`/plans, and experiment.json last.

    Args:
        progress: called after every step of arms that this process trains.
        at_once: arms that this process trains at the same time, if it does.
        workers: the processes that train instead; one worker is this process.
        display: told of every arm that a worker has finished.

    Raises:
        StudyError: the folder cannot be written or contains something else, or an arm was given up.
        ModelError: an arm cannot start.
    """
    _write_plans(design, folder)
    for stage in design.stages:
        tasks = [ArmTask(arm, folder / "arms" / arm.label, device, STATE_EVERY) for arm in stage]
        missing = [task for task in tasks if not is_trained(task.arm, task.folder)]
        if workers.uses_workers(len(missing)):
            _train_shared(missing, len(tasks), workers, display or Silent())
        else:
            jobs = [_job(task) for task in missing]
            side_by_side(jobs, min(at_once, torch.get_num_threads()) if device == "cpu" else 1, progress)
    _write_manifest(design, folder, processes=1)


def train_design_together(design: Design, folder: Path, progress: Progress, placement: Placement) -> None:
    """`train_design` by several processes that train every arm together, one arm after the other.

    All of them call this with the same design; the first one writes and reports.
    """
    if placement.is_first:
        _write_plans(design, folder)
    for arm in design.arms:
        train_arm(arm, folder / "arms" / arm.label, progress, state_every=STATE_EVERY, placement=placement)
    if placement.is_first:
        _write_manifest(design, folder, placement.size)


def _train_shared(tasks: Sequence[ArmTask], total: int, workers: WorkerOptions, display: Display) -> None:
    """Let worker processes train the arms of a stage; total: with those that are finished already.

    Raises:
        MematlasError: the first error that an arm ended with; arms that were in training then are finished.
        StudyError: an arm was given up, because its workers kept dying; all others are finished.
    """
    crew = min(workers.workers, len(tasks))
    display.start(f"training, {crew} worker{'s' * (crew > 1)}", total, total - len(tasks), "models")
    gpus = gpus_per_worker(tasks[0].device, workers.executor)
    try:
        failed = map_tasks(workers, arm_workers(), tasks, lambda label: display.advance(1), display.say, gpus)
    finally:
        display.stop()
    raise_failed(failed, "models", "all others are kept. Use fewer --workers, and run the same command again.")


def model_folder(arm: Arm, folder: Path) -> Path:
    """The folder of the arm's last model."""
    return folder / "arms" / arm.label / checkpoint_name(arm.plan.steps)


def model_label(arm: Arm) -> str:
    """The label of the arm's last model in a study."""
    return f"{arm.label}-{checkpoint_name(arm.plan.steps)}"


def collect_probes(design: Design, folder: Path) -> pa.Table:
    """What was measured while the arms trained; see `study.schemas.probes`."""
    return pa.concat_tables([read_probes(arm, folder / "arms" / arm.label) for arm in design.arms])


def collect_exposures(design: Design) -> pl.DataFrame:
    """How often every scored row was shown to every scored model; see `study.schemas.exposures`."""
    frames = [
        pl.DataFrame(arm.plan.exposures())
        .filter(pl.col("row") < design.rows)
        .with_columns(model=pl.lit(model_label(arm)))
        for arm in design.scored
    ]
    return pl.concat(frames)


def _job(task: ArmTask) -> Callable[[Progress], object]:
    return partial(train_arm, task.arm, task.folder, state_every=task.state_every, device=task.device)


def _write_plans(design: Design, folder: Path) -> None:
    for arm in design.arms:
        write_plan(folder / "plans" / arm.label, arm.plan)


def _write_manifest(design: Design, folder: Path, processes: int) -> None:
    write_json(folder / "experiment.json", {"arms": [_describe(arm, design, processes) for arm in design.arms]})


def _describe(arm: Arm, design: Design, processes: int) -> dict[str, Any]:
    """The arm's fingerprint, and the first step in which its batches differ from those of its group's first arm."""
    group = arm.label.partition("--")[0]
    compared = [other for other in design.scored if other.label.startswith(f"{group}--")]
    difference = first_difference(arm.plan, compared[0].plan) if compared and arm.done else None
    return {
        "label": arm.label,
        "fingerprint": arm.fingerprint(processes),
        "steps": arm.plan.steps,
        "compared_with": compared[0].label if compared and arm.done else None,
        "first_different_step": difference,
    }
