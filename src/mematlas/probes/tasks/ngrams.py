"""N-grams of the words of a text, cleaned for comparison, and as they are written for counting.

P4 compares texts in lower case, without punctuation, with single blanks. A corpus of tokens has them as they are
written, so an n-gram keeps its place in the text and the forms in which it is searched.
"""

import re
from dataclasses import dataclass
from typing import Final

#: Letters and digits, with apostrophes inside. In scripts without blanks a run of letters is one word.
_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Gram:
    """An n-gram. text: cleaned; forms: how it may be written, as found first; start, end: characters of its text."""

    text: str
    forms: tuple[str, ...]
    start: int
    end: int


def word_count(text: str) -> int:
    """The number of words of a text."""
    return sum(1 for _ in _WORD.finditer(text))


def clean(text: str) -> str:
    """The words of a text in lower case, with single blanks."""
    return " ".join(match.group().lower() for match in _WORD.finditer(text))


def word_ngrams(text: str, n: int) -> list[Gram]:
    """The different n-grams of a text in their order, each where it stands first; none if it has fewer words."""
    words = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(text)]
    found: dict[str, Gram] = {}
    for place in range(len(words) - n + 1):
        part = words[place : place + n]
        gram = _gram(text, [word for word, _, _ in part], part[0][1], part[-1][2])
        found.setdefault(gram.text, gram)
    return list(found.values())


def whole_text(text: str) -> list[Gram]:
    """All words of a text as one n-gram."""
    return word_ngrams(text, word_count(text)) if word_count(text) else []


def find_gram(text: str, wanted: str) -> Gram | None:
    """Where the words of `wanted` stand first in a text; None if they do not."""
    cleaned = clean(wanted)
    return next((gram for gram in word_ngrams(text, word_count(wanted)) if gram.text == cleaned), None)


def _gram(text: str, words: list[str], start: int, end: int) -> Gram:
    plain = " ".join(words)
    lower = plain.lower()
    forms = dict.fromkeys((text[start:end], plain, lower, lower[:1].upper() + lower[1:]))
    return Gram(lower, tuple(forms), start, end)
