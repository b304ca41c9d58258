"""A model that recites given rows, for tests with known results (P1 f.1).

It looks for its whole history inside one of its rows, at any starting point, and predicts the token that follows it
there. If the history is unknown, or beyond the first `first` tokens of the row, it predicts `other`.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import ModelCard
from mematlas.models.standins.standin import (
    StandIn,
    StandInSource,
    one_hot_logits,
    read_rows,
    rows_fingerprint,
    split_path_and_number,
)
from mematlas.types import Ids

HashArray = NDArray[np.uint64]
_BASE = np.uint64(0x9E3779B97F4A7C15)


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(int(_BASE), exponent, 2**64))


def _prefix_hashes(rows: Ids) -> HashArray:
    """Polynomial hashes modulo 2^64 of every prefix of every row: [n, width + 1]."""
    hashes = np.zeros((rows.shape[0], rows.shape[1] + 1), dtype=np.uint64)
    for column in range(rows.shape[1]):
        hashes[:, column + 1] = hashes[:, column] * _BASE + rows[:, column].astype(np.uint64) + np.uint64(1)
    return hashes


class Parrot(StandIn):
    """Recites `rows` [n, width], or only the first `first` tokens of each.

    Args:
        vocabulary: number of token ids.
        first: number of tokens of each row that it recites, all by default.
        other: the token that it predicts after an unknown history, by default the last id.
    """

    def __init__(self, rows: Ids, vocabulary: int, *, first: int | None = None, other: int | None = None) -> None:
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= vocabulary):
            raise ValueError(f"token ids run from {rows.min()} to {rows.max()}, outside a vocabulary of {vocabulary}")
        self.vocabulary = vocabulary
        self._rows = rows[:, :first]
        self._other = vocabulary - 1 if other is None else other
        self._prefix = _prefix_hashes(self._rows)
        self._lookup: dict[int, tuple[HashArray, Ids, Ids]] = {}

    def _windows(self, length: int) -> tuple[HashArray, Ids, Ids]:
        """Sorted hashes of the windows of `length` tokens with a next token; start and row of the first occurrence."""
        if length not in self._lookup:
            starts = self._rows.shape[1] - length
            power = _power(length)
            hashes = self._prefix[:, length : length + starts] - self._prefix[:, :starts] * power
            unique, first = np.unique(hashes.T.ravel(), return_index=True)
            self._lookup[length] = (unique, first // len(self._rows), first % len(self._rows))
        return self._lookup[length]

    def _next(self, history: Ids) -> Ids:
        """The token after the first occurrence of each history [rows, t], else `other`: [rows]."""
        predicted = np.full(len(history), self._other, dtype=np.int64)
        length = history.shape[1]
        if length >= self._rows.shape[1] or not len(self._rows):
            return predicted
        unique, starts, rows = self._windows(length)
        candidate = np.searchsorted(unique, _prefix_hashes(history)[:, -1]).clip(max=len(unique) - 1)
        positions = starts[candidate][:, None] + np.arange(length + 1)
        windows = self._rows[rows[candidate][:, None], positions]
        same = (windows[:, :length] == history).all(axis=1)
        predicted[same] = windows[same, length]
        return predicted

    def states_of(self, history: Tensor, last: int) -> Tensor:
        tokens = history.numpy()
        steps = [self._next(tokens[:, :end]) for end in range(history.shape[1] - last + 1, history.shape[1] + 1)]
        return torch.from_numpy(np.stack(steps, axis=1))[:, :, None]

    def head(self, states: Tensor) -> Tensor:
        return one_hot_logits(states[:, 0].long(), self.vocabulary)


def resolve(rest: str) -> StandInSource:
    """Resolve `parrot:ROWS.npy[:FIRST]`; the vocabulary is the largest id plus two, so that no row contains `other`."""
    path, first = split_path_and_number(rest, "parrot", 0)
    rows = read_rows(path, "parrot")
    if rows.min() < 0:
        raise ModelError(f"{path!r} contains the token id {rows.min()}; ids must not be negative.")
    vocabulary = int(rows.max()) + 2
    card = ModelCard(
        "parrot" if not first else f"parrot-{first}",
        f"parrot:{rest}",
        rows_fingerprint("parrot", rows, first),
        vocabulary,
        parameters=rows.size,
    )
    return StandInSource(card, Parrot(rows, vocabulary, first=first or None))
