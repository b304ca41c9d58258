"""The model that knows nothing: equal logits, entropy log V, and among equals the greedy choice is token 0."""

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import ModelCard
from mematlas.models.standins.standin import StandIn, StandInSource


class Uniform(StandIn):
    """Every one of `vocabulary` tokens is equally likely after any history."""

    def __init__(self, vocabulary: int) -> None:
        if vocabulary < 2:
            raise ValueError(f"vocabulary must be at least 2, not {vocabulary}")
        self.vocabulary = vocabulary

    def states_of(self, history: Tensor, last: int) -> Tensor:
        return torch.zeros((len(history), last, 1))

    def head(self, states: Tensor) -> Tensor:
        return torch.zeros((len(states), self.vocabulary))


def resolve(rest: str) -> StandInSource:
    """`uniform:VOCABULARY`."""
    if not rest.isdigit() or int(rest) < 2:
        raise ModelError(f"uniform:{rest} names no vocabulary; give its size, at least 2: uniform:50304")
    card = ModelCard(f"uniform-{rest}", f"uniform:{rest}", f"uniform-{rest}", int(rest), parameters=0)
    return StandInSource(card, Uniform(int(rest)))
