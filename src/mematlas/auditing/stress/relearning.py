"""The unlearned model after some steps of training on rows: does the text come back faster than it could be learned?

others   two models, each trained on one half of the tested rows and asked for the other half. A row that shares a
         passage with a row of the other half is not trained on, so that no tested text is shown again
rows     one model, trained on the tested rows and on as many of the control, which no model had seen: what these
         gain is what any row gains by being shown
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mematlas.auditing.stress.config import StressConfig
from mematlas.auditing.stress.rows import RowSets, StressRow
from mematlas.errors import CorpusError, OptionError
from mematlas.experiments.data.overlap import has_no_ngram_in, ngram_keys
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.trainer import train_arm
from mematlas.models.base import ModelSource
from mematlas.progress import Progress
from mematlas.types import Ids

_PASSAGE: Final = 13  # tokens that two rows must not share; as in the splits of predictors
_BATCH: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A training of the unlearned model. name: of its folder; shown: rows that it is trained on; asked: rows that are
    measured afterwards, by role and id."""

    name: str
    shown: tuple[StressRow, ...]
    asked: frozenset[tuple[str, int]]


def lessons_of(config: StressConfig, rows: RowSets) -> list[Lesson]:
    """The trainings that the options ask for.

    Raises:
        CorpusError: half of the rows, or all of one half, cannot be trained on.
    """
    tested, control = rows.of("tested"), rows.of("control")
    if config.relearn_on == "rows":
        everything = (*tested, *control[: len(tested)])
        return [Lesson("relearned", everything, _keys(everything))]
    order = np.random.default_rng(config.seed).permutation(len(tested))
    halves = [[tested[number] for number in sorted(half)] for half in np.array_split(order, 2)]
    lessons = []
    for number, name in enumerate(("relearned-a", "relearned-b")):
        shown, asked = halves[number], halves[1 - number]
        apart = _without_passages_of(shown, asked, config)
        if not apart:
            raise CorpusError(
                f"--relearn: each of the {len(shown)} rows of one half shares {_PASSAGE} tokens with the other half, "
                "or there are none; select more --rows, or train on the rows themselves with --relearn-on rows."
            )
        lessons.append(Lesson(name, tuple(apart), _keys(asked) | _keys(control[number::2])))
    return lessons


def _keys(rows: Sequence[StressRow]) -> frozenset[tuple[str, int]]:
    return frozenset((row.role, row.row) for row in rows)


def _tokens(rows: Sequence[StressRow], config: StressConfig) -> Ids:
    """The first tokens of rows, as many as all have: [rows, at most C + K]."""
    length = min(config.context + config.continuation, *(len(row.tokens) for row in rows))
    return np.stack([row.tokens[:length] for row in rows])


def _without_passages_of(
    shown: Sequence[StressRow], asked: Sequence[StressRow], config: StressConfig
) -> list[StressRow]:
    if not shown or not asked:
        return []
    keys = [ngram_keys(_tokens(part, config), _PASSAGE) for part in (shown, asked)]
    apart = has_no_ngram_in(keys[0], keys[1])
    return [row for row, is_apart in zip(shown, apart, strict=True) if is_apart]


def trainable_folder(config: StressConfig, source: ModelSource) -> Path:
    """The folder of the unlearned model.

    Raises:
        OptionError: it is no folder with weights.
    """
    folder = getattr(source, "folder", None)
    if not isinstance(folder, Path):
        raise OptionError(
            f"--relearn {config.relearn}: {source.card.spec!r} is no folder with weights to train; name one, or leave "
            "out --relearn."
        )
    return folder


def relearn(config: StressConfig, start: Path, lesson: Lesson, folder: Path, progress: Progress) -> Path:
    """Train the model in folder `start`; returns the folder of the result, at once if it is there.

    Raises:
        ModelError: it cannot be trained.
    """
    tokens = _tokens(lesson.shown, config)
    random, slots = np.random.default_rng(config.seed), config.relearn * min(_BATCH, len(tokens))
    rounds = -(-slots // len(tokens))
    order = np.concatenate([random.permutation(len(tokens)) for _ in range(rounds)])[:slots]
    plan = Plan.from_order(tokens, order, min(_BATCH, len(tokens)))
    arm = Arm(lesson.name, start, plan, Schedule(config.relearn_rate), config.seed)
    progress.start(lesson.name, plan.steps, 0, "steps")
    try:
        return train_arm(arm, folder / lesson.name, lambda *_: progress.advance(1), device=config.device)
    finally:
        progress.stop()
