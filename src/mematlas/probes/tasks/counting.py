"""What the corpus says of task-grams: documents with both n-grams, with each, and the infinity-gram of outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np

from mematlas.index.backoff import backoff_counts
from mematlas.index.cooccurrence import shared_documents
from mematlas.index.lookup import OpenedIndex
from mematlas.probes.items.words import WordIndex
from mematlas.probes.tasks.examples import Example
from mematlas.probes.tasks.mining import TaskGram
from mematlas.probes.tasks.ngrams import Gram, word_count, word_ngrams
from mematlas.probes.tasks.token_spans import encode_located, tokens_of
from mematlas.types import Encoder, Ids

#: Words of n-grams that show that a text of the task is in the corpus (P4; GPT-3 and Llama-2 used 13 and 8).
OVERLAPS: Final = (8, 14)


@dataclass(frozen=True, slots=True, eq=False)
class Occurrences:
    """Of an n-gram in any of its forms. documents: ascending, distinct; count: occurrences."""

    documents: Ids
    count: int


class TaskIndex:
    """An index of tokens that is asked for n-grams of words.

    Args:
        encoder: the tokenizer of the index.
    """

    def __init__(self, opened: OpenedIndex, encoder: Encoder) -> None:
        self._engine, self._encoder = opened.engine, encoder
        self._words = WordIndex(opened, encoder)

    def find(self, gram: Gram) -> Occurrences:
        """Where an n-gram stands as whole words, in any of its forms; two forms at one place are one occurrence."""
        found = [self._words.find(form) for form in gram.forms]
        positions = reduce(np.union1d, (each.positions for each in found))
        documents = reduce(np.union1d, (each.documents for each in found))
        return Occurrences(documents.astype(np.int64), len(positions))

    def pairs(self, mined: Sequence[tuple[str, TaskGram]]) -> list[dict[str, Any]]:
        """The records of pairs (id of the example, pair), as `tables.PAIRS`; what was found is forgotten then."""
        grams = list(dict.fromkeys(gram for _, pair in mined for gram in (pair.first, pair.second)))
        numbers = {gram: number for number, gram in enumerate(grams)}
        found = [self.find(gram) for gram in grams]
        places = [(numbers[pair.first], numbers[pair.second]) for _, pair in mined]
        both = shared_documents([each.documents for each in found], np.array(places, np.int64).reshape(-1, 2))
        self._words.forget()
        return [
            {
                "example": example,
                "n": pair.n,
                "sx": pair.first.text,
                "sy": pair.second.text,
                "similarity": pair.similarity,
                "count_pair": int(count),
                "count_x": len(found[first].documents),
                "count_y": len(found[second].documents),
                "occurrences_x": found[first].count,
                "log_p": _log_ratio(int(count), len(found[first].documents)),
                "log_p_authors": _log_ratio(int(count), found[first].count),
            }
            for (example, pair), (first, second), count in zip(mined, places, both.tolist(), strict=True)
        ]

    def overlap(self, example: Example, n: int) -> bool | None:
        """Whether n words in a row of input and output stand in the corpus; None if there are fewer words."""
        text = f"{example.item.input} {example.item.output}"
        if word_count(text) < n:
            return None
        found = any(self._words.find(form).positions.size for gram in word_ngrams(text, n) for form in gram.forms)
        self._words.forget()
        return found

    def infinity(self, example: Example, spans: Sequence[tuple[int, Gram]]) -> Iterator[dict[str, Any]]:
        """The infinity-gram's probability of spans (n, n-gram of the output), as `tables.SPANS`.

        The context of each token is the whole prompt and the output before it.
        """
        tokens, starts, ends = encode_located(self._encoder, example.text)
        first = int(np.searchsorted(ends, example.start, side="right"))
        backoff = backoff_counts(self._engine, tokens, first)
        with np.errstate(divide="ignore"):
            logs = np.log(backoff.count) - np.log(backoff.context_count)
        for n, gram in spans:
            own = tokens_of(starts, ends, example.start + gram.start, example.start + gram.end) - first
            zero = int((backoff.count[own] == 0).sum())
            known = logs[own][backoff.count[own] > 0]
            yield {
                "example": example.item.id,
                "n": n,
                "sy": gram.text,
                "position": gram.start,
                "tokens": len(own),
                "log_p_infinity": None if zero else float(known.sum()),
                "log_p_infinity_authors": float(known.sum()) if len(known) else None,
                "zero_tokens": zero,
                "suffix": float(backoff.length[own].mean()),
            }


def _log_ratio(count: int, of: int) -> float | None:
    return float(np.log(count / of)) if count else None
