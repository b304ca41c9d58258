"""Suffix arrays: all positions of the stream, sorted by the tokens that follow, so that any n-gram is an interval.

The table is memory-mapped: opening takes no time, and a query touches a few pages. Shards are searched one by one;
n-grams that begin in one shard and end in the next are searched for at the ends of the shards.

Entries of a table are pointers of any width (as in infini-gram), in multiples of `unit`; tokens are compared by value,
or, in infini-gram's order, by their little-endian bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.util import find_spec
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.index import loops
from mematlas.index.base import NextCounts, NGrams, QueryGroup, Scope, group_by_length
from mematlas.index.matching import NGramMatcher
from mematlas.index.plain.suffixes import sorted_suffixes
from mematlas.index.queries import sum_by_key
from mematlas.index.stream import Boundaries
from mematlas.types import Ids

_NONE: Final = np.zeros(0, np.int64)
_BLOCK: Final = 1 << 22  # positions processed together, if an n-gram has very many


@dataclass(frozen=True, slots=True)
class Shard:
    """Tokens start .. start + len(tokens) - 1 of the stream, and their sorted suffixes.

    tokens: [t] uint16 or uint32; table: pointers, [t] uint32, or [t, width] uint8 as little-endian bytes; unit:
    a pointer is `unit` x the index into `tokens`; by_bytes: sorted by the tokens' little-endian bytes, not their
    values.
    """

    start: int
    tokens: NDArray[Any]
    table: NDArray[Any]
    unit: int = 1
    by_bytes: bool = False

    def intervals(self, ngrams: NDArray[np.uint32]) -> Ids:
        """[2, q]: start and stop of the table entries whose suffixes begin with each n-gram."""
        order = np.lexsort(ngrams.T[::-1])  # neighbours in the table share most of their search
        ordered = np.zeros((2, len(ngrams)), np.int64)
        loops.suffixes.intervals(self.tokens, self.table, self.unit, self.by_bytes, ngrams[order], ordered)
        intervals = np.empty_like(ordered)
        intervals[:, order] = ordered
        return intervals

    def positions(self, low: int, high: int) -> Ids:
        """Positions in the stream that the entries low .. high - 1 of the table point at."""
        pointers = self.table[low:high]
        if pointers.ndim == 2:
            wide = np.zeros((high - low, 8), np.uint8)
            wide[:, : pointers.shape[1]] = pointers
            pointers = wide.view("<i8")[:, 0]
        return pointers.astype(np.int64) // self.unit + self.start

    def count_inside(self, intervals: Ids, starts: Ids, n: int) -> Ids:
        """[q]: how many n-grams of each interval have none of `starts` inside them."""
        counts = np.zeros(intervals.shape[1], np.int64)
        loops.suffixes.count_inside(self.table, self.unit, self.start, intervals, starts, n, counts)
        return counts


class DocumentNumbering(Protocol):
    """Maps positions in the stream to document numbers; Boundaries implement it."""

    def numbers_at(self, positions: Ids) -> Ids: ...


class SuffixArray:
    """See Index.

    Args:
        shards: in the order of the stream.
        tokens: the concatenated tokens of all shards; None if no n-gram crosses from shard to shard.
        vocabulary: number of token ids.
        boundaries: where rows and documents start, for the scopes that differ from the whole stream.
        scopes: those that can be queried; a scope without boundaries counts every occurrence.
        documents: numbers the documents.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        tokens: NDArray[Any] | None,
        vocabulary: int,
        boundaries: dict[Scope, Boundaries],
        scopes: tuple[Scope, ...],
        documents: DocumentNumbering,
    ) -> None:
        self.vocabulary, self.scopes = vocabulary, scopes
        self._shards, self._tokens, self._boundaries, self._documents = list(shards), tokens, boundaries, documents
        self._length = sum(len(shard.tokens) for shard in shards)

    def count(self, ngrams: NGrams, scope: Scope = "documents") -> Ids:
        """See Index.count."""
        groups = self._group(ngrams, scope)
        counts = np.zeros(sum(len(group.indices) for group in groups), np.int64)
        for group in groups:
            counts[group.indices] = sum(self._count(shard, group.ngrams, scope) for shard in self._shards)
            if self._tokens is not None and len(self._shards) > 1:
                counts[group.indices] += self._count_crossing(self._tokens, group.ngrams, scope)
        return counts

    def contains(self, ngrams: NGrams, scope: Scope = "documents") -> NDArray[np.bool_]:
        """See Index.contains."""
        return self.count(ngrams, scope) > 0

    def positions(self, ngrams: NGrams, limit: int, scope: Scope = "documents") -> list[Ids]:
        """See Index.positions."""
        return [
            reduce(lambda kept, positions: np.sort(np.concatenate([kept, positions]))[:limit], blocks, _NONE)
            for blocks in self._positions_by_query(ngrams, scope, 0)
        ]

    def documents(self, ngrams: NGrams, scope: Scope = "documents") -> list[Ids]:
        """See Index.documents."""
        return [
            reduce(lambda kept, positions: np.union1d(kept, self._documents.numbers_at(positions)), blocks, _NONE)
            for blocks in self._positions_by_query(ngrams, scope, 0)
        ]

    def next_counts(self, contexts: NGrams, scope: Scope = "documents") -> list[NextCounts]:
        """See Index.next_counts."""
        lengths = [len(context) for context in contexts]
        results = []
        for n, blocks in zip(lengths, self._positions_by_query(contexts, scope, 1), strict=True):
            tokens, counts = _NONE, _NONE
            for positions in blocks:
                next_tokens = self._tokens_at(positions + n)
                tokens, counts = sum_by_key(
                    np.append(tokens, next_tokens), np.append(counts, np.ones_like(next_tokens))
                )
            results.append(NextCounts(tokens, counts))
        return results

    def locate(self, position: int) -> tuple[int | None, int | None, int]:
        """Row, offset in the row (None where rows are unknown) and document of a position in the stream."""
        document = int(self._documents.numbers_at(np.array([position]))[0])
        if "rows" not in self._boundaries:
            return None, None, document
        rows = self._boundaries["rows"]
        row = int(rows.numbers_at(np.array([position]))[0])
        return row, position - int(rows.starts[row]), document

    def surroundings(self, position: int, n: int, scope: Scope, around: int) -> tuple[list[int], list[int]]:
        """Up to `around` tokens before and after the n tokens at `position`, as far as the scope reaches."""
        low, high = max(0, position - around), min(position + n + around, self._length)
        if scope in self._boundaries:
            starts = self._boundaries[scope].starts
            number = int(np.searchsorted(starts, position, side="right"))
            low = max(low, int(starts[number - 1]))
            high = min(high, int(starts[number])) if number < len(starts) else high
        before = self._tokens_at(np.arange(low, position)).tolist()
        after = self._tokens_at(np.arange(position + n, high)).tolist()
        if self._tokens is not None:
            return before, after
        ends = [index for index, token in enumerate(before) if token >= self.vocabulary]  # separators
        stop = next((index for index, token in enumerate(after) if token >= self.vocabulary), len(after))
        return before[ends[-1] + 1 if ends else 0 :], after[:stop]

    def neighbours(self, positions: Ids, n: int, scope: Scope) -> tuple[Ids, Ids]:
        """The token before and the one after the n tokens at each position [h]; -1 where the scope ends there."""
        before, after = positions - 1, positions + n
        found = []
        for places, inside in ((before, before >= 0), (after, after < self._length)):
            kept = inside.copy()
            if scope in self._boundaries:
                numbers = self._boundaries[scope].numbers_at
                kept[inside] = numbers(places[inside]) == numbers(positions[inside])
            tokens = np.full(len(positions), -1, np.int64)
            tokens[kept] = self._tokens_at(places[kept])
            tokens[tokens >= self.vocabulary] = -1  # separators
            found.append(tokens)
        return found[0], found[1]

    def documents_at(self, positions: Ids) -> Ids:
        """The number of the document of each position [h]."""
        return self._documents.numbers_at(positions)

    @property
    def length(self) -> int:
        """Tokens of the stream."""
        return self._length

    def _group(self, ngrams: NGrams, scope: Scope) -> list[QueryGroup]:
        return group_by_length(ngrams, self.vocabulary, lambda n: self._length, self.scopes, scope)

    def _count(self, shard: Shard, ngrams: NDArray[np.uint32], scope: Scope) -> Ids:
        intervals = shard.intervals(ngrams)
        if scope not in self._boundaries or ngrams.shape[1] == 1:
            return intervals[1] - intervals[0]
        return shard.count_inside(intervals, self._boundaries[scope].starts, ngrams.shape[1])

    def _count_crossing(self, tokens: NDArray[Any], ngrams: NDArray[np.uint32], scope: Scope) -> Ids:
        matcher, n = NGramMatcher(ngrams), ngrams.shape[1]
        numbers = [np.zeros(0, np.int64)]
        for start, length in self._crossings(n):
            matches = matcher.match(tokens[start : start + length + n - 1].astype(np.uint32), length)
            positions = self._within_scope(np.flatnonzero(matches >= 0) + start, n, scope)
            numbers.append(matches[positions - start].astype(np.int64))
        return np.bincount(np.concatenate(numbers), minlength=len(matcher))[matcher.inverse]

    def _crossings(self, n: int) -> Iterator[tuple[int, int]]:
        """First position, and number of positions, from which n tokens cross the end of each shard but the last."""
        for shard in self._shards[:-1]:
            end = shard.start + len(shard.tokens)
            start = max(shard.start, end - n + 1)
            length = min(end, self._length - n + 1) - start
            if length > 0:
                yield start, length

    def _within_scope(self, positions: Ids, n: int, scope: Scope) -> Ids:
        """The positions at which n tokens lie within the scope."""
        positions = positions[positions + n <= self._length]
        boundaries = self._boundaries.get(scope)
        return positions if boundaries is None else positions[~boundaries.crossed_by(positions, n)]

    def _positions_by_query(self, ngrams: NGrams, scope: Scope, following: int) -> Iterator[Iterator[Ids]]:
        """For each query its positions, in blocks; following: tokens after the n-gram that must lie in the scope."""
        groups = self._group(ngrams, scope)
        queries = {query: group.ngrams[i] for group in groups for i, query in enumerate(group.indices.tolist())}
        for query in sorted(queries):
            yield self._position_blocks(queries[query], scope, following)

    def _position_blocks(self, ngram: NDArray[np.uint32], scope: Scope, following: int) -> Iterator[Ids]:
        n = len(ngram)
        for shard in self._shards:
            low, high = shard.intervals(ngram[None])[:, 0].tolist()
            for first in range(low, high, _BLOCK):
                positions = shard.positions(first, min(first + _BLOCK, high))
                yield self._within_scope(self._followed_by_tokens(positions, n, following), n + following, scope)
        if self._tokens is not None:
            matcher = NGramMatcher(ngram[None])
            for start, length in self._crossings(n):
                matches = matcher.match(self._tokens[start : start + length + n - 1].astype(np.uint32), length)
                yield self._within_scope(np.flatnonzero(matches >= 0) + start, n + following, scope)

    def _followed_by_tokens(self, positions: Ids, n: int, following: int) -> Ids:
        """The positions of an n-gram that a token follows: in separate shards, a separator may follow instead."""
        if self._tokens is not None or not following:
            return positions
        positions = positions[positions + n < self._length]
        return positions[self._tokens_at(positions + n) < self.vocabulary]

    def _tokens_at(self, positions: Ids) -> Ids:
        if self._tokens is not None:
            return np.asarray(self._tokens[positions]).astype(np.int64)
        starts = np.array([shard.start for shard in self._shards])
        numbers = np.searchsorted(starts, positions, side="right") - 1
        tokens = np.zeros(len(positions), np.int64)
        for number in np.unique(numbers).tolist():
            is_in_shard = numbers == number
            tokens[is_in_shard] = self._shards[number].tokens[positions[is_in_shard] - starts[number]]
        return tokens


def suffix_order(tokens: NDArray[Any], by_bytes: bool) -> Ids:
    """All indices of `tokens` (uint16 or uint32), sorted by the suffixes that begin there.

    The library sorts bytes: big-endian ones are in the order of the tokens' values, little-endian in infini-gram's.
    """
    if find_spec("pydivsufsort") is None:
        return sorted_suffixes(tokens.byteswap() if by_bytes else tokens)
    from pydivsufsort import divsufsort  # type: ignore[import-untyped]

    size = tokens.dtype.itemsize
    ordered = tokens.astype(f"{'<' if by_bytes else '>'}u{size}")
    order = divsufsort(ordered.view(np.uint8))
    return order[order % size == 0] // size


def out_of_order(shard: Shard) -> int | None:
    """The first entry of the table that does not sort after the one before it; None if all do."""
    entry = int(loops.suffixes.first_unsorted(shard.tokens, shard.table, shard.unit, shard.by_bytes))
    return None if entry < 0 else entry
