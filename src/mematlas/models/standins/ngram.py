"""An n-gram model: next-token frequencies after the longest known history of at most n - 1 tokens.

It backs off without discounting: only the longest suffix of the history that was seen counts (as in the infinity-gram
of P4, capped at n). Its probabilities are exact ratios of counts, so scores and signals can be computed by hand.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import ModelCard
from mematlas.models.standins.standin import StandIn, StandInSource, read_rows, rows_fingerprint, split_path_and_number
from mematlas.types import Ids

Counts = Mapping[tuple[int, ...], Mapping[int, int]]


class NGram(StandIn):
    """An n-gram model with these `counts`: history (up to n - 1 token ids) -> next token id -> frequency."""

    def __init__(self, counts: Counts, vocabulary: int) -> None:
        if not counts:
            raise ValueError("an n-gram model needs at least one count")
        self.vocabulary = vocabulary
        self._longest = max(len(history) for history in counts)
        self._log_probability = {history: self._logits(frequencies) for history, frequencies in counts.items()}
        self._log_probability.setdefault((), torch.zeros(vocabulary))
        self._histories = list(self._log_probability)
        self._index = {history: index for index, history in enumerate(self._histories)}

    @classmethod
    def fit(cls, rows: Ids, n: int, vocabulary: int) -> "NGram":
        """Count all n-grams up to order `n` inside each row of `rows` [count, width]."""
        counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for row in rows.tolist():
            for position, token in enumerate(row):
                for length in range(min(n - 1, position) + 1):
                    counts[tuple(row[position - length : position])][token] += 1
        return cls(counts, vocabulary)

    def _logits(self, frequencies: Mapping[int, int]) -> Tensor:
        """Log-probabilities of all token ids, which serve as logits."""
        counts = torch.zeros(self.vocabulary, dtype=torch.float64)
        for token, count in frequencies.items():
            counts[token] = count
        # -80 means "never seen": exp(-80) vanishes in float32 sums, and every logit stays finite
        return torch.where(counts > 0, (counts / counts.sum()).log(), torch.tensor(-80.0, dtype=torch.float64)).float()

    def _state(self, history: tuple[int, ...]) -> int:
        for length in range(min(self._longest, len(history)), 0, -1):
            index = self._index.get(history[-length:])
            if index is not None:
                return index
        return self._index[()]

    def states_of(self, history: Tensor, last: int) -> Tensor:
        rows = history.tolist()
        first = history.shape[1] - last + 1
        states = [
            [self._state(tuple(row[max(0, end - self._longest) : end])) for end in range(first, first + last)]
            for row in rows
        ]
        return torch.tensor(states, dtype=torch.int64).reshape(len(rows), last, 1)

    def head(self, states: Tensor) -> Tensor:
        return torch.stack([self._log_probability[self._histories[index]] for index in states[:, 0].tolist()])


def resolve(rest: str) -> StandInSource:
    """Resolve `ngram:ROWS.npy[:N]`, by default with N = 3."""
    path, order = split_path_and_number(rest, "ngram", 3)
    if order < 1:
        raise ModelError(f"ngram:{rest} names the order {order}; give an order of at least 1.")
    rows = read_rows(path, "ngram")
    vocabulary = int(rows.max()) + 1
    card = ModelCard(
        f"{order}-gram",
        f"ngram:{rest}",
        rows_fingerprint("ngram", rows, order),
        max(2, vocabulary),
        parameters=rows.size,
    )
    return StandInSource(card, NGram.fit(rows, order, max(2, vocabulary)))
