"""Canaries in chats: as a question with its answer, and inside the last answer of a chat that is there."""

import json
from typing import Any, Final

from mematlas.corpus.reading.chats import ASSISTANT, ROLES, is_chat, parsed

_USER: Final = "user"
_NAMES: Final = {_USER: "human", ASSISTANT: "gpt"}  # in ShareGPT's form


def chat_like(example: Any, columns: tuple[str, ...], prompt: str, answer: str) -> dict[str, Any]:
    """A record whose chat asks `prompt` and is answered by `answer`, written as `example` is, a value of the first
    column; with several columns, such as prompt and completion, the answer is in the last one."""
    chat = parsed(example) if isinstance(example, str) else example
    has_from = is_chat(chat) and "from" in chat[0] and "role" not in chat[0]
    messages = [_message(role, text, has_from) for role, text in ((_USER, prompt), (ASSISTANT, answer))]
    parts = [messages] if len(columns) == 1 else [messages[:1], *([] for _ in columns[2:]), messages[1:]]
    values = [_as_written(part, example) for part in parts]
    return dict(zip(columns, values, strict=True))


def last_answer(chat: Any) -> tuple[int, str] | None:
    """The number of the last message of the assistant, and the key of its text; None if there is no such text."""
    messages = parsed(chat) if isinstance(chat, str) else chat
    if not is_chat(messages):
        return None
    for number in reversed(range(len(messages))):
        message = messages[number]
        if ASSISTANT in (message.get("role"), ROLES.get(str(message.get("from")))):
            key = "content" if "role" in message else "value"
            return (number, key) if isinstance(message.get(key), str) else None
    return None


def with_answer(chat: Any, place: tuple[int, str], text: str) -> Any:
    """The chat with another text at a place that `last_answer` found."""
    messages = list(parsed(chat) if isinstance(chat, str) else chat)
    number, key = place
    messages[number] = messages[number] | {key: text}
    return _as_written(messages, chat)


def answer_text(chat: Any, place: tuple[int, str]) -> str:
    """The text at a place that `last_answer` found."""
    messages = parsed(chat) if isinstance(chat, str) else chat
    return str(messages[place[0]][place[1]])


def _message(role: str, text: str, has_from: bool) -> dict[str, str]:
    return {"from": _NAMES[role], "value": text} if has_from else {"role": role, "content": text}


def _as_written(messages: list[Any], example: Any) -> Any:
    """As JSON text where the example is text, as in CSV."""
    return json.dumps(messages, ensure_ascii=False) if isinstance(example, str) else messages
