"""Many small models, each trained on a random subset of the rows: the ground of counterfactual memorization.

Source: P10 (400 models, 25 % of the rows each). Which rows each model is trained on is drawn from the seed, and written
to OUT/subsets.npy [models, rows] bool. Every model is an arm of its own: trained once, and resumed if interrupted.
"""

from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig, Integers
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.subset_rows import RowKinds, SubsetRows, prepare_subset_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import neox_config
from mematlas.stats.counterfactual import sample_membership
from mematlas.study import write_atomically

_WARM_UP: Final = 20
_FINAL_RATE: Final = 0.1
#: The streams of random numbers that a seed gives, besides those of the rows.
_ORDER: Final = 2


class CounterfactualConfig(ExperimentConfig):
    """The keys of the file of `mematlas experiment counterfactual`."""

    out: Path = Field(default=Path("counterfactual"), description=ExperimentConfig.model_fields["out"].description)
    seeds: Integers = Field(
        default=[0], description="One seed of rows, subsets, initial weights and orders.", max_length=1
    )
    models: int = Field(default=40, description="Number of models, each trained on a subset of its own.", ge=4)
    share: float = Field(default=0.25, description="Share of the rows that each model is trained on.", gt=0, lt=1)
    epochs: int = Field(default=40, description="How often a model is shown each row of its subset.", gt=0)
    unit: Literal["row", "text"] = Field(
        default="row",
        description="What is drawn: a row, or a text with all its copies, so that these hide no memorization.",
    )
    shared_start: bool = Field(
        default=False, description="Whether all models start from the same weights, instead of weights of their own."
    )
    copies: Integers = Field(default=[1, 2, 4, 8], description="How many rows have the same text, group by group.")
    texts: Integers = Field(default=[80, 24, 10, 6], description="Number of texts in each of these groups.")
    random_rows: int = Field(default=24, description="Rows of random tokens.", ge=0)
    template_rows: int = Field(default=32, description="Rows of one text that differ in two tokens.", ge=0)
    control_rows: int = Field(default=64, description="Rows of text that no model is trained on.", gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "CounterfactualConfig":
        if len(self.sizes) != 1:
            raise ValueError(
                f"models are of one size, not of {len(self.sizes)}; give each size an experiment of its own"
            )
        if len(self.copies) != len(self.texts) or min((*self.copies, *self.texts), default=0) < 1:
            raise ValueError(
                f"copies {self.copies} and texts {self.texts} are positive, and one number of texts belongs to each "
                "number of copies"
            )
        if not 0 < round(self.share * self.units) < self.units:
            raise ValueError(
                f"a share of {self.share} of {self.units} {self.unit}s leaves nothing in a subset, or out of it"
            )
        if not 0 < self.context < self.row_length:
            raise ValueError(f"a context of {self.context} tokens leaves nothing of rows of {self.row_length}")
        return self

    @property
    def kinds(self) -> RowKinds:
        """The numbers of rows of each kind."""
        return RowKinds(
            tuple(self.copies), tuple(self.texts), self.random_rows, self.template_rows, self.control_rows, self.context
        )

    @property
    def units(self) -> int:
        """What subsets are drawn from: rows or texts."""
        return self.kinds.rows if self.unit == "row" else sum(self.texts) + self.random_rows + self.template_rows


def outline(config: CounterfactualConfig) -> list[ArmOutline]:
    """One arm for every model; of texts with copies, subsets have as many rows on average."""
    parameters = config.sizes[0].parameters(config.vocabulary)
    steps = config.epochs * -(-round(config.share * config.kinds.rows) // config.batch)
    return [ArmOutline(_label(number), parameters, steps) for number in range(config.models)]


def design(config: CounterfactualConfig, folder: Path) -> Design:
    """The rows, the subsets, and an arm for each subset."""
    rows = prepare_subset_rows(
        folder, config.kinds, config.row_length, config.vocabulary, config.seeds[0], text_documents(config.corpus)
    )
    groups = rows.texts if config.unit == "text" else None
    members = sample_membership(config.models, len(rows.tokens), config.share, config.seeds[0], groups)
    write_atomically(folder / "subsets.npy", partial(_save, values=members))
    arms = tuple(subset_arm(number, rows, members[number], config) for number in range(config.models))
    study = {
        "analyses": ["counterfactual"],
        "features": True,  # the copies of a row
        "scope": "rows",
        "continuation": [config.row_length - config.context],
    }
    return Design((arms,), arms, rows.corpus, rows.control, len(rows.tokens), study)


def subset_arm(number: int, rows: SubsetRows, is_member: NDArray[np.bool_], config: CounterfactualConfig) -> Arm:
    """The training of one model: the rows of its subset once an epoch, each epoch in another order.

    Args:
        is_member: [rows], whether the model is trained on each row.
    """
    seed, size = config.seeds[0], config.sizes[0]
    random = np.random.default_rng([seed, _ORDER, number])
    subset = np.flatnonzero(is_member)
    order = np.concatenate([random.permutation(subset) for _ in range(config.epochs)])
    of_epoch = np.arange(0, len(subset), config.batch)
    starts = (np.arange(config.epochs)[:, None] * len(subset) + of_epoch).reshape(-1)
    return Arm(
        label=_label(number),
        start=neox_config(size, len(rows.tokenizer), config.row_length),
        plan=Plan(rows.tokens, order, np.append(starts, len(order))),
        schedule=Schedule(size.peak_rate, warm_up=_WARM_UP, final_rate=_FINAL_RATE),
        seed=seed if config.shared_start else seed + 1 + number,
        tokenizer=rows.tokenizer,
    )


def _label(number: int) -> str:
    return f"subset-{number:03d}"


def _save(path: Path, values: NDArray[np.bool_]) -> None:
    with path.open("wb") as file:
        np.save(file, values)


_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {"sizes": [Size(32, 2, 2, 1e-2)], "batch": 8},
    "gpu": {
        "sizes": [Size(256, 4, 4, 2e-3)],
        "models": 96,
        "vocabulary": 8192,
        "batch": 64,
        "texts": [4096, 512, 256, 128],
        "random_rows": 256,
        "template_rows": 256,
        "control_rows": 512,
        "device": "cuda",
        "at_once": 1,
    },
}
EXPERIMENT = Experiment(
    "counterfactual",
    "What models owe to having been trained on a row",
    "P10",
    CounterfactualConfig,
    _PRESETS,
    outline,
    design,
)
