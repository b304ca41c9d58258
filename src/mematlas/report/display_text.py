"""Text from models and corpora as a page and a picture can show it."""

import re
from typing import Any, Final

#: Controls but tab and line feed, separators that end a line of script, signs that turn text around, and what is no
#: character of XML: a picture with one of them cannot be opened, and the converter of pictures stops the whole process.
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def legible(text: str) -> str:
    """`text` with the replacement sign for each such character."""
    return _HIDDEN.sub("\ufffd", text)


def all_legible(value: Any) -> Any:
    """`value`, lists and dictionaries in it included, with every text made legible."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, list):
        return [all_legible(part) for part in value]
    if isinstance(value, dict):
        return {key: all_legible(part) for key, part in value.items()}
    return value
