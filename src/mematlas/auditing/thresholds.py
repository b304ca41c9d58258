"""The conditions of `--fail-on`, by which a pipeline stops: leak, recites, or a share such as recitation>0.5%."""

import re
from dataclasses import dataclass
from typing import Final

_LIMIT: Final = re.compile(r"(?P<measure>recitation|copying|secrets)\s*>\s*(?P<value>\d+(\.\d+)?)\s*(?P<percent>%?)")
WORDS: Final = ("leak", "recites")


@dataclass(frozen=True, slots=True)
class Threshold:
    """measure: a word of WORDS, or the look whose share is compared; limit: the share that must not be exceeded."""

    text: str
    measure: str
    limit: float | None = None


def parse_threshold(text: str) -> Threshold:
    """The condition that `text` writes.

    Raises:
        ValueError: it is neither a word nor a limit.
    """
    if text in WORDS:
        return Threshold(text, text)
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is no condition; give leak, recites, or a limit such as recitation>0.5%, copying>1% or secrets>0"
        )
    value = float(match["value"]) / (100 if match["percent"] else 1)
    return Threshold(text, match["measure"], value)
