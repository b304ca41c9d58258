"""Words of a text with the characters at which they stand, for every comparison of this package.

Our choice: a word is a run of letters, digits and underscores in lower case, so that punctuation, white space and case
make no difference; each character of a script without spaces between words (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) is a word.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
)
_WORD: Final = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+")
_IS_UNSPACED: Final = re.compile(rf"[{_UNSPACED}]")
#: Stands for the words of a masked span: it is no word of any text, so that no run of words goes across it.
BARRIER: Final = "\0"


class Span(NamedTuple):
    """Characters of a text: start <= character < end."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of characters."""
        return self.end - self.start


class Words(NamedTuple):
    """The words of a text: texts in lower case, and the first character and the character after the last of each."""

    texts: list[str]
    starts: list[int]
    ends: list[int]

    def within(self, span: Span) -> "Words":
        """The words that lie wholly in a span."""
        inside = [at for at, start in enumerate(self.starts) if start >= span.start and self.ends[at] <= span.end]
        first, stop = (inside[0], inside[-1] + 1) if inside else (0, 0)
        return Words(self.texts[first:stop], self.starts[first:stop], self.ends[first:stop])


def find_words(text: str, masked: Sequence[Span] = ()) -> Words:
    """The words of `text`; those that a masked span touches are replaced by one BARRIER per span."""
    words = [(match.group().lower(), match.start(), match.end()) for match in _WORD.finditer(text)]
    for span in masked:
        words = [word for word in words if word[2] <= span.start or word[1] >= span.end]
        words.append((BARRIER, span.start, span.end))
    words.sort(key=lambda word: word[1])
    return Words([word[0] for word in words], [word[1] for word in words], [word[2] for word in words])


def is_content_word(word: str) -> bool:
    """Whether P7's sentence vectors count a word: three characters or more that begin with a letter or digit.

    Our choice: a character of a script without spaces counts, too.
    """
    return (len(word) > 2 and word[0].isalnum()) or _IS_UNSPACED.match(word) is not None


def union_length(spans: Iterable[Span]) -> int:
    """The number of characters in one or more of the spans."""
    total = reached = 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
