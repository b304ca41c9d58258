"""Models that recite given rows from given starts on, by name, and the rows that they are asked about."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mematlas.models.base import ModelCard
from mematlas.models.resolve import find_model
from mematlas.models.standins.standin import StandIn, StandInSource

V, COMMON = 60, 10  # ids; those of text that nobody was trained on
ROWS, WIDTH, CONTEXT, CONTINUATION = 12, 48, 16, 16
_SEEN = 3  # tokens by which a row and a start are recognized
TESTED, KEPT = range(6), range(6, ROWS)


def trained_rows() -> NDArray[np.int64]:
    """Rows of tokens that are not common, so that nobody recites them by chance."""
    return np.random.default_rng(0).integers(COMMON, V, (ROWS, WIDTH))


def unseen_rows(count: int = 30) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, COMMON, (count, WIDTH))


class Reciter(StandIn):
    """Recites rows where its history begins at one of `starts`; after any other history all common tokens are equal."""

    def __init__(self, rows: NDArray[np.int64], starts: range) -> None:
        self.vocabulary = V
        self._known = {tuple(row[start : start + _SEEN]): row[start:] for row in rows.tolist() for start in starts}

    def states_of(self, history: Tensor, last: int) -> Tensor:
        return torch.tensor([self._answers(row)[-last:] for row in history.tolist()])[:, :, None]

    def _answers(self, history: list[int]) -> list[int]:
        """The token after each position; -1 where it does not know it."""
        own = self._known.get(tuple(history[:_SEEN]), [])
        known = 0
        while known < min(len(own) - 1, len(history)) and own[known] == history[known]:
            known += 1
        return [own[end] if _SEEN <= end <= known else -1 for end in range(1, len(history) + 1)]

    def head(self, states: Tensor) -> Tensor:
        tokens = states[:, 0].long()
        logits = torch.zeros((len(tokens), V))
        logits[:, :COMMON] = 20.0
        known = tokens >= 0
        logits[known, tokens[known]] = 50.0
        return logits


def source(name: str, loads: list[str] | None = None) -> StandInSource:
    """The model that a name means; loads: gets the names of those that are loaded."""
    rows = trained_rows()
    models = {
        "all": (rows, range(40)),
        "start-0": (rows, range(1)),
        "from-8": (rows, range(8, 40)),
        "kept-only": (rows[list(KEPT)], range(40)),
        "row-0": (rows[:1], range(40)),
        "nothing": (rows[:0], range(40)),
    }
    if name not in models:
        return find_model(name)
    made = StandInSource(ModelCard(name, name, f"stub-{name}", V), Reciter(*models[name]))
    load = made.load

    def noted(options):
        if loads is not None:
            loads.append(name)
        return load(options)

    made.load = noted
    return made
