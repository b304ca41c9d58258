"""Where canaries are put: at random, each of their showings by itself."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mematlas.auditing.canaries.template import Template
from mematlas.auditing.canaries.training_file import TrainingFile
from mematlas.errors import OptionError

#: own: a record of its own; start, end: of a record's text (of its answer, where it has one), one canary a record.
Place = Literal["own", "start", "end"]


@dataclass(frozen=True, slots=True)
class Canary:
    """A made-up secret, and how often it is shown."""

    secret: str
    repetitions: int


@dataclass(frozen=True, slots=True)
class Filled:
    """The content of the file with canaries, and the numbers of the records, from 1, in which each canary is."""

    content: str
    records: int
    places: list[list[int]]


def insert(file: TrainingFile, canaries: Sequence[Canary], template: Template, place: Place, seed: int) -> Filled:
    """Put every canary into the file as often as it says.

    Raises:
        OptionError: there are fewer texts to put canaries into than showings.
    """
    generator = random.Random(f"{seed}:places")
    showings = [number for number, canary in enumerate(canaries) for _ in range(canary.repetitions)]
    generator.shuffle(showings)
    texts = [template.text(canary.secret) for canary in canaries]
    places: list[list[int]] = [[] for _ in canaries]
    if place == "own":
        owns = [file.encode(file.own_record(template, canary.secret)) for canary in canaries]
        at = sorted(generator.sample(range(len(file.raw) + len(showings)), len(showings)))
        raw = list(file.raw)
        for number, canary in zip(at, showings, strict=True):  # ascending, so that what was put in stays where it is
            raw.insert(number, owns[canary])
    else:
        raw = list(file.raw)
        at = _records_with_text(file, generator, len(showings), at_start=place == "start")
        for number, canary in zip(at, showings, strict=True):
            changed = file.with_text(file.records[number], texts[canary], at_start=place == "start")
            assert changed is not None
            raw[number] = file.encode(changed)
    for number, canary in zip(at, showings, strict=True):
        places[canary].append(number + 1)
    return Filled(file.assemble(raw), len(raw), [sorted(each) for each in places])


def _records_with_text(file: TrainingFile, generator: random.Random, count: int, *, at_start: bool) -> list[int]:
    """Numbers of different records that have a text to join a canary to, drawn at random."""
    with_text = [
        number for number, each in enumerate(file.records) if file.with_text(each, "", at_start=at_start) is not None
    ]
    if len(with_text) < count:
        raise OptionError(
            f"Canaries are shown {count:,} times, one in a text, and the file has {len(with_text):,} texts; lower "
            "--per-level or --repetitions, or leave out --place, so that they are texts of their own."
        )
    return generator.sample(with_text, count)
