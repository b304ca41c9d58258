"""The model that counts: next-token frequencies after the longest known history of at most n - 1 tokens.

Back-off without discounting: the longest suffix of the history that was seen decides alone (as the infinity-gram of P4,
capped at n). Its probabilities are exact ratios of counts, so scores and signals are known by hand.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import ModelCard
from mematlas.models.standins.standin import StandIn, StandInSource, read_rows, rows_fingerprint, split_spec
from mematlas.types import Ids

Counts = Mapping[tuple[int, ...], Mapping[int, int]]


class NGram(StandIn):
    """Backed by `counts`: history (up to n - 1 token ids) -> next token id -> how often."""

    def __init__(self, counts: Counts, vocabulary: int) -> None:
        if not counts:
            raise ValueError("an n-gram model needs at least one count")
        self.vocabulary = vocabulary
        self._longest = max(len(history) for history in counts)
        self._log_probability = {history: self._logs(after) for history, after in counts.items()}
        self._log_probability.setdefault((), torch.zeros(vocabulary))
        self._names = list(self._log_probability)
        self._number = {history: number for number, history in enumerate(self._names)}

    @classmethod
    def fit(cls, rows: Ids, n: int, vocabulary: int) -> "NGram":
        """Count all n-grams up to order `n` inside each row of `rows` [count, width]."""
        counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for row in rows.tolist():
            for position, token in enumerate(row):
                for length in range(min(n - 1, position) + 1):
                    counts[tuple(row[position - length : position])][token] += 1
        return cls(counts, vocabulary)

    def _logs(self, after: Mapping[int, int]) -> Tensor:
        counts = torch.zeros(self.vocabulary, dtype=torch.float64)
        for token, count in after.items():
            counts[token] = count
        # -80 stands for "never seen": exp(-80) vanishes in float32 sums, and every logit stays finite
        return torch.where(counts > 0, (counts / counts.sum()).log(), torch.tensor(-80.0, dtype=torch.float64)).float()

    def _state(self, history: tuple[int, ...]) -> int:
        for length in range(min(self._longest, len(history)), 0, -1):
            number = self._number.get(history[-length:])
            if number is not None:
                return number
        return self._number[()]

    def states_of(self, history: Tensor, last: int) -> Tensor:
        rows = history.tolist()
        first = history.shape[1] - last + 1
        states = [
            [self._state(tuple(row[max(0, end - self._longest) : end])) for end in range(first, first + last)]
            for row in rows
        ]
        return torch.tensor(states, dtype=torch.int64).reshape(len(rows), last, 1)

    def head(self, states: Tensor) -> Tensor:
        return torch.stack([self._log_probability[self._names[number]] for number in states[:, 0].tolist()])


def resolve(rest: str) -> StandInSource:
    """`ngram:ROWS.npy[:N]`, N = 3 by default."""
    path, order = split_spec(rest, "ngram", 3)
    if order < 1:
        raise ModelError(f"ngram:{rest} asks for {order}-grams; the order is at least 1.")
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
