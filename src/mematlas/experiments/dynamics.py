"""Training dynamics: how fast models of several sizes memorize the same rows, epoch by epoch.

Source: P8, sections 3 and 4: M(f) of the training rows after every epoch, the first epoch at which it reaches a share
tau, and the epoch at which the loss on rows never shown begins to rise.
"""

from itertools import product
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig
from mematlas.experiments.design.config import Size
from mematlas.experiments.epochs import EpochsConfig, epochs_arm, epochs_rows


class DynamicsConfig(EpochsConfig):
    """The keys of the file of `mematlas experiment dynamics`."""

    out: Path = Field(default=Path("dynamics"), description=ExperimentConfig.model_fields["out"].description)


def outline(config: DynamicsConfig) -> list[ArmOutline]:
    """One arm for every size and seed."""
    return [
        ArmOutline(config.label(size, seed), size.parameters(config.vocabulary), config.steps)
        for size, seed in product(config.sizes, config.seeds)
    ]


def design(config: DynamicsConfig, folder: Path) -> Design:
    """The same rows for all; order and first weights depend on the seed."""
    rows = epochs_rows(config, folder)
    pairs = sorted(product(config.sizes, config.seeds), key=lambda pair: -pair[0].parameters(config.vocabulary))
    arms = {pair: epochs_arm(*pair, config, rows) for pair in pairs}
    scored = tuple(arms[pair] for pair in product(config.sizes, config.seeds))
    analyses = ["dynamics", "distribution", "size"]
    return Design((tuple(arms.values()),), scored, rows.corpus, rows.control, config.train_rows, {"analyses": analyses})


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
