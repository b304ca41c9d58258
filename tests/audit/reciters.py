"""Texts of random words, and stand-ins with a tokenizer of whole words that recite parts of them."""

import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mematlas.models.base import Model, ModelCard
from mematlas.models.standins.parrot import Parrot
from mematlas.models.standins.standin import StandIn, StandInSource, one_hot_logits
from mematlas.types import Encoder

VOCABULARY = 400
_LENGTHS = (1, 3, 5, 8)  # of words, so that characters and tokens are not proportional


def word(number: int) -> str:
    """The word of a token id."""
    return f"w{number:03d}" + "x" * _LENGTHS[number % 4]


def words(count: int, seed: int) -> list[str]:
    """Random words; no text of another seed has the same ones in a row."""
    return [word(number) for number in np.random.default_rng(seed).integers(0, VOCABULARY - 1, count).tolist()]


def encode(text: str) -> list[int]:
    """The id of each word; others than numbers have the last id."""
    return [int(found[1:4]) if re.match(r"w\d{3}x", found) else VOCABULARY - 1 for found in text.split()]


def _locate(text: str) -> tuple[list[int], list[int]]:
    return encode(text), [match.end() for match in re.finditer(r"\S+", text)]


ENCODER = Encoder(
    "words",
    "words",
    VOCABULARY,
    lambda texts: [encode(text) for text in texts],
    lambda ids: [" " + word(number) for number in ids],
    lambda windows: [" " + " ".join(map(word, window)) for window in windows],
    locate=_locate,
)


class QuickReciter(StandIn):
    """Recites texts by the last four tokens alone; a parrot looks for its whole history, which takes its time."""

    def __init__(self, *texts: Sequence[int]) -> None:
        self.vocabulary = VOCABULARY
        windows = np.concatenate([np.lib.stride_tricks.sliding_window_view(np.array(text), 5) for text in texts])
        self._keys, first = np.unique(_keys(windows[:, :4]), return_index=True)
        self._next = windows[first, 4]

    def states_of(self, history: Tensor, last: int) -> Tensor:
        tokens = np.concatenate([np.zeros((len(history), 3), np.int64), history.numpy()], axis=1)
        keys = _keys(np.lib.stride_tricks.sliding_window_view(tokens, 4, axis=1))[:, -last:]
        found = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return torch.from_numpy(np.where(self._keys[found] == keys, self._next[found], VOCABULARY - 1))[:, :, None]

    def head(self, states: Tensor) -> Tensor:
        return one_hot_logits(states[:, 0], VOCABULARY)


def _keys(windows: NDArray[np.int64]) -> NDArray[np.int64]:
    return windows @ np.array([VOCABULARY**3, VOCABULARY**2, VOCABULARY, 1])


class WordSource(StandInSource):
    """A stand-in with a tokenizer of words."""

    def encoder(self) -> Encoder | None:
        return ENCODER


def source(label: str, model: Model, max_length: int | None = None) -> WordSource:
    """The source of a loaded model."""
    card = ModelCard(label, label, label, VOCABULARY, tokenizer="words", max_length=max_length)
    return WordSource(card, model)


def reciter(label: str, *texts: str, max_length: int | None = None) -> WordSource:
    """A model that recites these texts, of equal length in words."""
    rows = np.array([encode(text) for text in texts])
    return source(label, Parrot(rows, VOCABULARY), max_length)


def quick_reciter(label: str, *texts: str) -> WordSource:
    """A model that recites these texts after any four of their words."""
    return source(label, QuickReciter(*map(encode, texts)))
