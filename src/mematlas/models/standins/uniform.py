"""A model with equal logits for all tokens: its entropy is log V, and its greedy choice is always token 0."""

from typing import Final

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import ModelCard
from mematlas.models.standins.standin import StandIn, StandInSource

_LARGEST: Final = 10**7  # our choice: more ids than any tokenizer has


class Uniform(StandIn):
    """A model for which all of `vocabulary` tokens are equally likely after any history."""

    def __init__(self, vocabulary: int) -> None:
        if vocabulary < 2:
            raise ValueError(f"vocabulary must be at least 2, not {vocabulary}")
        self.vocabulary = vocabulary

    def states_of(self, history: Tensor, last: int) -> Tensor:
        return torch.zeros((len(history), last, 1))

    def head(self, states: Tensor) -> Tensor:
        return torch.zeros((len(states), self.vocabulary))


def resolve(rest: str) -> StandInSource:
    """Resolve `uniform:VOCABULARY`."""
    if not rest.isdigit() or not 2 <= int(rest) <= _LARGEST:
        raise ModelError(
            f"uniform:{rest} states no vocabulary size; give at least 2 and at most {_LARGEST:,}, such as uniform:50304"
        )
    card = ModelCard(f"uniform-{rest}", f"uniform:{rest}", f"uniform-{rest}", int(rest), parameters=0)
    return StandInSource(card, Uniform(int(rest)))
