"""Token ids and log-probabilities in requests to an API, and in its answers.

Servers give the ids of generated tokens in three ways: as `token_ids` (vLLM), as texts "token_id:42" (vLLM), or as `id`
beside each token's log-probability (llama.cpp). An answer without ids is text, which need not have been these tokens.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.models.endpoints.requests import Request, first_choice

#: Number of most probable tokens that are asked for: the first, and the second for the margin.
TOP: Final = 2
#: Log-probabilities that differ by less are one number, rounded (nats).
_ROUNDING: Final = 1e-6
#: Fields that some servers know and others refuse: they make ids come back, and the end-of-text token an ordinary one.
EXTENSIONS: Final = {"return_token_ids": True, "return_tokens_as_token_ids": True}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server wants to be asked, found out by `capabilities`.

    extensions: it accepts EXTENSIONS; echo_tokens: how many tokens at least it generates beside an echo, 0 or 1.
    """

    extensions: bool = True
    echo_tokens: int = 0


@dataclass(frozen=True, slots=True)
class PromptLogProbabilities:
    """What a server says of n given tokens, each after those before it; nothing of the first: NaN, False.

    log_probability: [n] float64, nats; hit: [n], whether the token is the most probable one; margin: [n], largest minus
    second largest log-probability, infinite where the server gives only one.
    """

    log_probability: NDArray[np.float64]
    hit: NDArray[np.bool_]
    margin: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated tokens. ids: their ids; margin: [tokens], as in PromptLogProbabilities; ended: before its length."""

    ids: list[int]
    margin: NDArray[np.float64]
    ended: bool


class Unreadable(ValueError):
    """An answer does not say what it was asked for; the text says what is wrong."""


def greedy_request(prompt: Sequence[int], length: int, dialect: Dialect, ends: bool, sample: int = 0) -> Request:
    """The request for the greedy continuation of token ids. ends: whether the end-of-text token ends it."""
    body: dict[str, Any] = {
        **{"prompt": list(prompt), "max_tokens": length, "temperature": 0, "logprobs": TOP, "stream": False},
        **(EXTENSIONS if dialect.extensions else {}),
        **({"ignore_eos": True} if dialect.extensions and not ends else {}),
    }
    return Request("/completions", body, sample)


def echo_request(ids: Sequence[int], dialect: Dialect, top: int = TOP) -> Request:
    """The request for the log-probabilities of given token ids."""
    body: dict[str, Any] = {
        **{"prompt": list(ids), "max_tokens": dialect.echo_tokens, "temperature": 0, "echo": True, "logprobs": top},
        **({"return_tokens_as_token_ids": True} if dialect.extensions else {}),
        "stream": False,
    }
    return Request("/completions", body)


def prompt_log_probabilities(answer: dict[str, Any], count: int, extra: int = 0) -> PromptLogProbabilities:
    """The log-probabilities of `count` given tokens in an answer with up to `extra` generated ones.

    Raises:
        Unreadable: there are none, too few, or some that are no log-probabilities.
    """
    stated = _log_probabilities(answer)
    values = stated.get("token_logprobs")
    if not isinstance(values, list) or not values:
        raise Unreadable("no log-probabilities of the prompt came back")
    if not count <= len(values) <= count + extra:
        raise Unreadable(f"{len(values)} log-probabilities came back for a prompt of {count} tokens")
    logs = np.array([_number(value) for value in values[:count]])
    if np.isnan(logs[1:]).any() or (logs[1:] > _ROUNDING).any():
        raise Unreadable("log-probabilities of the prompt are missing, or larger than 0")
    alternatives = stated.get("top_logprobs")
    if not isinstance(alternatives, list) or len(alternatives) < count:
        raise Unreadable("the most probable tokens did not come back beside those of the prompt")
    hit, margin = np.zeros(count, bool), np.full(count, np.inf)
    for position in range(1, count):
        hit[position], margin[position] = _decision(alternatives[position], float(logs[position]))
    logs[0] = np.nan
    return PromptLogProbabilities(logs, hit, margin)


def _decision(alternatives: Any, given: float) -> tuple[bool, float]:
    """Whether a token of this log-probability is the most probable one, and the distance of the two largest."""
    named = _by_name(alternatives)
    if not named:
        raise Unreadable("the most probable tokens did not come back beside those of the prompt")
    if len(named) < TOP and not all(_id_of(name) is not None for name in named):
        # two tokens of one text overwrite each other: the given one might stand where a more probable one did
        raise Unreadable("fewer of the most probable tokens came back than were asked for")
    largest = sorted(named.values(), reverse=True)
    margin = largest[0] - largest[1] if len(largest) > 1 else math.inf
    return given >= largest[0] - _ROUNDING, margin


def generated_tokens(answer: dict[str, Any], length: int) -> Generated:
    """The ids of up to `length` generated tokens.

    Raises:
        Unreadable: the answer has no ids, or too many.
    """
    choice = first_choice(answer) or {}
    stated = _log_probabilities(answer)
    entries = stated.get("content")
    names = stated.get("tokens")
    if isinstance(choice.get("token_ids"), list):
        found: list[int | None] = [_integer(value) for value in choice["token_ids"]]
    elif isinstance(entries, list) and entries:
        found = [_integer(entry.get("id")) if isinstance(entry, dict) else None for entry in entries]
    elif isinstance(names, list) and names:
        found = [_id_of(str(name)) for name in names]
    else:
        found = [None]
    ids = [value for value in found if value is not None]
    if len(ids) < len(found):
        raise Unreadable("the ids of generated tokens did not come back, only their text")
    if len(ids) > length:
        raise Unreadable(f"{len(ids)} tokens came back instead of {length}")
    if isinstance(entries, list):
        alternatives = [entry.get("top_logprobs") if isinstance(entry, dict) else None for entry in entries]
    else:
        alternatives = stated.get("top_logprobs") or []
    margin = np.full(len(ids), np.inf)
    for position, options in enumerate(alternatives[: len(ids)]):
        largest = sorted(_by_name(options).values(), reverse=True)
        margin[position] = largest[0] - largest[1] if len(largest) > 1 else np.inf
    return Generated(ids, margin, len(ids) < length)


def _log_probabilities(answer: dict[str, Any]) -> dict[str, Any]:
    choice = first_choice(answer) or {}
    stated = choice.get("logprobs")
    return stated if isinstance(stated, dict) else {}


def _by_name(alternatives: Any) -> dict[str, float]:
    """The log-probability of each alternative, from either of the two layouts."""
    if isinstance(alternatives, dict):
        return {str(name): value for name, stated in alternatives.items() if not math.isnan(value := _number(stated))}
    if isinstance(alternatives, list):
        return {
            str(entry.get("id", number)): value
            for number, entry in enumerate(alternatives)
            if isinstance(entry, dict) and not math.isnan(value := _number(entry.get("logprob")))
        }
    return {}


def _id_of(name: str) -> int | None:
    """The id in "token_id:42"; None in any other text."""
    match = re.fullmatch(r"token_id:(\d+)", name)
    return None if match is None else int(match[1])


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float:
    """A number, NaN for anything else; minus infinity is a log-probability, too."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
