"""Facts: what a model keeps of a made-up fact, after how many showings, in its own words and in others, and how long.

Source: Chang et al. 2024 (K12). Facts that no text of the corpus states are divided into four groups: each time in
other words, each time in the same words, once, and never. From one model two arms go on, as in `inject`: the treatment,
in which a text is put in front of a row, and the control, its twin without the texts. The loss on the target of every
question is measured before a showing and after it.

The fact of the same number in every group is shown in the same steps (or would be), so that facts never shown are
measured at the same times. Numbers take turns: number c begins c * interval / per_group steps after number 0.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mematlas.errors import OptionError
from mematlas.experiments.base import ArmOutline, Design, Experiment, ExperimentConfig
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.fact_rows import GROUPS, NEVER, FactRows, fact_rows
from mematlas.experiments.data.facts import Fact, check_absent, facts_as_lines, read_facts
from mematlas.experiments.data.line_file import write_if_changed
from mematlas.experiments.data.made_up_facts import MOST_TEXTS, made_up_facts
from mematlas.experiments.data.standard_library import Document
from mematlas.experiments.data.study_rows import ExperimentRows, prepare_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.showings import Slots, Wish, place_wishes
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name
from mematlas.experiments.training.probe_sets import ProbeSet
from mematlas.experiments.twins import TwinsConfig, background, base_arm, twin_arm
from mematlas.study import write_table

#: Texts of one number that are shown in a step: one of each group but the last.
_AT_ONCE: Final = len(GROUPS) - 1
_ARMS: Final = ("control", "treatment")


class FactsConfig(TwinsConfig):
    """The keys of the file of `mematlas experiment facts`."""

    out: Path = Field(default=Path("facts"), description=ExperimentConfig.model_fields["out"].description)
    row_length: int = Field(default=96, description="Tokens per row.", gt=8)
    facts: Path | None = Field(
        default=None,
        description="Facts of your own: a file of JSON lines with the keys texts, verbatim, paraphrase and composed; "
        "null for made-up ones.",
    )
    per_group: int = Field(
        default=10, description="Facts in each of the four groups; of your own, as many as there are.", gt=0
    )
    injections: int = Field(default=6, description="Showings of a fact that is shown more than once.", gt=0)
    interval: int = Field(default=40, description="Steps from one showing of a fact to the next.", gt=1)
    after_steps: int = Field(default=240, description="Steps after the last showing of all.", gt=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.facts is None and self.injections > MOST_TEXTS:
            raise ValueError(f"a made-up fact has {MOST_TEXTS} texts, so that injections is at most {MOST_TEXTS}")
        if self.facts is None:
            self.check_slots(self.per_group)
        return self

    def check_slots(self, per_group: int) -> None:
        """Check that the texts of a step find slots in it.

        Raises:
            ValueError: they do not.
        """
        at_once = _AT_ONCE * -(-per_group // self.interval)
        if at_once > self.batch:
            raise ValueError(
                f"{at_once} texts would be shown in one step, and a batch of {self.batch} has no place for them; take "
                "a larger batch or interval, or fewer facts"
            )

    @cached_property
    def own_facts(self) -> tuple[Fact, ...] | None:
        """The facts of the user's own; None for made-up ones."""
        return None if self.facts is None else read_facts(self.facts)

    @property
    def numbers(self) -> int:
        """Facts in each group."""
        return self.per_group if self.own_facts is None else max(1, len(self.own_facts) // len(GROUPS))

    def first_step(self, number: int) -> int:
        """The step of an arm in which facts with this number are shown first."""
        return 1 + number * self.interval // self.numbers

    def showings(self, number: int) -> list[int]:
        """The steps of an arm in which facts with this number are shown."""
        return [self.first_step(number) + showing * self.interval for showing in range(self.injections)]

    @property
    def steps(self) -> int:
        """Steps of each arm."""
        return self.showings(self.numbers - 1)[-1] + self.after_steps

    def measured(self, number: int) -> tuple[int, ...]:
        """Steps of a whole run after which facts with this number are measured: right before every showing, and 1, 2,
        3, 5, 9, 17 ... steps after it, until the next one."""
        *_, last = showings = self.showings(number)
        ends = [*showings[1:], last + self.after_steps]
        steps = {step for first, end in zip(showings, ends, strict=True) for step in _growing_steps(first - 1, end - 1)}
        return tuple(sorted(self.base_steps + step for step in steps))


def _growing_steps(before: int, end: int) -> list[int]:
    """before, and 1 + 0, 1, 2, 4, 8 ... steps after it, up to `end`."""
    after = [before + 1, *(before + 1 + 2**power for power in range((end - before).bit_length()))]
    return [before, *(step for step in after if step <= end), end]


def outline(config: FactsConfig) -> list[ArmOutline]:
    """The base models, then their arms."""
    outlines = []
    for size, seed in product(config.sizes, config.seeds):
        parameters, group = size.parameters(config.vocabulary), config.group(size, seed)
        outlines.append(ArmOutline(group, parameters, config.base_steps))
        outlines += [ArmOutline(f"{group}--{name}", parameters, config.steps) for name in _ARMS]
    return outlines


def design(config: FactsConfig, folder: Path) -> Design:
    """One base model for every size and seed, and its arms; all have the same facts in the same groups.

    Raises:
        CorpusError: the texts or facts are missing, too few, or do not fit.
        OptionError: a batch has no place for the texts of a step.
    """
    try:
        config.check_slots(config.numbers)
    except ValueError as error:
        raise OptionError(f"{config.facts}: {error}.") from None
    documents = text_documents(config.corpus)
    facts = _facts(config, documents, folder)
    rows = _background_rows(config, documents, folder)
    found = fact_rows(facts, rows.tokenizer, config.row_length, config.context + 1)
    _write_files(rows, found)
    tokens = np.concatenate([found.tokens, rows.tokens])
    pairs = list(product(config.sizes, config.seeds))
    bases = {
        (size, seed): base_arm(size, seed, config, _background(seed, config, tokens, found), rows.tokenizer)
        for size, seed in pairs
    }
    arms = [arm for pair in pairs for arm in _arms(bases[pair], config, tokens, found, folder / "arms")]
    shortest = int(found.lengths[: len(found.groups)].min())
    study = {
        "analyses": ["facts", "bits"],
        "signals": ["truth"],
        "continuation": [min(32, shortest - config.context)],
        "models": _models(arms, "treatment"),
        "control_models": _models(arms, "control"),
    }
    return Design((tuple(bases.values()), tuple(arms)), tuple(arms), rows.corpus, rows.control, found.shown, study)


def _models(arms: list[Arm], name: str) -> list[str]:
    """The folders of the last models of the arms with this name, as seen from that of the experiment."""
    return [f"arms/{a.label}/{checkpoint_name(a.plan.steps)}" for a in arms if a.label.endswith(f"--{name}")]


def _facts(config: FactsConfig, documents: list[Document], folder: Path) -> tuple[Fact, ...]:
    """The user's facts; or made-up ones, which are written to facts.jsonl."""
    texts = [document.text for document in documents]
    facts = config.own_facts
    if facts is None:
        facts = made_up_facts(config.per_group * len(GROUPS), texts)
        write_if_changed(folder / "facts.jsonl", facts_as_lines(facts))
    check_absent(facts, texts)
    return facts


def _background_rows(config: FactsConfig, documents: list[Document], folder: Path) -> ExperimentRows:
    return prepare_rows(
        folder,
        documents,
        train=(config.base_steps + config.steps) * config.batch,
        scored=0,
        control=config.held_out_rows,
        row_length=config.row_length,
        vocabulary=config.vocabulary,
    )


def _write_files(rows: ExperimentRows, found: FactRows) -> None:
    """Replace the files of rows by the first texts of the facts: those that are shown, and those that never are."""
    ids = [found.tokens[row, : found.lengths[row]] for row in range(len(found.groups))]
    numbers = np.arange(len(ids))
    table = pa.table(
        {
            "tokens": pa.array(ids, pa.list_(pa.uint16())),
            "document": numbers,
            "source": [f"fact-{group}" for group in found.groups],
        }
    )
    write_table(rows.corpus, table.slice(0, found.shown))
    write_table(rows.control, table.slice(found.shown))


def _background(seed: int, config: FactsConfig, tokens: NDArray[Any], found: FactRows) -> Plan:
    """Every background row once, in an order of the seed."""
    count = (config.base_steps + config.steps) * config.batch
    others = ["background"] * count + ["held-out"] * config.held_out_rows
    groups = [*found.facts.tolist(), *[-1] * len(others)]
    kinds = (*found.kinds, *others)
    return background(tokens, len(found.tokens), count, seed, config.batch, kinds=kinds, groups=groups)


def _arms(base: Arm, config: FactsConfig, tokens: NDArray[Any], found: FactRows, folder: Path) -> Iterator[Arm]:
    """Control and treatment of a base model; folder: of all arms."""
    plan = _background(base.seed, config, tokens, found)
    slots = Slots(config.base_steps * config.batch, config.steps * config.batch, config.batch)
    treatment = plan.with_showings(place_wishes(_wishes(config, found), slots, config.row_length, base.seed))
    sets = [_probe_set(number, config, found) for number in range(config.numbers)]
    ends = (config.base_steps, config.base_steps + config.steps)
    held_out = np.arange(len(tokens) - config.held_out_rows, len(tokens))
    probes = (*sets, ProbeSet("held-out", held_out, ends, config.context))
    yield twin_arm(base, "control", plan, probes, config, folder)
    yield twin_arm(base, "treatment", treatment, probes, config, folder)


def _probe_set(number: int, config: FactsConfig, found: FactRows) -> ProbeSet:
    rows, targets = found.cohort(number)
    return ProbeSet(f"facts:{number}", rows, config.measured(number), targets=targets)


def _wishes(config: FactsConfig, found: FactRows) -> list[Wish]:
    """When every text is to be shown, in front of a row; facts with fewer texts than showings begin anew."""
    wishes = []
    for number, group, texts in zip(found.numbers, found.groups, found.texts, strict=True):
        steps = config.showings(number)
        shown = {
            "paraphrased": [int(texts[showing % len(texts)]) for showing in range(len(steps))],
            "duplicated": [int(texts[0])] * len(steps),
            "once": [int(texts[0])],
            NEVER: [],
        }[group]
        for text in dict.fromkeys(shown):
            times = tuple(step for step, shown_then in zip(steps, shown, strict=False) if shown_then == text)
            wishes.append(Wish(text, int(found.lengths[text]), steps=times, mode="prepend"))
    return wishes


_PRESETS: Final[dict[Any, dict[str, Any]]] = {
    "cpu": {"sizes": [Size(48, 2, 4, 6e-3), Size(96, 3, 4, 5e-3)], "seeds": [0, 1]},
    "gpu": {
        "sizes": [Size(256, 4, 4, 2e-3), Size(512, 8, 8, 1e-3), Size(1024, 12, 16, 5e-4)],
        "seeds": [0, 1],
        "row_length": 64,
        "vocabulary": 8192,
        "per_group": 20,
        "injections": 10,
        "interval": 50,
        "after_steps": 400,
        "base_steps": 500,
        "device": "cuda",
        "at_once": 1,
    },
}
EXPERIMENT = Experiment(
    "facts",
    "What a model keeps of made-up facts, and how long",
    "K12 (Chang et al.)",
    FactsConfig,
    _PRESETS,
    outline,
    design,
)
