"""The part of speech of every token of a row, and of the tokens that models name in their place.

Source: P8, on parts of speech. Our choice, as the paper states no alignment: a token takes the tag of the word that
holds its first character that is no white space; a token with characters of two words is "mixed". The tag of a named
token is that which it has at the end of the true text before it; where it is the true token, it is that token's tag.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mematlas.features.taggers import Tagger, Word
from mematlas.study.schemas.features import POS_CLASSES

#: Texts that are tagged at once.
_BATCH = 2048
MIXED, NO_WORD, OTHER = (POS_CLASSES.index(name) for name in ("mixed", "no word", "other"))
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TokenTexts:
    """A tokenizer's way back to text: `mematlas.types.Encoder.decode` and `decode_windows`."""

    decode: Callable[[list[int]], list[str]]
    decode_windows: Callable[[list[list[int]]], list[str]]

    def spans(self, tokens: list[int]) -> tuple[str, list[Span]]:
        """The text of a row and the characters of each of its tokens."""
        (text,) = self.decode_windows([tokens])
        parts = self.decode(tokens)
        if "".join(parts) == text:
            stops = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
        else:  # characters of several tokens: by the length of every beginning
            stops = [len(part) for part in self.decode_windows([tokens[: i + 1] for i in range(len(tokens))])]
        starts = [0, *stops[:-1]]
        return text, [(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True)]


def tag_rows(rows: Sequence[list[int]], texts: TokenTexts, tagger: Tagger) -> list[list[int]]:
    """The class (index into POS_CLASSES) of every token of every row."""
    decoded = [texts.spans(row) for row in rows]
    words = _tagged([text for text, _ in decoded], tagger)
    return [
        [token_class(text, span, of_row) for span in spans]
        for (text, spans), of_row in zip(decoded, words, strict=True)
    ]


def tag_named(
    row: list[int], classes: list[int], named: Sequence[int | None], texts: TokenTexts, tagger: Tagger
) -> list[int | None]:
    """The classes of the tokens that a model names at the positions of a row; None where it names none.

    Args:
        row: the true tokens; classes: theirs; named: the most probable token after the true ones before.
    """
    found: list[int | None] = [None if token is None else classes[i] for i, token in enumerate(named)]
    wrong = [i for i, token in enumerate(named) if token is not None and token != row[i]]
    before = texts.decode_windows([row[:i] for i in wrong]) if wrong else []
    whole = texts.decode_windows([[*row[:i], int(named[i] or 0)] for i in wrong]) if wrong else []
    for i, start, text, words in zip(wrong, before, whole, _tagged(whole, tagger), strict=True):
        found[i] = token_class(text, (len(start), len(text)), words)
    return found


def token_class(text: str, span: Span, words: Sequence[Word]) -> int:
    """The class of the token with these characters of the text: an index into POS_CLASSES."""
    start, stop = span
    own = text[start:stop]
    if not own.strip():
        return NO_WORD
    first, last = start + len(own) - len(own.lstrip()), start + len(own.rstrip())
    touched = [word for word in words if word.start < last and word.stop > first]
    if not touched or not touched[0].start <= first:
        return NO_WORD
    if len(touched) > 1:
        return MIXED
    tag = touched[0].tag
    return POS_CLASSES.index(tag) if tag in POS_CLASSES[:OTHER] else OTHER


def _tagged(texts: Sequence[str], tagger: Tagger) -> list[list[Word]]:
    words: list[list[Word]] = []
    for start in range(0, len(texts), _BATCH):
        words += tagger.tag(texts[start : start + _BATCH])
    return words
