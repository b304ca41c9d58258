"""Twins: arms that go on from one model through the same batches, and differ in what is injected and nowhere else.

    base       | base_steps  -> one model
    control    |               | background
    treatment  |               | the same background, with texts put into some of its rows

What the experiments `inject` and `facts` have in common.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from mematlas.experiments.base import ExperimentConfig
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name, neox_config
from mematlas.experiments.training.probe_sets import ProbeSet

_WARM_UP: Final = 30


class TwinsConfig(ExperimentConfig):
    """The keys of the files of experiments with twins."""

    base_steps: int = Field(default=300, description="Steps on the background before the arms.", gt=0)
    rate: float = Field(default=1.0, description="Rate of the arms, as a share of the size's peak rate.", ge=0)
    held_out_rows: int = Field(default=128, description="Rows never shown, on which the loss is measured.", gt=1)

    def group(self, size: Size, seed: int) -> str:
        """The label of a base model, with which those of its arms begin."""
        return f"{size.label(self.vocabulary)}-seed{seed}"


def background(tokens: NDArray[Any], first: int, count: int, seed: int, batch: int, **labels: Any) -> Plan:
    """The plan that shows `count` rows once, in an order of the seed; first: the position of the first of them."""
    order = first + np.random.default_rng(seed).permutation(count)
    return Plan.from_order(tokens, order, batch, **labels)


def base_arm(size: Size, seed: int, config: TwinsConfig, plan: Plan, tokenizer: PreTrainedTokenizerBase) -> Arm:
    """The model that twins go on from; plan: the background of all their steps."""
    starts = plan.starts[: config.base_steps + 1]
    return Arm(
        label=config.group(size, seed),
        start=neox_config(size, len(tokenizer), config.row_length),
        plan=replace(plan, rows=plan.rows[: starts[-1]], starts=starts),
        schedule=Schedule(size.peak_rate, warm_up=min(_WARM_UP, config.base_steps)),
        seed=seed,
        tokenizer=tokenizer,
        keeps_optimizer=True,
    )


def twin_arm(base: Arm, name: str, plan: Plan, probes: tuple[ProbeSet, ...], config: TwinsConfig, folder: Path) -> Arm:
    """An arm that goes on from a base model; plan: of all its steps, with those of the base; folder: of all arms."""
    start = folder / base.label / checkpoint_name(config.base_steps)
    return replace(
        base,
        label=f"{base.label}--{name}",
        start=start,
        optimizer_start=start,
        keeps_optimizer=False,
        done=config.base_steps,
        plan=plan,
        schedule=replace(base.schedule, peak=base.schedule.peak * config.rate),
        probes=probes,
    )
