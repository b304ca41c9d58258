"""Unique ids: whether rows are memorized sooner when each begins with a new token of its own.

Source: P8, section on unique ids ("document ID <unique_id>", each id a new token; 125 M parameters). Our choice: the id
alone is put in front, and it is only read. So all arms learn and are measured on the same tokens, and differ in what
they may read besides. That the vocabulary must grow for the ids has an arm of its own, in which the new tokens are
never seen. All arms have the same rows, order and rates; the enlarged arm and the one with ids also share their first
weights (another vocabulary draws others, so that the baseline has its own).

    GROUP--baseline     z_0 z_1 z_2 ...
    GROUP--enlarged     z_0 z_1 z_2 ...         an embedding and an output more for every row, unused
    GROUP--ids       id z_0 z_1 z_2 ...         predicted and measured: z_1, z_2 ... in all three

The study scores the models that were trained without ids: its rows have none.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig
from mematlas.experiments.data.study_rows import ExperimentRows
from mematlas.experiments.design.config import Size
from mematlas.experiments.epochs import EpochsConfig, epochs_arm, epochs_plan, epochs_rows
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import neox_config

#: In the order in which they are trained and scored.
BRANCHES: Final = ("baseline", "enlarged", "ids")


class IdsConfig(EpochsConfig):
    """The keys of the file of `mematlas experiment ids`."""

    out: Path = Field(default=Path("ids"), description=ExperimentConfig.model_fields["out"].description)

    @property
    def ids(self) -> int:
        """New tokens: one for every row, those that are never shown included."""
        return self.train_rows + self.validation_rows


def outline(config: IdsConfig) -> list[ArmOutline]:
    """Three arms for every size and seed."""
    outlines = []
    for size, seed, branch in product(config.sizes, config.seeds, BRANCHES):
        vocabulary = config.vocabulary + (0 if branch == "baseline" else config.ids)
        label = f"{config.label(size, seed)}--{branch}"
        outlines.append(ArmOutline(label, size.parameters(vocabulary), config.steps))
    return outlines


def design(config: IdsConfig, folder: Path) -> Design:
    """The same rows and order for the three arms of a size and seed."""
    rows = epochs_rows(config, folder)
    arms = [_arm(*key, config, rows) for key in product(config.sizes, config.seeds, BRANCHES)]
    scored = tuple(arm for arm in arms if not arm.prefix)
    study = {"analyses": ["unique_ids", "distribution"]}
    return Design((tuple(arms),), scored, rows.corpus, rows.control, config.train_rows, study)


def with_unique_ids(tokens: NDArray[Any], vocabulary: int) -> NDArray[np.int32]:
    """Rows [rows, length] with a token of their own in front, `vocabulary` + i for row i: [rows, 1 + length]."""
    ids = vocabulary + np.arange(len(tokens), dtype=np.int32)
    return np.concatenate([ids[:, None], tokens.astype(np.int32)], axis=1)


def _arm(size: Size, seed: int, branch: str, config: IdsConfig, rows: ExperimentRows) -> Arm:
    baseline, vocabulary = epochs_arm(size, seed, config, rows), len(rows.tokenizer)
    arm = replace(baseline, label=f"{baseline.label}--{branch}")
    if branch == "baseline":
        return arm
    larger = replace(arm, start=neox_config(size, vocabulary + len(rows.tokens), config.row_length + 1))
    if branch == "enlarged":
        return larger
    plan = epochs_plan(with_unique_ids(rows.tokens, vocabulary), seed, config)
    return replace(larger, plan=plan, prefix=1)


_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {"sizes": [Size(64, 3, 4, 6e-3)], "seeds": [0, 1, 2], "epochs": 25},
    "gpu": {
        "sizes": [Size(256, 4, 4, 2e-3), Size(512, 8, 8, 1e-3)],
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
    "ids",
    "Whether rows with a token of their own are memorized sooner",
    "P8, section on unique ids",
    IdsConfig,
    _PRESETS,
    outline,
    design,
)
