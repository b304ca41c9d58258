"""A session of a model whose rotary frequencies depend on the number of tokens that a forward pass reads."""

from typing import Protocol

import torch
from torch import Tensor

from mematlas.models.rope import LengthDependence


class Recomputing(Protocol):
    """What the session needs of a loaded model."""

    def states(self, tokens: Tensor, cache: None, last: int) -> tuple[Tensor, Tensor]:
        """The head's input and the kept states, each [rows, last, width], of the last of `tokens` [rows, k]."""
        ...

    def reset_frequencies(self) -> None:
        """Make the rotary frequencies the original ones, which longer passes before have changed."""
        ...


class PrefixSession:
    """Rows whose states each come from a pass over exactly the tokens up to it, without a cache.

    Keys in a cache keep the frequencies of the length at which they were computed, and a pass over a whole row uses
    those of its end; both would make a prediction depend on how the row was fed. Slower: one pass for every token.
    """

    def __init__(self, model: Recomputing, dependence: LengthDependence, history: Tensor) -> None:
        self._model, self._dependence, self._history = model, dependence, history

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        self._history = torch.cat([self._history, tokens.to(self._history.device)], dim=1)
        end = self._history.shape[1]
        parts = [
            self._pass(length, count) for length, count in self._dependence.passes(end - (last or tokens.shape[1]), end)
        ]
        states, self.kept = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return states

    def _pass(self, length: int, count: int) -> tuple[Tensor, Tensor]:
        """The last `count` states of a pass over the first `length` tokens."""
        self._model.reset_frequencies()
        return self._model.states(self._history[:, :length], None, count)

    def fork(self, rows: Tensor, length: int) -> "PrefixSession":
        return PrefixSession(self._model, self._dependence, self._history[rows.to(self._history.device), :length])

    def rewind(self, length: int) -> None:
        self._history = self._history[:, :length]
