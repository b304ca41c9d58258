"""Facts as rows of tokens: the texts that are shown, and the questions whose targets are measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from mematlas.errors import CorpusError
from mematlas.experiments.data.facts import KINDS, Fact
from mematlas.experiments.training.probe_sets import Targets
from mematlas.types import Ids

#: How the facts of a group are shown; those of the last one never are.
GROUPS: Final = ("paraphrased", "duplicated", "once", "never")
NEVER: Final = GROUPS[-1]


@dataclass(frozen=True, slots=True, eq=False)
class FactRows:
    """tokens: [rows, row_length], filled up with 0 after a row's end: the first text of every fact, those of facts that
    are never shown after the others; then their other texts; then the questions.

    lengths: [rows]; groups: of every fact, and numbers: its place in its group; texts: of every fact, the rows with its
    texts; kinds: what is in each row; facts: of each row, the number of its fact; questions: rows with questions;
    starts: [questions], the first token of each target.
    """

    tokens: NDArray[np.int64]
    lengths: Ids
    groups: tuple[str, ...]
    numbers: tuple[int, ...]
    texts: tuple[Ids, ...]
    kinds: tuple[str, ...]
    facts: Ids
    questions: Ids
    starts: Ids

    @property
    def shown(self) -> int:
        """Facts that are shown, whose first texts are the first rows."""
        return sum(group != NEVER for group in self.groups)

    def cohort(self, number: int) -> tuple[Ids, Targets]:
        """The questions about the fact with this number in every group: their rows, and what of them is measured."""
        members = [fact for fact, place in enumerate(self.numbers) if place == number]
        chosen = np.flatnonzero(np.isin(self.facts[self.questions], members))
        rows = self.questions[chosen]
        names = tuple(f"facts/{self.groups[self.facts[row]]}/{self.kinds[row]}:{number}" for row in rows)
        texts = tuple(self.texts[self.facts[row]] for row in rows)
        return rows, Targets(self.starts[chosen], self.lengths[rows], names, texts)


def fact_rows(
    facts: Sequence[Fact], tokenizer: PreTrainedTokenizerBase, row_length: int, shortest: int, seed: int = 0
) -> FactRows:
    """The rows of the facts, which are divided at random into groups of equal size; facts that are left over are not
    used.

    Args:
        shortest: tokens that a text must have.

    Raises:
        CorpusError: there are fewer facts than groups, or a text or question is too short or too long.
    """
    size = len(facts) // len(GROUPS)
    if not size:
        raise CorpusError(
            f"{len(facts)} facts are too few: there are {len(GROUPS)} groups ({', '.join(GROUPS)}), and each needs one."
        )
    order = np.random.default_rng([seed, 21]).permutation(len(facts))[: size * len(GROUPS)]
    used = [facts[number] for number in order]
    groups = tuple(group for group in GROUPS for _ in range(size))
    texts = [[_encode(tokenizer, text) for text in fact.texts] for fact in used]
    asked = [
        (number, kind, _encode(tokenizer, question.prompt), _encode(tokenizer, f" {question.target}"))
        for number, fact in enumerate(used)
        for kind in KINDS
        for question in fact.questions(kind)
    ]
    rows = [(number, group, first) for number, (group, (first, *_)) in enumerate(zip(groups, texts, strict=True))]
    rows += [(n, group, text) for n, (group, own) in enumerate(zip(groups, texts, strict=True)) for text in own[1:]]
    rows += [(number, kind, [*prompt, *target]) for number, kind, prompt, target in asked]
    _check_lengths(rows, len(rows) - len(asked), shortest, row_length, order)
    numbers, kinds, ids = zip(*rows, strict=True)
    first_question = len(rows) - len(asked)
    of_facts = np.array(numbers)
    return FactRows(
        tokens=_padded(ids, row_length),
        lengths=np.array([len(row) for row in ids]),
        groups=groups,
        numbers=tuple(range(size)) * len(GROUPS),
        texts=tuple(np.flatnonzero(of_facts[:first_question] == number) for number in range(len(used))),
        kinds=kinds,
        facts=of_facts,
        questions=np.arange(first_question, len(rows)),
        starts=np.array([len(prompt) for _, _, prompt, _ in asked]),
    )


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _padded(rows: Sequence[Sequence[int]], row_length: int) -> NDArray[Any]:
    tokens = np.zeros((len(rows), row_length), dtype=np.int64)
    for row, ids in zip(count(), rows):
        tokens[row, : len(ids)] = ids
    return tokens


def _check_lengths(
    rows: Sequence[tuple[int, str, Sequence[int]]], texts: int, shortest: int, longest: int, order: Ids
) -> None:
    """Check every text and question; texts: the number of rows with texts, the first ones."""
    for row, (number, _, ids) in enumerate(rows):
        least = shortest if row < texts else 1
        if not least <= len(ids) <= longest:
            what = "text" if row < texts else "question"
            raise CorpusError(
                f"Fact {order[number] + 1} has a {what} of {len(ids)} tokens; a {what} has {least} to {longest}. "
                "Change its words, or the keys context and row_length."
            )
