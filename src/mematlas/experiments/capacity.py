"""Capacity: how many bits a model can hold, for each of its parameters, of sequences that nothing but memory predicts.

Source: Morris et al. 2025 (K12). Sequences of tokens drawn uniformly have a known entropy, and nothing to generalize
from. Models of several sizes are trained on ever more of them. The bits that a model holds of all of them grow until
they stay the same, however many there are: its capacity. A token that is the same in all rows stands before each
sequence, so that all of its tokens are predicted.
"""

from itertools import product
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig, Integers
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import neox_config
from mematlas.experiments.training.probe_sets import ProbeSet, Targets
from mematlas.study import write_table

_WARM_UP: Final = 30
_FINAL_RATE: Final = 0.05
#: Sequences that no model is shown, whose bits are what chance alone brings.
_NEVER: Final = 64


class CapacityConfig(ExperimentConfig):
    """The keys of the file of `mematlas experiment capacity`."""

    out: Path = Field(default=Path("capacity"), description=ExperimentConfig.model_fields["out"].description)
    corpus: None = Field(default=None, description="Not used: sequences are drawn at random.")
    row_length: int = Field(
        default=17, description="Tokens per row: a first one, the same in all, and a sequence.", gt=2
    )
    vocabulary: int = Field(default=64, description="Symbols of which the tokens are drawn.", ge=2, le=65535)
    batch: int = Field(default=64, description="Rows per step.", gt=0)
    context: int = Field(default=4, description="Tokens that prompt a model when it is scored.", gt=0)
    sequences: Integers = Field(
        default=[64, 128, 256, 512, 1024], description="Numbers of sequences; each trains all sizes anew.", min_length=2
    )
    steps: int = Field(default=3000, description="Steps of every model.", gt=1)

    @field_validator("sequences")
    @classmethod
    def _ascend(cls, values: list[int]) -> list[int]:
        if min(values) < 1 or sorted(set(values)) != values:
            raise ValueError("sequences are ascending numbers of 1 or more, each once")
        return values

    @model_validator(mode="after")
    def _can_be_distinct(self) -> Self:
        possible = float(self.vocabulary) ** (self.row_length - 1)
        if possible < 1000 * (self.sequences[-1] + _NEVER):
            raise ValueError(
                f"{self.vocabulary} symbols and {self.row_length - 1} tokens make too few different sequences for "
                f"{self.sequences[-1]}; take longer rows or more symbols"
            )
        return self

    def parameters(self, size: Size) -> int:
        """Number of weights of a model of this size."""
        return size.parameters(self.vocabulary + 1)

    def label(self, size: Size, seed: int, count: int) -> str:
        """The name of the model of a size and a seed that is trained on so many sequences."""
        return f"neox-{self.parameters(size) / 1e3:.1f}k-seed{seed}--{count}"

    @property
    def measured(self) -> tuple[int, ...]:
        """Steps after which the bits are measured: before the first, after 1/8, 1/4, 1/2 and 3/4, and the last."""
        return tuple(sorted({0, *(round(self.steps * share) for share in (0.125, 0.25, 0.5, 0.75, 1))}))


def outline(config: CapacityConfig) -> list[ArmOutline]:
    """One arm for every size, seed and number of sequences."""
    return [
        ArmOutline(config.label(*names), config.parameters(names[0]), config.steps)
        for names in product(config.sizes, config.seeds, config.sequences)
    ]


def design(config: CapacityConfig, folder: Path) -> Design:
    """All models have the first ones of the same sequences; order and first weights depend on the seed."""
    tokens = _sequences(config)
    shown, scored = config.sequences[-1], config.sequences[0]
    corpus, control = folder / "rows" / "train.parquet", folder / "rows" / "control.parquet"
    for path, rows, source in ((corpus, tokens[:scored], "uniform"), (control, tokens[shown:], "uniform-never")):
        numbers = np.arange(len(rows)) + (0 if path == corpus else shown)
        table = {"tokens": pa.array(list(rows), pa.list_(pa.int32())), "document": numbers}
        write_table(path, pa.table({**table, "source": [source] * len(rows)}))
    arms = tuple(_arm(*names, config, tokens) for names in product(config.sizes, config.seeds, config.sequences))
    study = {"analyses": ["capacity"], "continuation": [min(32, config.row_length - config.context)]}
    return Design((arms,), arms, corpus, control, scored, study)


def _sequences(config: CapacityConfig) -> NDArray[np.int64]:
    """Distinct sequences behind token 0: those that are shown, and then those that never are."""
    rng, count = np.random.default_rng(7), config.sequences[-1] + _NEVER
    drawn = rng.integers(1, config.vocabulary + 1, (count, config.row_length - 1))
    while len(np.unique(drawn, axis=0)) < count:
        drawn = rng.integers(1, config.vocabulary + 1, drawn.shape)
    return np.concatenate([np.zeros((count, 1), dtype=np.int64), drawn], axis=1)


def _arm(size: Size, seed: int, count: int, config: CapacityConfig, tokens: NDArray[np.int64]) -> Arm:
    """A model that is shown the first `count` sequences, all of them once before any again."""
    rng = np.random.default_rng([seed, count])
    slots = config.steps * min(config.batch, count)
    order = np.concatenate([rng.permutation(count) for _ in range(-(-slots // count))])[:slots]
    never = np.arange(config.sequences[-1], len(tokens))
    sets = (("uniform", np.arange(count)), ("uniform-never", never))
    return Arm(
        label=config.label(size, seed, count),
        start=neox_config(size, config.vocabulary + 1, config.row_length),
        plan=Plan.from_order(tokens, order, min(config.batch, count)),
        schedule=Schedule(size.peak_rate, warm_up=min(_WARM_UP, config.steps), final_rate=_FINAL_RATE),
        seed=seed,
        probes=tuple(_probe_set(name, rows, config) for name, rows in sets),
    )


def _probe_set(name: str, rows: NDArray[np.int64], config: CapacityConfig) -> ProbeSet:
    """All tokens of these rows but the first."""
    ones = np.ones(len(rows), dtype=np.int64)
    targets = Targets(ones, ones * config.row_length, (name,) * len(rows), tuple(rows[:, None]), config.vocabulary)
    return ProbeSet(name, rows, config.measured, targets=targets)


_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {"sizes": [Size(8, 1, 2, 2e-2), Size(16, 1, 2, 1e-2), Size(24, 1, 2, 1e-2)], "seeds": [0]},
    "gpu": {
        "sizes": [Size(32, 1, 2, 5e-3), Size(64, 2, 4, 3e-3), Size(128, 2, 4, 2e-3)],
        "seeds": [0, 1],
        "row_length": 65,
        "vocabulary": 2048,
        "batch": 256,
        "sequences": [256, 1024, 4096, 16384],
        "steps": 50_000,
        "device": "cuda",
        "at_once": 1,
    },
}
EXPERIMENT = Experiment(
    "capacity",
    "How many bits a model holds for each parameter",
    "K12 (Morris et al.)",
    CapacityConfig,
    _PRESETS,
    outline,
    design,
)
