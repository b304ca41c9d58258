"""A few n-grams looked up in an index of any kind: counts, and the first places with the tokens around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mematlas.errors import IndexFault
from mematlas.index.base import Scope
from mematlas.index.folder import open_index
from mematlas.index.infinigram import is_infinigram, open_infinigram
from mematlas.index.suffix_arrays import SuffixArray


@dataclass(frozen=True, slots=True)
class Hit:
    """A place. row, offset: in the corpus, None where the index knows no rows; before, after: tokens around it, as far
    as the scope reaches."""

    position: int
    row: int | None
    offset: int | None
    document: int
    before: list[int]
    after: list[int]


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked for and what there is."""

    ngram: list[int]
    scope: Scope
    count: int
    hits: list[Hit]


@dataclass(frozen=True, slots=True)
class Lookup:
    """An open index. tokenizer: the one it was made with, as it was named then; None if it was not named."""

    folder: Path
    engine: SuffixArray
    tokenizer: str | None = None
    tokenizer_fingerprint: str | None = None

    def check_tokenizer(self, fingerprint: str, name: str) -> None:
        """Refuse a tokenizer that is known to be another than the index's."""
        if self.tokenizer_fingerprint not in (None, fingerprint):
            raise IndexFault(
                f"{self.folder} was made with another tokenizer (fingerprint {self.tokenizer_fingerprint}) than {name} "
                f"({fingerprint}): the same text has other ids there; give --tokenizer with the right one."
            )


def open_any(folder: Path) -> Lookup:
    """A mematlas index, or an infini-gram v4 directory.

    Raises:
        IndexFault: it is neither, incomplete or damaged.
    """
    if is_infinigram(folder):
        return Lookup(folder, open_infinigram(folder))
    engine, facts = open_index(folder)
    return Lookup(folder, engine, facts.tokenizer, facts.tokenizer_fingerprint)


def look_up(opened: Lookup, ngrams: Sequence[Sequence[int]], scope: Scope, hits: int, around: int) -> Iterator[Found]:
    """Counts of the n-grams, with their first `hits` places and `around` tokens on each side.

    Raises:
        IndexFault: see Index.
    """
    counts = opened.engine.count(ngrams, scope).tolist()
    places = opened.engine.positions(ngrams, hits, scope)
    for ngram, count, found in zip(ngrams, counts, places, strict=True):
        shown = [_hit(opened.engine, int(place), len(ngram), scope, around) for place in found]
        yield Found([int(token) for token in ngram], scope, count, shown)


def _hit(engine: SuffixArray, place: int, n: int, scope: Scope, around: int) -> Hit:
    row, offset, document = engine.locate(place)
    before, after = engine.surroundings(place, n, scope, around)
    return Hit(place, row, offset, document, before, after)
