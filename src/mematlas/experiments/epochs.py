"""Training for several epochs: the same rows once an epoch, measured after each, beside rows that are never shown.

What the experiments `dynamics` and `ids` have in common.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mematlas.experiments.base import ExperimentConfig
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.study_rows import ExperimentRows, prepare_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import neox_config
from mematlas.experiments.training.probe_sets import ProbeSet

_WARM_UP: Final = 30


class EpochsConfig(ExperimentConfig):
    """The keys of the files of experiments that train for epochs."""

    epochs: int = Field(default=40, description="How often every training row is shown.", gt=0)
    train_rows: int = Field(default=192, description="Rows that are shown once an epoch.", gt=0)
    validation_rows: int = Field(default=192, description="Rows that are never shown.", gt=0)
    blocks: int = Field(default=8, description="Parts of each set of rows, over which intervals are computed.", gt=1)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; its last batch may be a smaller one."""
        return -(-self.train_rows // self.batch)

    @property
    def steps(self) -> int:
        """Steps of every arm."""
        return self.epochs * self.steps_per_epoch

    def label(self, size: Size, seed: int) -> str:
        """The name of the models of a size and a seed."""
        return f"{size.label(self.vocabulary)}-seed{seed}"


def epochs_rows(config: EpochsConfig, folder: Path) -> ExperimentRows:
    """The rows, written to `folder`; all training rows are scored.

    Raises:
        CorpusError: the texts are missing or too few.
    """
    return prepare_rows(
        folder,
        text_documents(config.corpus),
        train=config.train_rows,
        scored=config.train_rows,
        control=config.validation_rows,
        row_length=config.row_length,
        vocabulary=config.vocabulary,
    )


def epochs_plan(tokens: NDArray[np.integer], seed: int, config: EpochsConfig) -> Plan:
    """Every training row once an epoch, each epoch in another order; no batch has rows of two epochs."""
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(config.train_rows) for _ in range(config.epochs)])
    of_epoch = np.arange(0, config.train_rows, config.batch)
    starts = (np.arange(config.epochs)[:, None] * config.train_rows + of_epoch).reshape(-1)
    return Plan(tokens, order, np.append(starts, len(order)))


def epochs_arm(size: Size, seed: int, config: EpochsConfig, rows: ExperimentRows) -> Arm:
    """A causal model of this size, measured on training and validation rows after every epoch."""
    steps = tuple(epoch * config.steps_per_epoch for epoch in range(config.epochs + 1))
    sets = {"train": np.arange(config.train_rows), "validation": rows.control_positions}
    return Arm(
        label=config.label(size, seed),
        start=neox_config(size, len(rows.tokenizer), config.row_length),
        plan=epochs_plan(rows.tokens, seed, config),
        schedule=Schedule(size.peak_rate, warm_up=_WARM_UP),
        seed=seed,
        tokenizer=rows.tokenizer,
        probes=tuple(ProbeSet(name, chosen, steps, config.context, config.blocks) for name, chosen in sets.items()),
    )
