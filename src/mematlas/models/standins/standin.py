"""The base of the stand-ins: a session that stores its tokens, and states computed from the whole history.

A stand-in implements the same protocol as other models, so it is scored by the same engine.
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
    """Stores every token; `states_of(history [rows, t], k)` returns the states [rows, k, width] of the last k."""

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
    """A model without weights. Subclasses implement `states_of` and `head`."""

    device = torch.device("cpu")
    dtype = torch.float32
    layers = 0
    vocabulary: int

    def release(self) -> None:
        """Sessions share no memory."""

    def keep(self, layer: int) -> None:
        """Does nothing: there is only one layer."""

    def states_of(self, history: Tensor, last: int) -> Tensor:
        """States [rows, last, width] of the last tokens of `history` [rows, t]."""
        raise NotImplementedError

    def head(self, states: Tensor) -> Tensor:
        raise NotImplementedError

    def start(self, rows: int, capacity: int) -> HistorySession:
        return HistorySession(rows, self.states_of)


class StandInSource:
    """The source of a stand-in: already in memory, without a tokenizer; its states have one number."""

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
    """The 2-D integer array in the .npy file `path`.

    Raises:
        ModelError: there is no such file, or it contains something else.
    """
    if not Path(path).is_file():
        raise ModelError(f"There is no file {path!r} for the {kind} stand-in; give it a 2-D .npy array of token ids.")
    rows = np.load(path, allow_pickle=False)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or not rows.size:
        raise ModelError(
            f"{path!r} contains an array of shape {rows.shape} and type {rows.dtype}; the {kind} stand-in needs a "
            "2-D integer array with one row of token ids per row."
        )
    return rows.astype(np.int64)


def rows_fingerprint(kind: str, rows: Ids, *options: int) -> str:
    """The fingerprint of a stand-in built from `rows` and numeric options."""
    digest = hashlib.blake2b(f"{kind}:{rows.shape}:{options}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()


def split_path_and_number(rest: str, kind: str, default: int) -> tuple[str, int]:
    """`PATH[:NUMBER]` -> (path, number)."""
    path, colon, number = rest.rpartition(":")
    if not colon or not number.isdigit():
        path, number = rest, str(default)
    if not path:
        raise ModelError(f"The {kind} stand-in needs a file: {kind}:ROWS.npy")
    return path, int(number)
