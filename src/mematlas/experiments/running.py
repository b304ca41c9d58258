"""Trains the arms of an experiment, stage after stage, and collects what the study keeps of them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import torch

from mematlas.experiments.base import Design
from mematlas.experiments.design.plan import first_difference, write_plan
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name
from mematlas.experiments.training.side_by_side import Progress, side_by_side
from mematlas.experiments.training.trainer import read_probes, train_arm
from mematlas.study import write_json

STATE_EVERY = 100
"""Steps after which an arm's state is saved, so that no more than these are lost."""


def train_design(design: Design, folder: Path, progress: Progress, *, at_once: int, device: str) -> None:
    """Train every arm in `folder`/arms, write the plans to `folder`/plans, and experiment.json last.

    Raises:
        StudyError: the folder cannot be written or contains something else.
    """
    for arm in design.arms:
        write_plan(folder / "plans" / arm.label, arm.plan)
    for stage in design.stages:
        jobs = [_job(arm, folder / "arms" / arm.label, device) for arm in stage]
        side_by_side(jobs, min(at_once, torch.get_num_threads()) if device == "cpu" else 1, progress)
    write_json(folder / "experiment.json", {"arms": [_describe(arm, design) for arm in design.arms]})


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


def _job(arm: Arm, folder: Path, device: str) -> Callable[[Progress], object]:
    return partial(train_arm, arm, folder, state_every=STATE_EVERY, device=device)


def _describe(arm: Arm, design: Design) -> dict[str, Any]:
    """The arm's fingerprint, and the first step in which its batches differ from those of its group's first arm."""
    group = arm.label.partition("--")[0]
    compared = [other for other in design.scored if other.label.startswith(f"{group}--")]
    difference = first_difference(arm.plan, compared[0].plan) if compared and arm.done else None
    return {
        "label": arm.label,
        "fingerprint": arm.fingerprint(),
        "steps": arm.plan.steps,
        "compared_with": compared[0].label if compared and arm.done else None,
        "first_different_step": difference,
    }
