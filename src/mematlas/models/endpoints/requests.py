"""What an API is asked and what it answers, for both of its interfaces: completions and chat."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mematlas.models.endpoints.limits import Usage

_MESSAGE_TOKENS: Final = 16  # our choice: more than chat templates put around a message


@dataclass(frozen=True, slots=True)
class Request:
    """One request without its model. path: below the URL; sample: tells requests apart that are equal but for chance.

    check: says what an answer lacks, None if it is whole; an answer that is not whole is a fault, and asked for again.
    """

    path: str
    body: dict[str, Any]
    sample: int = 0
    check: Callable[[dict[str, Any]], str | None] | None = None

    def key(self, url: str, model: str) -> str:
        """A hash of all that decides the answer, under which it is kept."""
        content = json.dumps([url, self.path, model, self.body, self.sample], sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    @property
    def most(self) -> Usage:
        """What it takes at most: an id is a token, and a text has no more tokens than bytes."""
        prompt = self.body.get("prompt")
        if isinstance(prompt, list):
            tokens = len(prompt)
        elif isinstance(prompt, str):
            tokens = len(prompt.encode("utf-8", "replace")) + 1
        else:
            texts = [str(message["content"]) for message in self.body.get("messages", ())]
            tokens = sum(len(text.encode("utf-8", "replace")) + _MESSAGE_TOKENS for text in texts)
        return Usage(1, tokens, int(self.body.get("max_tokens") or 0))


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model behind an API wrote after a prompt.

    finish: why it ended, in the server's words ("stop", "length" ...), None if it does not say; refused: the server
    marks it as a refusal, or its filter withheld it; tokens: of the answer, None if the server does not count them.
    """

    text: str
    finish: str | None
    refused: bool
    tokens: int | None


def text_request(kind: str, prompt: str, max_tokens: int, temperature: float, seed: int, sample: int) -> Request:
    """The request for a text after a prompt; for chats, the prompt is the one message of a user."""
    common = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed + sample, "stream": False}
    if kind == "chat":
        body = {"messages": [{"role": "user", "content": prompt}], **common}
        return Request("/chat/completions", body, sample)
    return Request("/completions", {"prompt": prompt, **common}, sample)


def first_choice(answer: Any) -> dict[str, Any] | None:
    """The first choice of an answer; None if it has none."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else None


def incomplete(answer: Any) -> str | None:
    """What an answer lacks that every answer has; None if it is whole."""
    if not isinstance(answer, dict):
        return "an answer that is not JSON" if answer is None else "an answer that is no JSON object"
    if answer.get("error"):
        return f"an error instead of an answer: {error_text(answer)}"
    choice = first_choice(answer)
    if choice is None:
        return "an empty answer"
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else choice.get("text")
    if isinstance(content, str) and content:
        return None
    ended = choice.get("finish_reason")  # a model may end at once, or say nothing before it is cut off
    return None if ended and (content == "" or isinstance(message, dict)) else "an empty answer"


def completion_of(answer: dict[str, Any]) -> Completion:
    """The text of a whole answer."""
    choice = first_choice(answer)
    assert choice is not None  # it was checked when it came
    message = choice.get("message")
    finish = choice.get("finish_reason")
    refusal = message.get("refusal") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else choice.get("text")
    usage = answer.get("usage") or {}
    return Completion(
        str(content or refusal or ""),
        finish,
        bool(refusal) or finish == "content_filter",
        usage.get("completion_tokens"),
    )


def usage_of(answer: dict[str, Any], most: Usage) -> Usage:
    """What an answer took, as the server counts; where it does not count, the most that it can be."""
    counted = answer.get("usage")
    usage = counted if isinstance(counted, dict) else {}
    tokens_in, tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Usage(
        1,
        tokens_in if isinstance(tokens_in, int) else most.tokens_in,
        tokens_out if isinstance(tokens_out, int) else most.tokens_out,
    )


def error_text(answer: Any) -> str:
    """The message of an error in JSON, in whatever place servers put it; "" if there is none."""
    if not isinstance(answer, dict):
        return ""
    stated = answer.get("error") or answer.get("detail") or answer.get("message") or ""
    if isinstance(stated, dict):
        stated = stated.get("message") or ""
    return " ".join(str(stated).split())[:200]
