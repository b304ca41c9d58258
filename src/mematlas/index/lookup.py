"""Looking up a few n-grams in an index of any kind: counts, and the first occurrences with the tokens around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mematlas.errors import IndexFault
from mematlas.index.base import Scope, check_boundaries
from mematlas.index.folder import IndexManifest, open_index
from mematlas.index.infinigram import is_infinigram, open_infinigram
from mematlas.index.suffix_arrays import SuffixArray


@dataclass(frozen=True, slots=True)
class Hit:
    """One occurrence of an n-gram.

    position: in the stream; row, offset: in the corpus, None if the index does not record rows; before, after: the
    tokens around it, as far as the scope reaches.
    """

    position: int
    row: int | None
    offset: int | None
    document: int
    before: list[int]
    after: list[int]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """A query, the number of its occurrences, and the first of them."""

    ngram: list[int]
    scope: Scope
    count: int
    hits: list[Hit]


@dataclass(frozen=True, slots=True)
class OpenedIndex:
    """An open index. tokenizer: the one it was built with, as the user named it then; None if none was named; manifest:
    what it was built from, None of an infini-gram index."""

    folder: Path
    engine: SuffixArray
    tokenizer: str | None = None
    tokenizer_fingerprint: str | None = None
    manifest: IndexManifest | None = None

    def check_scope(self, scope: Scope) -> None:
        """Check that rows or documents begin where the corpus says.

        Raises:
            IndexFault: items were inserted into it.
        """
        if self.manifest is not None:
            facts = self.manifest
            check_boundaries(facts.source, scope, facts.boundaries_moved, facts.joined)

    def check_tokenizer(self, fingerprint: str, name: str) -> None:
        """Check that a tokenizer is the index's.

        Raises:
            IndexFault: the index was built with another one.
        """
        if self.tokenizer_fingerprint not in (None, fingerprint):
            raise IndexFault(
                f"{self.folder} was built with another tokenizer (fingerprint {self.tokenizer_fingerprint}) than "
                f"{name} ({fingerprint}): the same text has other ids there; give --tokenizer with the right one."
            )


def open_any_index(folder: Path) -> OpenedIndex:
    """A mematlas index, or an infini-gram v4 directory.

    Raises:
        IndexFault: the folder is neither, or the index is incomplete or damaged.
    """
    if is_infinigram(folder):
        return OpenedIndex(folder, open_infinigram(folder))
    engine, facts = open_index(folder)
    return OpenedIndex(folder, engine, facts.tokenizer, facts.tokenizer_fingerprint, facts)


def look_up(
    opened: OpenedIndex, ngrams: Sequence[Sequence[int]], scope: Scope, hits: int, around: int
) -> Iterator[LookupResult]:
    """Look up n-grams: their counts, and their first `hits` occurrences with `around` tokens on each side.

    Raises:
        IndexFault: see Index.
    """
    opened.check_scope(scope)
    counts = opened.engine.count(ngrams, scope).tolist()
    positions = opened.engine.positions(ngrams, hits, scope)
    for ngram, count, first_positions in zip(ngrams, counts, positions, strict=True):
        shown = [_hit(opened.engine, int(position), len(ngram), scope, around) for position in first_positions]
        yield LookupResult([int(token) for token in ngram], scope, count, shown)


def _hit(engine: SuffixArray, position: int, n: int, scope: Scope, around: int) -> Hit:
    row, offset, document = engine.locate(position)
    before, after = engine.surroundings(position, n, scope, around)
    return Hit(position, row, offset, document, before, after)
