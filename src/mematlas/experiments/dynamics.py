"""Training dynamics: how fast models of several sizes memorize the same rows, epoch by epoch.

Source: P8, sections 3 and 4: M(f) of the training rows after every epoch, the first epoch at which it reaches a share
tau, and the epoch at which the loss on rows never shown begins to rise. Masked models hide 15 % of a row in a step, and
are measured with fixed masks; an epoch teaches them less of a row, so that their T is not comparable with T of causal
models.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig
from mematlas.experiments.data.study_rows import ExperimentRows
from mematlas.experiments.data.tokenizer import with_mask_token
from mematlas.experiments.design.config import Size
from mematlas.experiments.epochs import EpochsConfig, epochs_arm, epochs_rows
from mematlas.experiments.training.arm import Arm, Objective
from mematlas.experiments.training.network import bert_config, bert_parameters


class DynamicsConfig(EpochsConfig):
    """The keys of the file of `mematlas experiment dynamics`."""

    out: Path = Field(default=Path("dynamics"), description=ExperimentConfig.model_fields["out"].description)
    objective: Objective = Field(
        default="causal",
        description="causal (GPT-NeoX), or masked (BERT): M is then the share of hidden tokens that are named.",
    )

    def parameters(self, size: Size) -> int:
        """Number of weights of a model of this size."""
        if self.objective == "causal":
            return size.parameters(self.vocabulary)
        return bert_parameters(size, self.vocabulary + 1, self.row_length)

    def label(self, size: Size, seed: int) -> str:
        if self.objective == "causal":
            return super().label(size, seed)
        return f"bert-{self.parameters(size) / 1e6:.2f}m-seed{seed}"


def outline(config: DynamicsConfig) -> list[ArmOutline]:
    """One arm for every size and seed."""
    return [
        ArmOutline(config.label(size, seed), config.parameters(size), config.steps)
        for size, seed in product(config.sizes, config.seeds)
    ]


def design(config: DynamicsConfig, folder: Path) -> Design:
    """The same rows for all; order and first weights depend on the seed."""
    rows = epochs_rows(config, folder)
    pairs = sorted(product(config.sizes, config.seeds), key=lambda pair: -config.parameters(pair[0]))
    train = epochs_arm if config.objective == "causal" else _masked_arm
    arms = {pair: train(*pair, config, rows) for pair in pairs}
    scored = tuple(arms[pair] for pair in product(config.sizes, config.seeds))
    study: dict[str, Any] = {"analyses": ["dynamics", "distribution", "size"]}
    if config.objective == "masked":  # of whole rows, so that masks are those of the measurements in training
        study |= {"objective": "masked", "continuation": [config.row_length - config.context]}
    return Design((tuple(arms.values()),), scored, rows.corpus, rows.control, config.train_rows, study)


def _masked_arm(size: Size, seed: int, config: DynamicsConfig, rows: ExperimentRows) -> Arm:
    """A BERT that is shown the same rows in the same order as the causal model of this seed."""
    tokenizer = with_mask_token(rows.tokenizer)
    return replace(
        epochs_arm(size, seed, config, rows),
        start=bert_config(size, len(tokenizer), config.row_length),
        objective="masked",
        mask_token=tokenizer.mask_token_id,
        tokenizer=tokenizer,
    )


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
