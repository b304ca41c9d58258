"""Chats: lists of messages, which become text by a tokenizer's chat template, and where their answers begin in it.

An answer is what the template writes for a message of the assistant after the beginning that it would write for the
model to go on from (`add_generation_prompt`), as TRL masks completions.

    <|user|>Hi<|end|><|assistant|>     Hello!<|end|>
    messages before, and a beginning | the answer
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from mematlas.corpus.reading.columns import CHAT_COLUMNS
from mematlas.corpus.reading.json_records import shortened
from mematlas.errors import CorpusError
from mematlas.types import ChatTemplate, Message

ASSISTANT: Final = "assistant"
#: Names of roles in ShareGPT's form, {"from": ..., "value": ...}, and what they are called elsewhere.
ROLES: Final = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bard", "bing", "model", "bot"), ASSISTANT),
    **dict.fromkeys(("system", "tool"), None),
}


def is_chat(value: Any) -> bool:
    """Whether `value` is a list of messages, such as ``[{"role": "user", "content": "Hello"}]``."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def are_chats(values: Mapping[str, Any]) -> bool:
    """Whether the values of these columns are lists of messages, or text of one in a column named as chats are."""
    for name, value in values.items():
        is_in_text = name in CHAT_COLUMNS and isinstance(value, str) and value.lstrip().startswith("[{")
        if is_chat(value) or is_in_text or (name in CHAT_COLUMNS and value == []):
            return True
    return False


def parsed(text: str) -> Any:
    """The value of JSON, or of Python's own notation, as which pandas writes lists into CSV; else the text itself."""
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return parse(text)
    return text


def read_messages(where: str, column: str, value: Any) -> list[Message]:
    """The messages in a value of `column`, or in its text (JSON): role, content and what else they have.

    Raises:
        CorpusError: it is no list of messages, or a message has no role or no text.
    """
    value = parsed(value) if isinstance(value, str) else value
    if not isinstance(value, list):
        raise CorpusError(f"{where}: {column!r} is {shortened(value)}, but a chat is a list of messages.")
    return [_message(where, column, message) for message in value]


def _message(where: str, column: str, message: Any) -> Message:
    """One message; keys without a value are left out, as tables have every key in every message."""
    stated = {key: item for key, item in message.items() if item is not None} if isinstance(message, dict) else {}
    if "role" not in stated and "from" in stated:
        name = str(stated.pop("from"))
        if name not in ROLES:
            raise CorpusError(
                f"{where}: {column!r} has a message from {name!r}; the known names are {', '.join(ROLES)}: "
                "rename it, or write messages as role and content."
            )
        stated = {"role": ROLES[name] or name, "content": stated.pop("value", ""), **stated}
    if not isinstance(stated.get("role"), str):
        raise CorpusError(
            f"{where}: {column!r} has the message {shortened(message)}; a message has role and content, or from and "
            "value."
        )
    return {**stated, "content": _content(where, column, stated.get("content", ""))}


def _content(where: str, column: str, content: Any) -> str:
    """The text of a message, which may be a list of texts."""
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise CorpusError(f"{where}: {column!r} has a message that is no text ({shortened(content)}); leave it out.")
    return "".join(map(str, texts))


def rendered(where: str, messages: Sequence[Message], template: ChatTemplate, *, begins_answer: bool = False) -> str:
    """The text of the messages.

    Raises:
        CorpusError: the template refuses them.
    """
    try:
        return template.render(messages, begins_answer)
    except ValueError as error:
        raise CorpusError(
            f"{where}: the tokenizer's chat template refuses these messages ({error}); correct the row or leave it out."
        ) from error


def answers(
    where: str, messages: Sequence[Message], template: ChatTemplate, first: int = 0
) -> Iterator[tuple[str, int]]:
    """Yield for each message of the assistant the text of all messages up to it, and where in it the answer begins.

    Args:
        first: number of the first message that may be an answer.
    """
    for number, message in enumerate(messages):
        if number < first or message["role"] != ASSISTANT:
            continue
        text = rendered(where, messages[: number + 1], template)
        prompt = rendered(where, messages[:number], template, begins_answer=True) if number else ""
        start = common_prefix(prompt, text)
        if prompt == (rendered(where, messages[:number], template) if number else ""):
            # the template writes no beginning: the message's own text is the answer, without the name of its role
            start = max(start, text.find(str(message["content"]).strip(), start))
        yield text, start


def common_prefix(first: Sequence[Any], second: Sequence[Any]) -> int:
    """The number of characters, or tokens, with which both begin."""
    shorter, longer = sorted((first, second), key=len)
    if longer[: len(shorter)] == shorter:
        return len(shorter)
    return next(place for place, pair in enumerate(zip(shorter, longer, strict=False)) if pair[0] != pair[1])
