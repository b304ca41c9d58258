"""Training dynamics: how fast models of several sizes memorize the same rows, epoch by epoch.

Source: P8, sections 3 and 4: M(f) of the training rows after every epoch, the first epoch at which it reaches a share
tau, and the epoch at which the loss on rows never shown begins to rise.
"""

from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.study_rows import ExperimentRows, prepare_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import neox_config
from mematlas.experiments.training.probe_sets import ProbeSet

_WARM_UP: Final = 30


class DynamicsConfig(ExperimentConfig):
    """The keys of the file of `mematlas experiment dynamics`."""

    out: Path = Field(default=Path("dynamics"), description=ExperimentConfig.model_fields["out"].description)
    epochs: int = Field(default=40, description="How often every training row is shown.", gt=0)
    train_rows: int = Field(default=192, description="Rows that are shown once an epoch.", gt=0)
    validation_rows: int = Field(default=192, description="Rows that are never shown.", gt=0)
    blocks: int = Field(default=8, description="Parts of each set of rows, over which intervals are computed.", gt=1)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; its last batch may be a smaller one."""
        return -(-self.train_rows // self.batch)


def outline(config: DynamicsConfig) -> list[ArmOutline]:
    """One arm for every size and seed."""
    steps = config.epochs * config.steps_per_epoch
    return [
        ArmOutline(_label(size, seed, config), size.parameters(config.vocabulary), steps)
        for size, seed in product(config.sizes, config.seeds)
    ]


def design(config: DynamicsConfig, folder: Path) -> Design:
    """The same rows for all; order and first weights depend on the seed."""
    rows = prepare_rows(
        folder,
        text_documents(config.corpus),
        train=config.train_rows,
        scored=config.train_rows,
        control=config.validation_rows,
        row_length=config.row_length,
        vocabulary=config.vocabulary,
    )
    pairs = sorted(product(config.sizes, config.seeds), key=lambda pair: -pair[0].parameters(config.vocabulary))
    arms = {pair: _arm(*pair, config, rows) for pair in pairs}
    scored = tuple(arms[pair] for pair in product(config.sizes, config.seeds))
    analyses = ["dynamics", "distribution", "size"]
    return Design((tuple(arms.values()),), scored, rows.corpus, rows.control, config.train_rows, {"analyses": analyses})


def _label(size: Size, seed: int, config: DynamicsConfig) -> str:
    return f"{size.label(config.vocabulary)}-seed{seed}"


def _arm(size: Size, seed: int, config: DynamicsConfig, rows: ExperimentRows) -> Arm:
    steps = tuple(epoch * config.steps_per_epoch for epoch in range(config.epochs + 1))
    train = np.arange(config.train_rows)
    return Arm(
        label=_label(size, seed, config),
        start=neox_config(size, len(rows.tokenizer), config.row_length),
        plan=epochs_plan(rows, seed, config),
        schedule=Schedule(size.peak_rate, warm_up=_WARM_UP),
        seed=seed,
        tokenizer=rows.tokenizer,
        probes=(
            ProbeSet("train", train, steps, config.context, config.blocks),
            ProbeSet("validation", rows.control_positions, steps, config.context, config.blocks),
        ),
    )


def epochs_plan(rows: ExperimentRows, seed: int, config: DynamicsConfig) -> Plan:
    """Every training row once an epoch, each epoch in another order; no batch has rows of two epochs."""
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(config.train_rows) for _ in range(config.epochs)])
    of_epoch = np.arange(0, config.train_rows, config.batch)
    starts = (np.arange(config.epochs)[:, None] * config.train_rows + of_epoch).reshape(-1)
    return Plan(rows.tokens, order, np.append(starts, len(order)))


_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {
        "sizes": [Size(16, 2, 2, 1e-2), Size(32, 2, 2, 8e-3), Size(64, 3, 4, 6e-3), Size(128, 4, 4, 4e-3)],
        "seeds": [0, 1],
    },
    "gpu": {
        "sizes": [Size(128, 4, 4, 3e-3), Size(256, 4, 4, 2e-3), Size(512, 8, 8, 1e-3), Size(1024, 12, 16, 5e-4)],
        "seeds": [0, 1, 2],
        "train_rows": 4096,
        "validation_rows": 1024,
        "vocabulary": 8192,
        "batch": 64,
        "device": "cuda",
        "at_once": 1,
    },
}
EXPERIMENT = Experiment(
    "dynamics",
    "How fast models of several sizes memorize",
    "P8, sections 3 and 4",
    DynamicsConfig,
    _PRESETS,
    outline,
    design,
)
