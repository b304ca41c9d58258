"""Runs of words that two texts have in common.

difflib's longest match counts words and gives one of them; here all runs are found that cannot be prolonged, by the
usual dynamic programme over pairs of equal words, and their length is that of their characters.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from mematlas.matching.words import BARRIER, Span, Words

#: Word -> its positions in the list of words of a text.
Positions = dict[str, list[int]]


class CommonRun(NamedTuple):
    """A run of equal words: its characters in each of two texts, from the first word to the last one's end."""

    first: Span
    second: Span


def positions_of(words: Words) -> Positions:
    """Where each word stands in the list."""
    positions: Positions = defaultdict(list)
    for at, word in enumerate(words.texts):
        if word != BARRIER:
            positions[word].append(at)
    return dict(positions)


def common_runs(
    first: Words, second: Words, min_characters: int, *, both: bool = True, positions: Positions | None = None
) -> list[CommonRun]:
    """The longest common runs of words of at least `min_characters` characters, in the order of the first text.

    Args:
        both: whether the run must be that long in both texts, or in the first one only; they differ where words are
            separated by other characters.
        positions: `positions_of(second)`, if it is known.

    Returns:
        every run that is not part of another one in the first text.
    """
    runs = []
    for at, other, length in _maximal_runs(first, positions_of(second) if positions is None else positions):
        one = Span(first.starts[at], first.ends[at + length - 1])
        if one.length >= min_characters:
            two = Span(second.starts[other], second.ends[other + length - 1])
            if not both or two.length >= min_characters:
                runs.append(CommonRun(one, two))
    runs.sort(key=lambda run: (run.first.start, -run.first.end, run.second.start))
    kept: list[CommonRun] = []
    for run in runs:
        if not kept or run.first.end > kept[-1].first.end:
            kept.append(run)
    return kept


def _maximal_runs(first: Words, positions: Positions) -> Iterator[tuple[int, int, int]]:
    """(position in the first text, position in the second, number of words) of runs that cannot be prolonged."""
    previous: dict[int, int] = {}  # end in the second text -> length of the run that ends here
    for at, word in enumerate(first.texts):
        current = {other: previous.get(other - 1, 0) + 1 for other in positions.get(word, ())}
        for other, length in previous.items():
            if other + 1 not in current:
                yield at - length, other - length + 1, length
        previous = current
    for other, length in previous.items():
        yield len(first.texts) - length, other - length + 1, length
