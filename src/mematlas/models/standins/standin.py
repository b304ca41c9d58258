"""What the stand-ins share: a session that just remembers its tokens, and states computed from the whole history.

A stand-in is a real member of the protocol, so the engine that scores it is the engine that scores a Pythia.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard
from mematlas.types import Encoder, Ids


class HistorySession:
    """Keeps every token fed; `states_of(history [rows, t], k)` gives the states [rows, k, width] of the last k."""

    def __init__(self, rows: int, states_of: Callable[[Tensor, int], Tensor]) -> None:
        self.history = torch.empty((rows, 0), dtype=torch.int64)
        self._states_of = states_of

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        self.history = torch.cat([self.history, tokens], dim=1)
        self.kept = self._states_of(self.history, last or tokens.shape[1])
        return self.kept

    def fork(self, rows: Tensor, length: int) -> "HistorySession":
        session = HistorySession(len(rows), self._states_of)
        session.history = self.history[rows, :length].clone()
        return session

    def rewind(self, length: int) -> None:
        self.history = self.history[:, :length]


class StandIn:
    """A model that needs no weights. Subclasses give `states_of` and `head`."""

    device = torch.device("cpu")
    dtype = torch.float32
    layers = 0
    vocabulary: int

    def release(self) -> None:
        """Nothing is kept."""

    def keep(self, layer: int) -> None:
        """There is one layer only."""

    def states_of(self, history: Tensor, last: int) -> Tensor:
        raise NotImplementedError

    def head(self, states: Tensor) -> Tensor:
        raise NotImplementedError

    def start(self, rows: int, capacity: int) -> HistorySession:
        return HistorySession(rows, self.states_of)


class StandInSource:
    """A stand-in as `MODELS` gives it: already in memory, without a tokenizer; its states are one number wide."""

    def __init__(self, card: ModelCard, model: Model) -> None:
        self.card = replace(card, width=1)
        self._model = model

    def encoder(self) -> Encoder | None:
        return None

    def load(self, options: LoadOptions) -> Model:
        return self._model


def one_hot_logits(tokens: Tensor, vocabulary: int, confidence: float = 50.0) -> Tensor:
    """Logits [n, vocabulary] that are `confidence` at each row's token and 0 elsewhere."""
    logits = torch.zeros((len(tokens), vocabulary))
    logits.scatter_(1, tokens[:, None], confidence)
    return logits


def read_rows(path: str, kind: str) -> Ids:
    """The 2-D integer array in the .npy file at `path`."""
    if not Path(path).is_file():
        raise ModelError(f"The {kind} stand-in found no file {path!r}; give it a 2-D .npy array of token ids.")
    rows = np.load(path, allow_pickle=False)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or not rows.size:
        raise ModelError(
            f"{path!r} holds an array of shape {rows.shape} and type {rows.dtype}; the {kind} stand-in needs a "
            "2-D integer array, one row of token ids a line."
        )
    return rows.astype(np.int64)


def rows_fingerprint(kind: str, rows: Ids, *options: int) -> str:
    """Fingerprint of a stand-in built from `rows` and some numbers."""
    digest = hashlib.blake2b(f"{kind}:{rows.shape}:{options}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()


def split_spec(rest: str, kind: str, default: int) -> tuple[str, int]:
    """`PATH[:NUMBER]` -> (path, number)."""
    path, colon, number = rest.rpartition(":")
    if not colon or not number.isdigit():
        path, number = rest, str(default)
    if not path:
        raise ModelError(f"The {kind} stand-in needs a file: {kind}:ROWS.npy")
    return path, int(number)
