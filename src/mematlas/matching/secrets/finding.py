"""Every occurrence of a secret in texts."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mematlas.matching.secrets.patterns import PATTERNS, Pattern


class Occurrence(NamedTuple):
    """A secret where it stands: number of the document, its characters (start <= character < end), pattern's name."""

    document: int
    start: int
    end: int
    value: str
    pattern: str


def find_secrets(texts: Iterable[str], patterns: Mapping[str, Pattern] = PATTERNS) -> Iterator[Occurrence]:
    """The secrets of each text in the order in which they stand.

    Where two overlap, the one whose pattern comes first in `patterns` is taken, so that general patterns (a random
    token) do not repeat what special ones (a token of GitHub) found.
    """
    for document, text in enumerate(texts):
        found: list[Occurrence] = []
        for name, pattern in patterns.items():
            for match in pattern.regex.finditer(text):
                start, end = match.span(pattern.group)
                value = match.group(pattern.group)
                if not value or (pattern.check is not None and not pattern.check.is_valid(value)):
                    continue
                occurrence = Occurrence(document, start, end, value, name)
                at = bisect_left(found, occurrence)
                is_free = (at == 0 or found[at - 1].end <= start) and (at == len(found) or end <= found[at].start)
                if is_free:
                    insort(found, occurrence)
        yield from found
