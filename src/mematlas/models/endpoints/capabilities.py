"""What an API can give, found out by asking it: some accept `echo` and `logprobs` and ignore them, so that whoever
trusts them reads scores of 0 (llama.cpp #27174). Nothing is believed because a request was accepted.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mematlas.errors import StudyError
from mematlas.io.paths import write_json
from mematlas.models.endpoints.client import Endpoint, EndpointFault
from mematlas.models.endpoints.requests import Request, completion_of, text_request
from mematlas.models.endpoints.tokens import (
    Dialect,
    PromptLogProbabilities,
    Unreadable,
    echo_request,
    generated_tokens,
    greedy_request,
    prompt_log_probabilities,
)

_LENGTH: Final = 12  # tokens of a prompt that is asked about
_SHARED: Final = 6  # tokens that two prompts have in common
_NEW: Final = 4  # tokens that are generated
_REPEATS: Final = 3  # equal requests that are compared
_TOP_ASKED: Final = 5  # as many as OpenAI's interface allows
_TOLERANCE: Final = 0.25  # nats; as much as 16-bit logits were seen to depend on batches (scoring/options.py)
#: Statuses by which a server says that it does not know a request, or fails over it.
_NOT_KNOWN: Final = frozenset((400, 405, 413, 415, 422, 500, 501))
_QUESTION: Final = "The days of the week are Monday, Tuesday,"
CAPABILITIES_FILE: Final = "capabilities.json"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an API gave when it was asked. None: could not be found out. reasons: of what is False or None, why.

    accepts_ids: a prompt may be token ids; returns_ids: those of generated tokens come back; prompt_log_probabilities:
    those of given tokens come back, depend on the prompt, and agree with what is generated; top: most probable tokens
    that come back beside each, of 5 asked for; deterministic: three equal requests at temperature 0 had one answer;
    max_context: tokens, as the server says; reported: the model's name in answers; version: its `system_fingerprint`.
    """

    url: str
    model: str
    endpoint: str
    accepts_ids: bool | None = None
    returns_ids: bool | None = None
    prompt_log_probabilities: bool | None = None
    top: int | None = None
    deterministic: bool | None = None
    max_context: int | None = None
    reported: str | None = None
    version: str | None = None
    extensions: bool = False
    echo_tokens: int = 0
    asked: str = ""
    reasons: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @property
    def scores(self) -> str:
        """What `mematlas score` can do with it, in words."""
        if not self.accepts_ids:
            return "not possible, as token ids are not accepted"
        depths = {"graded": self.returns_ids, "verbatim": self.returns_ids or self.prompt_log_probabilities}
        possible = [f"--depth {depth}" for depth, holds in depths.items() if holds]
        return " and ".join(possible) or "not possible, as neither ids nor log-probabilities come back"

    @property
    def dialect(self) -> Dialect:
        """How token ids are asked about."""
        return Dialect(self.extensions, self.echo_tokens)


def find_capabilities(endpoint: Endpoint) -> Capabilities:
    """Ask an API what it gives: at most ten short requests, which count towards the budget.

    Raises:
        EndpointFault: it does not answer at all, or refuses the key or the model.
        BudgetReached: the budget does not allow it.
    """
    kind = endpoint.options.endpoint
    found = Capabilities(endpoint.address.url, endpoint.address.model, kind, asked=_now())
    found = replace(found, max_context=_max_context(endpoint))
    if kind == "chat":
        reasons = dict.fromkeys(_TOKEN_CAPABILITIES, "chats take and give text only")
        found = replace(found, accepts_ids=False, returns_ids=False, prompt_log_probabilities=False, reasons=reasons)
        return _determinism_of_text(endpoint, found)
    first, second = _prompts()
    found = _ids(endpoint, found, first)
    if not found.accepts_ids:
        reasons = found.reasons | dict.fromkeys(_TOKEN_CAPABILITIES[1:], "token ids are not accepted")
        found = replace(found, returns_ids=False, prompt_log_probabilities=False, reasons=reasons)
        return _determinism_of_text(endpoint, found)
    return _log_probabilities(endpoint, found, first, second)


_TOKEN_CAPABILITIES: Final = ("accepts_ids", "returns_ids", "prompt_log_probabilities")


def read_capabilities(folder: Path) -> Capabilities | None:
    """What was found out before, beside the answers in `folder`; None if nothing was."""
    path = folder / CAPABILITIES_FILE
    if not path.is_file():
        return None
    try:
        return Capabilities(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise StudyError(f"{path} is damaged; delete it, and the server is asked again.") from None


def write_capabilities(folder: Path, found: Capabilities) -> None:
    """Keep what was found out beside the answers."""
    write_json(folder / CAPABILITIES_FILE, found.as_json())


def _prompts() -> tuple[list[int], list[int]]:
    """Two prompts of ids from 3 to 33, which every vocabulary has, that begin alike and differ from a position on."""
    numbers = [(7 * position * position + 11 * position + 5) % 31 for position in range(_LENGTH)]
    others = [(number + 1 + position % 3) % 31 for position, number in enumerate(numbers[_SHARED:])]
    return [3 + number for number in numbers], [3 + number for number in [*numbers[:_SHARED], *others]]


def _try(endpoint: Endpoint, request: Request) -> tuple[dict[str, Any] | None, str]:
    """The answer, or None and why there is none.

    Raises:
        EndpointFault: for a reason that is not this request's.
    """
    try:
        return endpoint.ask_anew(request), ""
    except EndpointFault as error:
        if error.status not in _NOT_KNOWN:
            raise
        return None, str(error)


def _ids(endpoint: Endpoint, found: Capabilities, prompt: Sequence[int]) -> Capabilities:
    """Whether ids are accepted and come back, and whether equal requests have equal answers."""
    answer, reason = _try(endpoint, greedy_request(prompt, _NEW, Dialect(), ends=False))
    extensions = answer is not None
    if answer is None:
        answer, reason = _try(endpoint, greedy_request(prompt, _NEW, Dialect(extensions=False), ends=False))
    if answer is None:
        return replace(found, accepts_ids=False, reasons=found.reasons | {"accepts_ids": reason})
    version = answer.get("system_fingerprint")
    found = replace(found, extensions=extensions, reported=answer.get("model"), version=version)
    counted = (answer.get("usage") or {}).get("prompt_tokens")
    if counted != len(prompt):
        stated = "the server does not count" if counted is None else f"the server counted {counted}"
        why = f"of a prompt of {len(prompt)} token ids, {stated} tokens: the ids were perhaps read as something else"
        return replace(found, accepts_ids=False, reasons=found.reasons | {"accepts_ids": why})
    found = replace(found, accepts_ids=True)
    try:
        generated_tokens(answer, _NEW)
        found = replace(found, returns_ids=True)
    except Unreadable as error:
        found = replace(found, returns_ids=False, reasons=found.reasons | {"returns_ids": str(error)})
    repeated = [
        endpoint.ask_anew(greedy_request(prompt, _NEW, found.dialect, ends=False, sample=sample))
        for sample in range(1, _REPEATS)
    ]
    return _same_answers(found, [_greedy_content(one, found) for one in (answer, *repeated)])


def _greedy_content(answer: dict[str, Any], found: Capabilities) -> object:
    return generated_tokens(answer, _NEW).ids if found.returns_ids else completion_of(answer).text


def _same_answers(found: Capabilities, contents: Sequence[object]) -> Capabilities:
    if all(content == contents[0] for content in contents):
        return replace(found, deterministic=True)
    reason = f"{len(contents)} equal requests at temperature 0 had different answers"
    return replace(found, deterministic=False, reasons=found.reasons | {"deterministic": reason})


def _determinism_of_text(endpoint: Endpoint, found: Capabilities) -> Capabilities:
    kind, contents = found.endpoint, []
    for sample in range(_REPEATS):
        request = text_request(kind, _QUESTION, 4 * _NEW, 0.0, 0, 0)
        answer = endpoint.ask_anew(replace(request, sample=sample))
        contents.append(completion_of(answer).text)
    found = replace(found, reported=answer.get("model"), version=answer.get("system_fingerprint"))
    return _same_answers(found, contents)


def _log_probabilities(endpoint: Endpoint, found: Capabilities, first: list[int], second: list[int]) -> Capabilities:
    """Whether log-probabilities of the prompt come back, and are those of the prompt."""
    reason = ""
    for echo_tokens in (0, 1):  # some servers always generate a token
        dialect = replace(found.dialect, echo_tokens=echo_tokens)
        answer, reason = _try(endpoint, echo_request(first, dialect, _TOP_ASKED))
        if answer is None:
            continue
        try:
            of_first = prompt_log_probabilities(answer, len(first), echo_tokens)
            beside = answer["choices"][0]["logprobs"]["top_logprobs"][1 : len(first)]
            top = min(_TOP_ASKED, *map(len, beside))
            found = replace(found, echo_tokens=echo_tokens, top=top)
            wrong = _wrong_log_probabilities(endpoint, found, (first, second), of_first)
        except Unreadable as error:
            reason = str(error)
            continue
        if wrong is None:
            return replace(found, prompt_log_probabilities=True)
        reason = wrong
        break
    return replace(found, prompt_log_probabilities=False, reasons=found.reasons | {"prompt_log_probabilities": reason})


def _wrong_log_probabilities(
    endpoint: Endpoint, found: Capabilities, prompts: tuple[list[int], list[int]], of_first: PromptLogProbabilities
) -> str | None:
    """What shows that log-probabilities are not those of the prompt, each after the tokens before it; None: nothing."""
    of_second = _echo(endpoint, found, prompts[1])
    one, other = of_first.log_probability[1:], of_second.log_probability[1:]
    if np.ptp(one) == 0 or np.array_equal(one, other):
        return "log-probabilities of the prompt do not depend on the prompt"
    if np.abs(one - other)[: _SHARED - 1].max() > _TOLERANCE:
        return "log-probabilities of two prompts that begin alike differ from the beginning"
    if one[_SHARED - 1] == other[_SHARED - 1]:
        return "log-probabilities of the prompt do not stand at their tokens"
    if not found.returns_ids:
        return None
    generated = generated_tokens(endpoint.ask_anew(greedy_request(prompts[0], _NEW, found.dialect, ends=False)), _NEW)
    recited = _echo(endpoint, found, [*prompts[0], *generated.ids])
    doubtful = generated.margin < _TOLERANCE
    if not (recited.hit[len(prompts[0]) :] | doubtful).all():
        return "by the log-probabilities of the prompt, the server's own greedy text is not the most probable one"
    return None


def _echo(endpoint: Endpoint, found: Capabilities, ids: list[int]) -> PromptLogProbabilities:
    answer = endpoint.ask_anew(echo_request(ids, found.dialect, _TOP_ASKED))
    return prompt_log_probabilities(answer, len(ids), found.echo_tokens)


def _max_context(endpoint: Endpoint) -> int | None:
    """The longest prompt with its answer, in tokens, as the server lists it; None if it does not."""
    for entry in endpoint.models():
        if entry.get("id") == endpoint.address.model:
            meta = entry.get("meta")
            details = meta if isinstance(meta, dict) else {}
            for value in (entry.get("max_model_len"), entry.get("context_length"), details.get("n_ctx")):
                if isinstance(value, int) and value > 0:
                    return value
    return None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
