"""Texts with a property: a label in a column, or whether a pattern is in the text.

topic,text
sport,"The match began at noon ..."
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mematlas.corpus.records import Record, read_table
from mematlas.errors import CorpusError, did_you_mean
from mematlas.probes.ratios.config import RatiosConfig

_FEWEST_TEXTS: Final = 20  # of a table; our choice
_FEWEST_OF_LABEL: Final = 2  # different ones, so that one is left to learn the label from
_MOST_LABELS: Final = 50  # more are numbers or names; our choice


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text. start: its first words, "" for none; rest: all after them; label: of the whole text."""

    start: str
    rest: str
    label: str


@dataclass(frozen=True, slots=True)
class Texts:
    """What is compared. labels: their names, in the order of tables; short: texts left out for their start."""

    training: tuple[LabelledText, ...]
    control: tuple[LabelledText, ...]
    labels: tuple[str, ...]
    short: int

    @property
    def starts(self) -> tuple[str, ...]:
        """What a model continues: the beginnings of control texts, each once, or nothing."""
        return tuple(dict.fromkeys(text.start for text in self.control)) or ("",)


def pattern_teller(pattern: str) -> tuple[tuple[str, str], Callable[[str], str]]:
    """The two labels of NAME=REGEX, and which of them a text has."""
    name, _, regex = pattern.partition("=")
    labels, compiled = (name.strip(), f"no {name.strip()}"), re.compile(regex)
    return labels, lambda text: labels[0] if compiled.search(text) else labels[1]


def read_texts(config: RatiosConfig) -> Texts:
    """The texts of training and control, in the order of their tables.

    Raises:
        CorpusError: a file cannot be read or lacks a column; a table has fewer than 20 texts; there is one label only,
            more than 50, one of control texts alone, or one of a single training text.
    """
    training, short = _read(Path(config.corpus), config)
    control, short_control = ([], 0) if config.control is None else _read(Path(config.control), config)
    if config.pattern is not None:
        pair, _ = pattern_teller(config.pattern)
        labels: tuple[str, ...] = pair
        _check_pattern(config, [*training, *control], pair)
    else:
        labels = tuple(sorted({text.label for text in training}))
        _check_labels(config, training, control)
    return Texts(tuple(training), tuple(control), labels, short + short_control)


def _read(path: Path, config: RatiosConfig) -> tuple[list[LabelledText], int]:
    found, short = list[LabelledText](), 0
    label_of = None if config.pattern is None else pattern_teller(config.pattern)[1]
    for where, record in read_table(path, config.format):
        text = _field(where, record, config.column)
        label = label_of(text) if label_of else _field(where, record, str(config.label))
        words = re.match(rf"(\S+\s+){{{config.start_words}}}(?=\S)", text)
        if words is None:
            short += 1
            continue
        end = len(words.group().rstrip())
        found.append(LabelledText(text[:end], text[end:], label))
    if len(found) < _FEWEST_TEXTS:
        longer = f" of more than {config.start_words} words" if config.start_words else ""
        raise CorpusError(
            f"{path} has {len(found)} texts{longer}; give at least {_FEWEST_TEXTS}, to know their shares."
        )
    return found, short


def _check_pattern(config: RatiosConfig, texts: Sequence[LabelledText], labels: tuple[str, str]) -> None:
    count = sum(text.label == labels[0] for text in texts)
    if count in (0, len(texts)):
        which = "all" if count else "none"
        raise CorpusError(
            f"--pattern {config.pattern} is in {which} of {len(texts):,} texts, so that there are no shares to "
            "compare; give one that some texts have."
        )


def _check_labels(config: RatiosConfig, training: Sequence[LabelledText], control: Sequence[LabelledText]) -> None:
    different = Counter({text.rest: text.label for text in reversed(training)}.values())
    labels = {text.label for text in training}
    if len(labels) == 1:
        (only,) = labels
        raise CorpusError(
            f"{config.corpus} has one label only, {only!r}, in the column {config.label!r}; shares need two or more."
        )
    if len(labels) > _MOST_LABELS:
        raise CorpusError(
            f"{config.corpus} has {len(labels):,} labels in the column {config.label!r}; give at most {_MOST_LABELS}, "
            "such as ranges of a number."
        )
    for label in sorted(labels):
        if different[label] < _FEWEST_OF_LABEL:
            raise CorpusError(
                f"{config.corpus}: {label!r} has {different[label]} different texts, and a label is learnt from one to "
                f"tell another; give at least {_FEWEST_OF_LABEL}, or leave the label out."
            )
    for text in control:
        if text.label not in labels:
            raise CorpusError(
                f"{config.control} has the label {text.label!r}, which no text of {config.corpus} has."
                f"{did_you_mean(text.label, labels)} Name it as there, or leave its texts out."
            )


def _field(where: str, record: Record, name: str) -> str:
    if name not in record:
        raise CorpusError(
            f"{where} has no column {name!r}.{did_you_mean(name, record)} It has: {', '.join(record)}; name the column "
            "of the texts with --column and that of labels with --label."
        )
    value = record[name]
    text = value.strip() if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
    if not text:
        raise CorpusError(f"{where} has no text in the column {name!r} ({value!r}); fill it, or leave the record out.")
    return text
