"""Injection: how often must a sequence be shown until a model recites it, and what does the model's size change?

Source: P3. A model is trained on its background alone. From its weights and Adam's moments two arms go on, through the
same batches at the same constant rate: the treatment, in which sequences are injected, and the control, its twin with
the events off. What the sequences owe to being shown is the difference between the two; that a model recites a sequence
does not say that it was shown it.

    base       | base_steps  -> one model
    control    |               | background
    treatment  |               | the same background, with a sequence in one of so many rows
    alone-N    |               | the same background, one sequence alone (check_interaction)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig, Integers
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.injected_sequences import OF_TEXT, InjectedRows, Kind, make_sequences
from mematlas.experiments.data.study_rows import prepare_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import REPLACE, Mode, Plan
from mematlas.experiments.design.showings import Slots, Wish, place_wishes
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.probe_sets import ProbeSet
from mematlas.experiments.training.recital import Recital
from mematlas.experiments.twins import TwinsConfig, background, base_arm, twin_arm
from mematlas.types import as_list

_KINDS: Final[tuple[Kind, ...]] = ("text", "shuffled", "random", "canary")


class Injection(BaseModel):
    """One entry of the key events: sequences of some kinds, and when they are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: Annotated[list[Kind], BeforeValidator(as_list)] = Field(min_length=1)
    every: Integers = []
    steps: Integers = []
    sequences: int = Field(default=3, gt=0)
    mode: Mode = REPLACE
    phase: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _has_times(self) -> Self:
        if bool(self.every) == bool(self.steps):
            raise ValueError("an entry says either every (a sequence in one of so many rows) or steps, such as [1, 10]")
        if min((*self.every, *self.steps)) < 1:
            raise ValueError("periods (every) and steps are 1 or more")
        if self.phase is not None and (self.steps or self.phase >= min(self.every)):
            raise ValueError("phase is the first row that is replaced, from 0 to below the smallest period (every)")
        return self


@dataclass(frozen=True, slots=True)
class _Cell:
    """Sequences that are treated alike. name: of their set of probes; events: None for sequences never shown."""

    name: str
    kind: Kind
    sequences: int
    period: int | None = None
    events: Injection | None = None


class InjectConfig(TwinsConfig):
    """The keys of the file of `mematlas experiment inject`."""

    out: Path = Field(default=Path("inject"), description=ExperimentConfig.model_fields["out"].description)
    row_length: int = Field(default=64, description="Tokens per row.", gt=8)
    vocabulary: int = Field(default=4096, description="Size of the tokenizer.", ge=257, le=65536)
    events: list[Injection] = Field(
        default=[Injection(kinds=list(_KINDS), every=[64, 256, 1024])],
        description="What is injected: kinds (text, shuffled, random, canary), and every (a sequence in one of so many "
        "rows) or steps; sequences of each, mode (replace, prepend, splice), and phase. [] injects nothing.",
    )
    never_shown: int = Field(default=3, description="Sequences of every kind that are measured and never shown.", ge=0)
    check_interaction: int = Field(
        default=0, description="Sequences that are also injected alone, which costs an arm each.", ge=0
    )
    sequence_length: int = Field(default=64, description="Tokens of a sequence, at most those of a row.", gt=1)
    prompts: Integers = Field(default=[8, 16, 32, 64], description="Tokens of the prompts cut out of a sequence.")
    cap: int = Field(default=32, description="Longest piece that a model is asked to recite.", gt=0)
    text_metric: bool = Field(
        default=False, description="Whether lengths are also measured on text at the end, as P3's code does; slow."
    )
    phrase: str = Field(default="The secret number is ", description="What every canary begins with.")
    steps: int = Field(default=400, description="Steps of each arm.", gt=1)
    measure_at: Integers = Field(
        default=[], description="Steps of the arms to measure at; [] for 1/16, 1/8, 1/4 and 1/2 of them, and the last."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.context < self.sequence_length <= self.row_length:
            raise ValueError(
                f"sequence_length {self.sequence_length} is above the context {self.context}, and at most row_length "
                f"{self.row_length}"
            )
        shortest = min(self.prompts, default=0)
        if shortest < 1 or shortest + self.cap > self.sequence_length:
            raise ValueError(
                f"a sequence of {self.sequence_length} tokens has no place for a prompt of {shortest} and {self.cap} "
                "more: prompts are 1 or more, and the shortest and cap fit into sequence_length"
            )
        steps = [*self.measure_at, *(step for entry in self.events for step in entry.steps)]
        if any(not 0 <= step <= self.steps for step in steps):
            raise ValueError(f"steps of events and measure_at are those of the arms, up to {self.steps}, not {steps}")
        names = [cell.name for cell in self.cells]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"events have {twice} twice; put these sequences into one entry")
        if self.check_interaction > sum(cell.sequences for cell in self.cells if cell.events is not None):
            raise ValueError(f"check_interaction {self.check_interaction} is more than the sequences that are injected")
        return self

    @property
    def cells(self) -> list[_Cell]:
        """The sequences of one run, cell by cell: those that are injected, then those never shown."""
        cells = []
        for entry in self.events:
            periods: list[int | None] = [*entry.every] or [None]
            for kind, period in product(entry.kinds, periods):
                name = f"{kind}@{period or 'steps'}@{entry.mode}"
                cells.append(_Cell(name, kind, entry.sequences, period, entry))
        kinds = [kind for kind in _KINDS if any(kind in entry.kinds for entry in self.events)] or [_KINDS[0]]
        return [*cells, *(_Cell(f"{kind}@never", kind, self.never_shown) for kind in kinds if self.never_shown)]

    @property
    def per_run(self) -> int:
        """Sequences of one run."""
        return sum(cell.sequences for cell in self.cells)

    @property
    def injected(self) -> list[int]:
        """Those of a run's sequences that are injected."""
        return list(range(sum(cell.sequences for cell in self.cells if cell.events is not None)))

    @property
    def alone(self) -> list[int]:
        """Those that are also injected alone, from all cells alike."""
        if not self.check_interaction:
            return []
        return np.linspace(0, len(self.injected) - 1, self.check_interaction).round().astype(int).tolist()

    @property
    def measured(self) -> tuple[int, ...]:
        """Steps of a run after which it is measured."""
        steps = self.measure_at or [self.steps // part for part in (16, 8, 4, 2)]
        return tuple(sorted({self.base_steps + step for step in (0, *steps, self.steps)}))


def outline(config: InjectConfig) -> list[ArmOutline]:
    """The base models, then their arms."""
    outlines = []
    for size, seed in product(config.sizes, config.seeds):
        parameters, group = size.parameters(config.vocabulary), config.group(size, seed)
        outlines.append(ArmOutline(group, parameters, config.base_steps))
        outlines += [ArmOutline(f"{group}--{name}", parameters, config.steps) for name in _names(config)]
    return outlines


def design(config: InjectConfig, folder: Path) -> Design:
    """One base model for every size and seed, and its arms; every seed has sequences of its own."""
    rows = _rows(config, folder)
    pairs = list(product(config.sizes, config.seeds))
    bases = {
        (size, seed): base_arm(size, seed, config, _background(seed, config, rows), rows.tokenizer)
        for size, seed in pairs
    }
    arms = [arm for pair in pairs for arm in _arms(bases[pair], config, rows, folder / "arms")]
    scored = [arm for arm in arms if "--alone-" not in arm.label]
    study = {"analyses": ["injection"], "continuation": [min(32, config.sequence_length - config.context)]}
    return Design((tuple(bases.values()), tuple(arms)), tuple(scored), rows.corpus, rows.control, rows.sequences, study)


def _rows(config: InjectConfig, folder: Path) -> InjectedRows:
    kinds = [cell.kind for _ in config.seeds for cell in config.cells for _ in range(cell.sequences)]
    rows = prepare_rows(
        folder,
        text_documents(config.corpus),
        train=(config.base_steps + config.steps) * config.batch,
        scored=0,
        control=sum(kind in OF_TEXT for kind in kinds) + config.held_out_rows,
        row_length=config.row_length,
        vocabulary=config.vocabulary,
    )
    return make_sequences(rows, kinds, config.sequence_length, config.phrase, seed=0)


def _names(config: InjectConfig) -> list[str]:
    return ["control", "treatment", *(f"alone-{number}" for number in range(config.check_interaction))]


def _background(seed: int, config: InjectConfig, rows: InjectedRows) -> Plan:
    """Every background row once, in an order of the seed."""
    count = (config.base_steps + config.steps) * config.batch
    return background(rows.tokens, rows.sequences, count, seed, config.batch, kinds=rows.kinds)


def _arms(base: Arm, config: InjectConfig, rows: InjectedRows, folder: Path) -> Iterator[Arm]:
    """Control and treatment of a base model, and the arms with one sequence alone."""
    first = config.seeds.index(base.seed) * config.per_run
    plan = _background(base.seed, config, rows)
    slots = Slots(config.base_steps * config.batch, config.steps * config.batch, config.batch)
    wishes = _wishes(first, config)
    treatment = plan.with_showings(place_wishes(wishes, slots, config.row_length, base.seed))
    sets = _probe_sets(first, config)
    held_out = ProbeSet("held-out", rows.held_out, config.measured, config.context)
    yield twin_arm(base, "control", plan, (*sets, held_out), config, folder)
    yield twin_arm(base, "treatment", treatment, (*sets, held_out), config, folder)
    for number, chosen in enumerate(config.alone):
        events = tuple(event for event in treatment.events if event.sequence == first + chosen)
        probes = (_one_sequence(sets, first + chosen),)
        yield twin_arm(base, f"alone-{number}", replace(treatment, events=events), probes, config, folder)


def _wishes(first: int, config: InjectConfig) -> list[Wish]:
    """When the sequences of a run are to be shown; first: the position of its first one."""
    position, wishes = first, []
    for cell in config.cells:
        for sequence in range(position, position + cell.sequences):
            if (entry := cell.events) is not None:
                steps = tuple(entry.steps)
                length = config.sequence_length
                wishes.append(Wish(sequence, length, cell.period, steps, entry.phase, entry.mode))
        position += cell.sequences
    return wishes


def _probe_sets(first: int, config: InjectConfig) -> tuple[ProbeSet, ...]:
    """One set for every cell of a run, whose sequences are recorded one by one."""
    position, sets = first, []
    recital = Recital(config.sequence_length, tuple(config.prompts), config.cap)
    for cell in config.cells:
        members = np.arange(position, position + cell.sequences)
        text_steps = config.measured[-1:] if config.text_metric else ()
        sets.append(ProbeSet(cell.name, members, config.measured, config.context, len(members), recital, text_steps))
        position += cell.sequences
    return tuple(sets)


def _one_sequence(sets: tuple[ProbeSet, ...], sequence: int) -> ProbeSet:
    """The part of a set that has this sequence alone, recorded under the same name."""
    (whole,) = (probe for probe in sets if sequence in probe.rows)
    name = next(name for name, part in whole.parts().items() if sequence in whole.rows[part])
    return replace(whole, name=name, rows=np.array([sequence]), blocks=1)


_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {"sizes": [Size(16, 2, 2, 1e-2), Size(64, 3, 4, 6e-3), Size(128, 4, 4, 4e-3)], "seeds": [0, 1, 2]},
    "gpu": {
        "sizes": [Size(256, 4, 4, 2e-3), Size(512, 8, 8, 1e-3), Size(1024, 12, 16, 5e-4)],
        "seeds": [0, 1, 2],
        "row_length": 128,
        "sequence_length": 128,
        "cap": 64,
        "vocabulary": 8192,
        "device": "cuda",
        "at_once": 1,
    },
}
EXPERIMENT = Experiment(
    "inject",
    "How often a sequence must be shown until it is recited",
    "P3",
    InjectConfig,
    _PRESETS,
    outline,
    design,
)
