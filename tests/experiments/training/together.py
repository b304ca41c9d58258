"""What two processes do that train arms together: `torchrun ... -m tests.experiments.training.together FOLDER LAUNCH`.

Beside each arm's folder, a file has the losses of the steps that this launch made.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mematlas.experiments.design.plan import Plan
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.placement import Part, Placement
from mematlas.experiments.training.sharded import Sharded, joined_processes
from mematlas.experiments.training.trainer import train_arm
from tests.experiments.training.test_trainer import CONFIGS, HAS_PEFT, arm, tokens

ALL = [*CONFIGS, *(["lora"] if HAS_PEFT else [])]
BRANCH, STEPS, KILLED_AT = "branch", 8, 6


def together(kind: str, folder: Path) -> Arm:
    """An arm with batches of three rows, which two processes divide unequally, and a last one of a single row.

    folder: with a trained arm "neox", where the arm BRANCH starts with its weights and moments.
    """
    order = np.random.default_rng(1).integers(0, 8, 3 * STEPS - 2)
    one = arm("neox" if kind == BRANCH else kind, plan=Plan.from_order(tokens(), order, 3), keeps_optimizer=True)
    start = folder / "neox" / last_model()
    one = replace(one, start=start, optimizer_start=start) if kind == BRANCH else one
    return replace(one, probes=tuple(replace(probe, steps=(0, 3, STEPS)) for probe in one.probes))


def last_model() -> str:
    return f"step-{STEPS:06d}"


def train(one: Arm, folder: Path, placement: Placement | None = None, *, kill: bool = False) -> None:
    """Train, noting the losses; kill: this process, which is the first one, after some steps."""
    losses = []

    def note(step: int, steps: int, loss: float | None, label: str) -> None:
        losses.append(loss)
        if kill and step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    train_arm(one, folder, note, state_every=2, placement=placement)
    if losses:
        folder.with_suffix(".json").write_text(json.dumps(losses))


class Unscaled(Sharded):
    """The negative control: every process takes the mean over its own rows, however many."""

    def part(self, rows: int) -> Part:
        part = super().part(rows)
        return replace(part, weight=1.0 if part.share else 0.0)


def train_loop_per_worker(config: dict[str, str]) -> None:
    """The loop of Ray Train, which has initialised the process group."""
    folder = Path(config["folder"])
    train(together("llama", folder), folder / "llama", Sharded(torch.device("cpu")))


def main(folder: Path, launch: str) -> None:
    with joined_processes("cpu") as placement:
        if launch == "killed":
            for kind in [*ALL, BRANCH]:
                train(together(kind, folder), folder / kind, placement)
            train(together("neox", folder), folder / "unscaled", Unscaled(placement.device))
        train(together("neox", folder), folder / "again", placement, kill=launch == "killed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
