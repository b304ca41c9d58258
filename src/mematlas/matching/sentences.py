"""Sentences of a text, as spans of characters: by blingfire if it is installed, else by a regular expression.

Which of the two was used changes where sentences end, hence results carry `splitter_name`. Our choice: an empty line
always ends a sentence; a line break alone does not, since texts may be wrapped.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from typing import Final, Literal

from mematlas.matching.words import Span, Words

Splitter = Literal["auto", "blingfire", "regex"]
_Split = Callable[[str], list[tuple[int, int]]]

_PARAGRAPH_END: Final = re.compile(r"\n[ \t\r]*(?:\n[ \t\r]*)+")
_SENTENCE_END: Final = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s)|[。！？]+[」』”]*""")
_ABBREVIATION: Final = re.compile(
    r"(?:\b[A-Za-z]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|cf|Figs?|Eqs?|Sec|No|Vol|pp|al|Jr|Sr|Inc|Ltd|Co))\.$"
)
_LONGEST_ABBREVIATION: Final = 6
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def split_sentences(text: str, splitter: Splitter = "auto") -> list[Span]:
    """The sentences of `text` in order, without the white space around them.

    Args:
        splitter: "auto" takes blingfire where it can be loaded, else "regex".

    Raises:
        ImportError: "blingfire" was named and is not installed.
    """
    split = _blingfire() if splitter != "regex" else None
    if split is None and splitter == "blingfire":
        import blingfire  # noqa: F401  its error names the library
    spans = []
    for start, end in _paragraphs(text):
        paragraph = text[start:end]
        spans += [Span(start + first, start + stop) for first, stop in (split or _split_by_rule)(paragraph)]
    return spans


def splitter_name(splitter: Splitter = "auto") -> str:
    """What `split_sentences` uses here, with its version: "blingfire 0.1.8" or "regex"."""
    is_regex = splitter == "regex" or _blingfire() is None
    return "regex" if is_regex else f"blingfire {version('blingfire')}"


def merge_short(sentences: list[Span], words: Words, min_words: int) -> list[Span]:
    """Sentences of fewer than `min_words` words are joined with the next one; the last one stays as it is (P7)."""
    merged: list[Span] = []
    start = None
    for at, sentence in enumerate(sentences):
        start = sentence.start if start is None else start
        count = bisect_left(words.starts, sentence.end) - bisect_left(words.starts, start)
        if count >= min_words or at == len(sentences) - 1:
            merged.append(Span(start, sentence.end))
            start = None
    return merged


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _PARAGRAPH_END.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


@cache
def _blingfire() -> _Split | None:
    """The splitter of blingfire; None if its library is not there, or is not built for this machine."""
    try:
        from blingfire import text_to_sentences_and_offsets
    except (ImportError, OSError):
        return None

    def split(text: str) -> list[tuple[int, int]]:
        if not text.strip():  # which it does not take
            return []
        # it takes neither halves of surrogate pairs nor, rarely, others of the damaged texts that models write
        try:
            return list(text_to_sentences_and_offsets(_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text))[1])
        except AssertionError:
            return _split_by_rule(text)

    return split


def _split_by_rule(text: str) -> list[tuple[int, int]]:
    """Sentences end at . ! ? or … before white space, unless an abbreviation, an initial or a small letter is there."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if _is_end(text, match.end())]
    spans = []
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        sentence = text[start:end]
        first = start + len(sentence) - len(sentence.lstrip())
        if sentence.strip():
            spans.append((first, first + len(sentence.strip())))
    return spans


def _is_end(text: str, end: int) -> bool:
    if _ABBREVIATION.search(text[max(0, end - _LONGEST_ABBREVIATION) : end]):
        return False
    rest = text[end : end + 20].lstrip()
    return not rest[:1].islower()
