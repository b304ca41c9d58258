"""A model behind an API as scoring asks it: token ids in, greedy ids or log-probabilities of the prompt out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from mematlas.errors import ModelError
from mematlas.models.base import Continuations
from mematlas.models.endpoints.capabilities import Capabilities
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.tokens import (
    PromptLogProbabilities,
    Unreadable,
    echo_request,
    generated_tokens,
    greedy_request,
    prompt_log_probabilities,
)
from mematlas.types import EosPolicy

#: What a score needs -> the field of Capabilities, and what it is in words.
_NEEDED: Final = {
    "accepts_ids": "prompts of token ids",
    "returns_ids": "ids of generated tokens",
    "prompt_log_probabilities": "log-probabilities of the prompt",
}


class EndpointModel:
    """A model behind an API, whose capabilities are known. stops: whether its end-of-text token ends a text."""

    def __init__(self, endpoint: Endpoint, found: Capabilities, policy: EosPolicy) -> None:
        self._endpoint, self._found, self._stops = endpoint, found, policy == "stop"
        self._label = endpoint.address.label

    def generate(self, prompts: list[list[int]], length: int) -> Continuations:
        """Generate up to `length` greedy tokens after each prompt.

        Raises:
            ModelError: an answer ends early, though the end-of-text token is an ordinary one.
            EndpointFault, BudgetReached: see `Endpoint.complete`.
        """
        check = _readable(partial(generated_tokens, length=length))
        requests = [
            replace(greedy_request(prompt, length, self._found.dialect, self._stops), check=check) for prompt in prompts
        ]
        tokens = np.full((len(prompts), length), -1, dtype=np.int64)
        margins = np.full((len(prompts), length), np.inf, dtype=np.float32)
        for row, answer in enumerate(self._endpoint.ask(requests)):
            generated = generated_tokens(answer, length)
            count = len(generated.ids)
            if generated.ended and not self._stops:
                raise ModelError(
                    f"{self._label} ended an answer after {count} of {length} tokens, at its end-of-text token; score "
                    "it with --eos stop, or let the server ignore that token (ignore_eos)."
                )
            tokens[row, :count], margins[row, :count] = generated.ids, generated.margin
        return Continuations(tokens, margins)

    def read(self, sequences: Sequence[list[int]]) -> list[PromptLogProbabilities]:
        """The log-probability of each token of each sequence after those before it.

        Raises:
            EndpointFault, BudgetReached: see `Endpoint.complete`.
        """
        extra = self._found.echo_tokens
        requests = [
            replace(
                echo_request(sequence, self._found.dialect),
                check=_readable(partial(prompt_log_probabilities, count=len(sequence), extra=extra)),
            )
            for sequence in sequences
        ]
        answers = self._endpoint.ask(requests)
        return [
            prompt_log_probabilities(answer, len(sequence), extra)
            for answer, sequence in zip(answers, sequences, strict=True)
        ]


def _readable(read: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], str | None]:
    """A check of answers: what `read` finds wrong with one, None if nothing."""

    def check(answer: dict[str, Any]) -> str | None:
        try:
            read(answer)
        except Unreadable as error:
            return f"an answer in which {error}"
        return None

    return check


def require(found: Capabilities, name: str, what: str, remedy: str) -> None:
    """Refuse what an API cannot give.

    Args:
        name: the field of `Capabilities` that is needed; what: for what, the subject of the message.

    Raises:
        ModelError: it is not there; the message says why.
    """
    if not getattr(found, name):
        reason = found.reasons.get(name, "it was not found out").rstrip(".")
        raise ModelError(f"{what} needs {_NEEDED[name]}, which {found.url} does not give ({reason}); {remedy}.")
