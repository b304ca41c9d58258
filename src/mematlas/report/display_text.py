"""Text from models and corpora, made safe to show on a page and in an image."""

import re
from typing import Any, Final

#: Control characters except tab and line feed, line separators that end a line of JavaScript, signs that change the
#: direction of text, and characters that XML forbids: an image with one of these cannot be opened, and the image
#: converter would stop the whole process.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """`text` with the replacement character in place of each unprintable character."""
    return _UNPRINTABLE.sub("\ufffd", text)


def all_printable(value: Any) -> Any:
    """`value` with every text in it made printable, including texts in nested lists and dictionaries."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [all_printable(part) for part in value]
    if isinstance(value, dict):
        return {key: all_printable(part) for key, part in value.items()}
    return value
