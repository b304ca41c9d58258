"""How wide text is, and how it is broken and shortened to fit: the same whatever fonts a reader has.

Widths are those of Arial, with which Liberation Sans and Helvetica agree. Other fonts may be wider: images tell their
reader the width of every text (`export.fit_texts`).
"""

import textwrap
from typing import Final

_PRINTABLE: Final = """
278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 584 584
584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 667 667 611 278
278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500
500 334 260 334 584
"""
_ASCII: Final = tuple(map(int, _PRINTABLE.split()))  # in thousandths of the font size
_OTHERS: Final = {"–": 556, "—": 1000, "−": 584, "…": 1000, "×": 584, "τ": 395, "²": 333, "±": 549, "·": 278}
_UNKNOWN: Final = 1000  # wider than most: better too much room than too little


def text_width(text: str, size: float = 12) -> float:
    """The width of a line of text at a font size, in the unit of `size`."""
    return sum(_letter_width(letter) for letter in text) * size / 1000


def has_known_width(text: str) -> bool:
    """Whether the widths of all characters are known, so that `text_width` is exact."""
    return all(" " <= letter <= "~" or letter in _OTHERS for letter in text)


def _letter_width(letter: str) -> int:
    return _ASCII[ord(letter) - 32] if " " <= letter <= "~" else _OTHERS.get(letter, _UNKNOWN)


def elide(text: str, width: float, size: float = 12) -> str:
    """The text, or as much of its start and end as fits with an ellipsis in between."""
    if text_width(text, size) <= width:
        return text
    for left_out in range(1, len(text)):
        kept = len(text) - left_out
        shortened = text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]
        if text_width(shortened, size) <= width:
            return shortened
    return "…"


def wrap(text: str, width: float, size: float = 12, lines: int | None = None) -> list[str]:
    """The text in lines of at most `width`, broken at blanks and hyphens; what no line can hold is shortened.

    lines: the number of lines allowed; the last one is shortened to hold the rest.
    """
    letters = max(1, len(text))
    while letters > 1 and any(text_width(line, size) > width for line in _lines(text, letters)):
        letters -= 1
        if letters < max(map(len, text.replace("-", "- ").split()), default=0):
            break
    broken = _lines(text, letters)
    if lines is not None and len(broken) > lines:
        broken = [*broken[: lines - 1], " ".join(broken[lines - 1 :])]
    return [elide(line, width, size) for line in broken]


def _lines(text: str, letters: int) -> list[str]:
    return textwrap.wrap(text, letters, break_long_words=False) or [""]


def without_common_parts(names: list[str]) -> dict[str, str]:
    """Names of models without the parts, between hyphens, that all begin or end with: what tells them apart.

    Names stay as they are unless each keeps a number, as in pythia-70m and pythia-160m, and none becomes another.
    """
    parts = [name.split("-") for name in names]
    shortest = min(map(len, parts), default=0)
    first, last = 0, 0
    while len(names) > 1 and first < shortest - 1 and len({part[first] for part in parts}) == 1:
        first += 1
    while len(names) > 1 and last < shortest - 1 - first and len({part[-1 - last] for part in parts}) == 1:
        last += 1
    short = ["-".join(part[first : len(part) - last]) for part in parts]
    is_clear = len(set(short)) == len(set(names)) and all(any(map(str.isdigit, name)) for name in short)
    return dict(zip(names, short if is_clear else names, strict=True))
