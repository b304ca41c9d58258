"""Choices of a question, in the layouts that benchmarks have: a list, texts by their labels, or two lists."""

from typing import Any


def choice_texts(choices: Any) -> tuple[str, ...] | None:
    """The texts of choices in any of the layouts; () of no choices, None if they are of another layout.

    ["red", "blue"]; {"A": "red", "B": "blue"}; {"text": ["red", "blue"], "label": ["A", "B"]}; [{"text": "red"}, ...].
    """
    if choices is None:
        return ()
    if isinstance(choices, dict):
        choices = choices["text"] if isinstance(choices.get("text"), list) else list(choices.values())
    if not isinstance(choices, list):
        return None
    texts = [choice.get("text") if isinstance(choice, dict) else choice for choice in choices]
    if not all(isinstance(text, str | int | float) for text in texts):
        return None
    return tuple(str(text).strip() for text in texts)
