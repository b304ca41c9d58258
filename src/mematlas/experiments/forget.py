"""Forgetting: a model that has learnt all it can of its background is shown some rows a few times, then never again.

Source: P8, section 5 (the special batch), with a control of our own: every branch goes on from the same model through
the same background batches, and differs in its showings only. What is left of them is the excess over the branch that
was shown the same rows 0 times. Other rows are no control: they may be easier. That branch is trained twice, which
shows whether differences between branches have any other cause.

    background   | plateau steps                                    -> one model
    branches     |               | showings in place of background  | background ...
                                  the last showing is at the same step in all branches
"""

import re
from itertools import product
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig, Integers
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.study_rows import ExperimentRows, prepare_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan, Showing
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name, neox_config
from mematlas.experiments.training.probe_sets import ProbeSet

_WARM_UP: Final = 30
#: The branch that is not shown the rows, and the same once more.
_TWIN: Final = "0x-again"


class ForgetConfig(ExperimentConfig):
    """The keys of the file of `mematlas experiment forget`."""

    out: Path = Field(default=Path("forget"), description=ExperimentConfig.model_fields["out"].description)
    times: Integers = Field(
        default=[0, 1, 10, 30], description="How often the rows are shown, one branch each; 0 is always among them."
    )
    spacing: int = Field(default=0, description="Background steps between one showing of all rows and the next.", ge=0)
    plateau_steps: int = Field(default=250, description="Background steps before the branches.", gt=0)
    after_steps: int = Field(default=128, description="Background steps after the last showing.", gt=0)
    special_rows: int = Field(
        default=64, description="Rows that are shown to the branches; a multiple of blocks.", gt=0
    )
    control_rows: int = Field(default=320, description="Rows that no branch is shown.", gt=0)
    blocks: int = Field(default=16, description="Parts of the special rows, over which intervals are computed.", gt=1)

    @field_validator("times")
    @classmethod
    def _include_none(cls, values: list[int]) -> list[int]:
        if any(value < 0 for value in values) or not any(values):
            raise ValueError("rows are shown 0 times or more, and in one branch at least once")
        return sorted({0, *values})

    @model_validator(mode="after")
    def _blocks_fit(self) -> Self:
        if self.special_rows % self.blocks:
            raise ValueError(f"special_rows is a multiple of blocks, not {self.special_rows} and {self.blocks}")
        return self

    @property
    def period(self) -> int:
        """Slots from one showing of all special rows to the next."""
        slots = self.special_rows + self.spacing * self.batch
        return -(-slots // self.batch) * self.batch

    @property
    def last_showing(self) -> int:
        """The step of the last showing, the same in all branches."""
        return self.plateau_steps + max(self.times) * self.period // self.batch

    @property
    def steps(self) -> int:
        """Steps of a branch, with those of the background before it."""
        return self.last_showing + self.after_steps


def outline(config: ForgetConfig) -> list[ArmOutline]:
    """The backgrounds, then their branches."""
    outlines = []
    for size, seed in product(config.sizes, config.seeds):
        parameters, group = size.parameters(config.vocabulary), _group(size, seed, config)
        outlines.append(ArmOutline(group, parameters, config.plateau_steps))
        steps = config.steps - config.plateau_steps
        outlines += [ArmOutline(f"{group}--{branch}", parameters, steps) for branch in _branches(config)]
    return outlines


def design(config: ForgetConfig, folder: Path) -> Design:
    """One background for every size and seed, and its branches."""
    background = config.steps * config.batch
    rows = prepare_rows(
        folder,
        text_documents(config.corpus),
        train=config.special_rows + background,
        scored=config.special_rows,
        control=config.control_rows,
        row_length=config.row_length,
        vocabulary=config.vocabulary,
    )
    pairs = list(product(config.sizes, config.seeds))
    trunks = {pair: _trunk(*pair, config, rows) for pair in pairs}
    branches = [
        _branch(trunks[pair], name, config, rows, folder / "arms") for pair in pairs for name in _branches(config)
    ]
    scored = [branch for branch in branches if not branch.label.endswith(_TWIN)]
    return Design(
        (tuple(trunks.values()), tuple(branches)),
        tuple(scored),
        rows.corpus,
        rows.control,
        config.special_rows,
        {"analyses": ["forgetting"]},
    )


def _group(size: Size, seed: int, config: ForgetConfig) -> str:
    return f"{size.label(config.vocabulary)}-seed{seed}"


def _branches(config: ForgetConfig) -> list[str]:
    return [*(f"{times}x" for times in config.times), _TWIN]


def _background(seed: int, config: ForgetConfig, rows: ExperimentRows) -> Plan:
    """Every background row once, in an order of the seed; the special rows are the first of the tokens."""
    order = config.special_rows + np.random.default_rng(seed).permutation(config.steps * config.batch)
    return Plan.from_order(rows.tokens, order, config.batch)


def _trunk(size: Size, seed: int, config: ForgetConfig, rows: ExperimentRows) -> Arm:
    whole = _background(seed, config, rows)
    return Arm(
        label=_group(size, seed, config),
        start=neox_config(size, len(rows.tokenizer), config.row_length),
        plan=Plan(
            whole.tokens, whole.rows[: whole.starts[config.plateau_steps]], whole.starts[: config.plateau_steps + 1]
        ),
        schedule=Schedule(size.peak_rate, warm_up=_WARM_UP),
        seed=seed,
        tokenizer=rows.tokenizer,
        keeps_optimizer=True,
    )


def _branch(trunk: Arm, name: str, config: ForgetConfig, rows: ExperimentRows, arms: Path) -> Arm:
    times = int(re.match(r"\d+", name)[0])  # type: ignore[index]  # every name starts with a number
    start = arms / trunk.label / checkpoint_name(config.plateau_steps)
    end = config.last_showing
    steps = {config.plateau_steps, *(end + t for t in _log_steps(config.after_steps))}
    special = np.arange(config.special_rows)
    return Arm(
        label=f"{trunk.label}--{name}",
        start=start,
        optimizer_start=start,
        done=config.plateau_steps,
        plan=_background(trunk.seed, config, rows).with_showings(_showings(times, config)),
        schedule=trunk.schedule,
        seed=trunk.seed,
        tokenizer=rows.tokenizer,
        probes=(
            ProbeSet("special", special, tuple(sorted(steps)), config.context, config.blocks),
            ProbeSet("control", rows.control_positions, tuple(sorted(steps)), config.context),
        ),
    )


def _showings(times: int, config: ForgetConfig) -> list[Showing]:
    """Every special row `times` times, the last ones in the batches up to the last showing."""
    end = config.last_showing * config.batch
    starts = [end - config.special_rows - back * config.period for back in range(times)]
    return [Showing(row, start + row) for start in starts for row in range(config.special_rows)]


def _log_steps(last: int) -> list[int]:
    """0, 1, 2, 4, 8 ... and the last."""
    return sorted({0, last, *(2**power for power in range(last.bit_length()) if 2**power <= last)})


_SMALL: Final = [Size(32, 2, 2, 8e-3), Size(96, 2, 4, 4e-3)]
_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {"sizes": _SMALL, "spacing": 4},
    "gpu": {
        "sizes": [Size(256, 4, 4, 2e-3), Size(512, 8, 8, 1e-3), Size(1024, 12, 16, 5e-4)],
        "seeds": [0, 1],
        "times": [0, 1, 10, 30, 100],
        "spacing": 4,
        "vocabulary": 8192,
        "device": "cuda",
        "at_once": 1,
    },
}
EXPERIMENT = Experiment(
    "forget",
    "What is left of rows that were shown a few times",
    "P8, section 5",
    ForgetConfig,
    _PRESETS,
    outline,
    design,
)
