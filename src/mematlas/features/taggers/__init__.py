"""Taggers: name -> the part of speech of every word of a text. A new tagger is a file in this room and a line below.

A tagger is named KIND:NAME, such as `spacy:en_core_web_sm`: NAME says what KIND loads.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from mematlas.errors import OptionError
from mematlas.registry import Registry


class Word(NamedTuple):
    """A word of a text. start, stop: its characters; tag: its universal part of speech (NOUN, VERB, PUNCT ...)."""

    start: int
    stop: int
    tag: str


class Tagger(Protocol):
    """What tags words. name: of the tagger, its model and their versions: what the tags depend on."""

    name: str

    def tag(self, texts: Sequence[str]) -> list[list[Word]]:
        """The words of every text, in their order; they do not overlap, and white space belongs to none."""
        ...


TAGGERS: Registry = Registry(
    "tagger", {"spacy": ("mematlas.features.taggers.spacy:load", "pos", "the statistical models of spaCy")}
)


def load_tagger(spec: str) -> Tagger:
    """The tagger that `spec`, KIND:NAME, names.

    Raises:
        OptionError: the spec is not of that form, or there is no such model.
        UnknownName: there is no such kind.
        MissingExtra: its library is not installed.
    """
    kind, colon, name = spec.partition(":")
    if not colon or not name:
        raise OptionError(f"--tagger {spec} names no model; a tagger is KIND:NAME, such as spacy:en_core_web_sm.")
    tagger: Tagger = TAGGERS.load(kind)(name)
    return tagger
