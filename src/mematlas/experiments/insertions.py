"""Dilution and ordering: what becomes of items inserted 0, 1, 4, 16 ... times, in a larger corpus, earlier or later?

Source: K9. Items are divided at random into levels, the numbers of their insertions. Every insertion is spliced between
the documents of a row of its own. Arms have the same first weights, items and levels, and differ in the following:

    standard           nothing is inserted
    1x-epoch           the corpus once; insertions anywhere in the training
    2x-epoch, ...      a larger corpus once, with the same number of insertions: more steps, too
    1x-steps, ...      the smaller corpora for as many steps as the largest, in the same slots: repeated, not diluted
    window-0-25, ...   as 1x-epoch, with all insertions in the first quarter of the training, ...
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig, Integers
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.injected_sequences import InjectedRows
from mematlas.experiments.data.packed_rows import pack_rows, passages_needed
from mematlas.experiments.data.study_rows import prepare_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.design.showings import Slots
from mematlas.experiments.design.splicing import splice_between_documents
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import neox_config
from mematlas.experiments.training.probe_sets import ProbeSet
from mematlas.types import as_list

_WARM_UP: Final = 30
_STANDARD: Final = "standard"


@dataclass(frozen=True, slots=True)
class _Variant:
    """What an arm is shown. corpus: its size, in units of the smallest; steps: of the arm; window: where insertions
    are, in percent of the training; None without any."""

    name: str
    corpus: int
    steps: int
    window: tuple[int, int] | None = (0, 100)

    def slots(self, batch: int) -> Slots:
        """The slots that may take an insertion: whole batches, as K9 rounds them."""
        first, last = self.window or (0, 0)
        start, stop = self.steps * first // 100, -(-self.steps * last // 100)
        return Slots(start * batch, (stop - start) * batch, batch)


class InsertionsConfig(ExperimentConfig):
    """The keys of the file of `mematlas experiment insertions`."""

    out: Path = Field(default=Path("insertions"), description=ExperimentConfig.model_fields["out"].description)
    row_length: int = Field(default=64, description="Tokens per row.", gt=8)
    levels: Integers = Field(default=[0, 1, 4, 16, 64], description="How often items are inserted; the first is 0.")
    items: Annotated[list[int], BeforeValidator(as_list)] = Field(
        default=[48, 24, 24, 16, 8], description="Items of each level, in this order; one number for all levels."
    )
    item_length: int = Field(
        default=31, description="Tokens of an item, and of a document, without the one that ends it.", gt=1
    )
    steps: int = Field(default=300, description="Steps of one epoch over the smallest corpus.", gt=3)
    corpora: Integers = Field(default=[1, 2, 4], description="Sizes of the corpus, in units of the smallest.")
    windows: list[tuple[int, int]] = Field(
        default=[(0, 25), (0, 50), (25, 50), (50, 75), (50, 100), (75, 100)],
        description="Parts of the training, in percent, that have all insertions, an arm each.",
    )
    held_out_rows: int = Field(default=128, description="Passages never shown, on which the loss is measured.", gt=1)

    @field_validator("levels")
    @classmethod
    def _levels_increase(cls, values: list[int]) -> list[int]:
        if len(values) < 2 or values[0] != 0 or any(low >= high for low, high in pairwise(values)):
            raise ValueError(f"levels increase from 0, such as [0, 1, 4, 16], not {values}")
        return values

    @field_validator("corpora")
    @classmethod
    def _corpora_increase(cls, values: list[int]) -> list[int]:
        if not values or values[0] != 1 or any(low >= high for low, high in pairwise(values)):
            raise ValueError(f"corpora increase from 1, such as [1, 2, 4], not {values}")
        return values

    @field_validator("windows")
    @classmethod
    def _windows_are_parts(cls, values: list[tuple[int, int]]) -> list[tuple[int, int]]:
        wrong = [window for window in values if not 0 <= window[0] < window[1] <= 100 or window == (0, 100)]
        if wrong or len(set(values)) < len(values):
            raise ValueError(
                f"windows are distinct parts of the training in percent, such as [0, 25], not {values}; "
                "[0, 100] is an arm in any case"
            )
        return values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.item_length + 1 > self.row_length:
            raise ValueError(
                f"an item of {self.item_length} tokens, and the one that ends it, are longer than a row of "
                f"{self.row_length}; take a shorter item_length, or longer rows"
            )
        if self.context >= self.item_length:
            raise ValueError(f"item_length {self.item_length} is above the context {self.context}")
        if len(self.items) not in (1, len(self.levels)) or min(self.items, default=0) < 1:
            raise ValueError(
                f"items is one number, or one for each of the {len(self.levels)} levels, of at least 1, "
                f"not {self.items}"
            )
        for variant in self.variants:
            rows = variant.slots(self.batch).count
            if variant.window is not None and rows < self.insertions:
                raise ValueError(
                    f"{self.insertions:,} insertions need as many rows, one each, and {variant.name} has {rows:,}; "
                    "take fewer items, lower levels, longer windows or more steps"
                )
        return self

    @property
    def per_level(self) -> list[int]:
        """Items of each level."""
        return self.items * len(self.levels) if len(self.items) == 1 else self.items

    @property
    def per_seed(self) -> int:
        """Items of one seed."""
        return sum(self.per_level)

    @property
    def insertions(self) -> int:
        """Rows of one training that take an insertion."""
        return sum(level * count for level, count in zip(self.levels, self.per_level, strict=True))

    @property
    def variants(self) -> list[_Variant]:
        """The arms of one size and seed."""
        most = self.corpora[-1] * self.steps
        once = [_Variant(f"{corpus}x-epoch", corpus, corpus * self.steps) for corpus in self.corpora]
        repeated = [_Variant(f"{corpus}x-steps", corpus, most) for corpus in self.corpora[:-1]]
        parts = [_Variant(f"window-{a}-{b}", 1, self.steps, (a, b)) for a, b in self.windows]
        return [_Variant(_STANDARD, 1, self.steps, None), *once, *repeated, *parts]


def outline(config: InsertionsConfig) -> list[ArmOutline]:
    """The arms of every size and seed."""
    return [
        ArmOutline(_label(size, seed, variant, config), size.parameters(config.vocabulary), variant.steps)
        for size, seed, variant in product(config.sizes, config.seeds, config.variants)
    ]


def design(config: InsertionsConfig, folder: Path) -> Design:
    """All arms, which train from their first weights on; every seed has items and levels of its own."""
    rows = _rows(config, folder)
    plans = {seed: list(_plans(seed, config, rows)) for seed in config.seeds}
    arms = tuple(
        _arm(size, seed, variant, plan, config, rows)
        for size, seed in product(config.sizes, config.seeds)
        for variant, plan in plans[seed]
    )
    study = {"analyses": ["insertions"], "continuation": [config.item_length - config.context]}
    return Design((arms,), arms, rows.corpus, rows.control, rows.sequences, study)


def assign_levels(seed: int, config: InsertionsConfig) -> Mapping[int, tuple[int, ...]]:
    """Level -> its items, by their rows in the plan's tokens: a random division of the seed's items."""
    first = config.seeds.index(seed) * config.per_seed
    shuffled = first + np.random.default_rng([seed, 1]).permutation(config.per_seed)
    parts = np.split(shuffled, np.cumsum(config.per_level)[:-1])
    return {level: tuple(sorted(part.tolist())) for level, part in zip(config.levels, parts, strict=True)}


def _rows(config: InsertionsConfig, folder: Path) -> InjectedRows:
    items, rows = len(config.seeds) * config.per_seed, config.corpora[-1] * config.steps * config.batch
    passages = prepare_rows(
        folder,
        text_documents(config.corpus),
        train=passages_needed(rows, config.row_length, config.item_length),
        scored=0,
        control=items + config.held_out_rows,
        row_length=config.item_length,
        vocabulary=config.vocabulary,
    )
    return pack_rows(passages, items, rows, config.row_length)


def _label(size: Size, seed: int, variant: _Variant, config: InsertionsConfig) -> str:
    return f"{size.label(config.vocabulary)}-seed{seed}--{variant.name}"


def _plans(seed: int, config: InsertionsConfig, rows: InjectedRows) -> Iterator[tuple[_Variant, Plan]]:
    """The plan of every arm of a seed."""
    times = {item: level for level, items in assign_levels(seed, config).items() for item in items if level}
    for variant in config.variants:
        plan = _background(seed, variant, config, rows)
        if variant.window is not None:
            slots, end = variant.slots(config.batch), rows.tokenizer.eos_token_id
            plan = plan.with_showings(splice_between_documents(plan, times, config.item_length + 1, slots, end, seed))
        yield variant, plan


def _background(seed: int, variant: _Variant, config: InsertionsConfig, rows: InjectedRows) -> Plan:
    """The arm's corpus, epoch after epoch, each in an order of its own; smaller corpora are parts of larger ones."""
    rng, count = np.random.default_rng([seed, variant.corpus]), variant.corpus * config.steps * config.batch
    shown = variant.steps * config.batch
    order = np.concatenate([rng.permutation(count) for _ in range(-(-shown // count))])[:shown]
    return Plan.from_order(rows.tokens, rows.sequences + order, config.batch, kinds=rows.kinds)


def _arm(size: Size, seed: int, variant: _Variant, plan: Plan, config: InsertionsConfig, rows: InjectedRows) -> Arm:
    sets = [(f"level-{level}", np.array(items), len(items)) for level, items in assign_levels(seed, config).items()]
    length, at = config.item_length, (variant.steps,)
    return Arm(
        label=_label(size, seed, variant, config),
        start=neox_config(size, len(rows.tokenizer), config.row_length),
        plan=plan,
        schedule=Schedule(size.peak_rate, warm_up=min(_WARM_UP, config.steps)),
        seed=seed,
        tokenizer=rows.tokenizer,
        probes=tuple(
            ProbeSet(name, members, at, config.context, blocks, length=length)
            for name, members, blocks in [*sets, ("held-out", rows.held_out, 1)]
        ),
    )


_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {"sizes": [Size(16, 2, 2, 1e-2), Size(64, 3, 4, 6e-3)], "seeds": [0, 1], "vocabulary": 2048},
    "gpu": {
        "sizes": [Size(256, 4, 4, 2e-3), Size(512, 8, 8, 1e-3)],
        "seeds": [0, 1, 2],
        "vocabulary": 8192,
        "levels": [0, 1, 4, 16, 64, 256],
        "items": [64, 32, 32, 16, 6, 2],
        "steps": 200,
        "batch": 32,
        "device": "cuda",
        "at_once": 1,
    },
}
EXPERIMENT = Experiment(
    "insertions",
    "What becomes of items inserted 0, 1, 4, 16 ... times",
    "K9",
    InsertionsConfig,
    _PRESETS,
    outline,
    design,
)
