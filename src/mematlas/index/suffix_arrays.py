"""Suffix arrays: all places of the stream in the order of the text that follows, so that any n-gram is an interval.

The table is mapped, not read: opening takes no time, and a query touches a few pages. Shards are searched one by one;
n-grams that begin in one shard and end in the next are looked for at the borders.

Tables are pointers, of any width as infini-gram's are, in units of `unit`; tokens are compared by value,
or, in infini-gram's order, by their little-endian bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from mematlas.index.base import Group, NextCounts, NGrams, Scope, grouped
from mematlas.index.matching import Targets
from mematlas.index.queries import added_up
from mematlas.index.stream import Borders
from mematlas.types import Ids

_NONE: Final = np.zeros(0, np.int64)
_CHUNK: Final = 1 << 22  # places looked at together, where an n-gram has very many


@dataclass(frozen=True, slots=True)
class Shard:
    """Tokens start .. start + len(tokens) - 1 of the stream, and their order.

    tokens: [t] uint16 or uint32; table: pointers, [t] uint32, or [t, width] uint8 as little-endian bytes; unit:
    pointers are `unit` x the place in `tokens`; by_bytes: the order is that of the tokens' little-endian bytes, not of
    their values.
    """

    start: int
    tokens: NDArray[Any]
    table: NDArray[Any]
    unit: int = 1
    by_bytes: bool = False

    def intervals(self, ngrams: NDArray[np.uint32]) -> Ids:
        """[2, q]: the first line of the table whose suffix begins with each n-gram, and the first after them."""
        order = np.lexsort(ngrams.T[::-1])  # neighbours in the table share most of their search
        found = np.zeros((2, len(ngrams)), np.int64)
        _intervals(self.tokens, self.table, self.unit, self.by_bytes, ngrams[order], found)
        answers = np.empty_like(found)
        answers[:, order] = found
        return answers

    def places(self, low: int, high: int) -> Ids:
        """Places in the stream that lines low .. high - 1 of the table point at."""
        pointers = self.table[low:high]
        if pointers.ndim == 2:
            wide = np.zeros((high - low, 8), np.uint8)
            wide[:, : pointers.shape[1]] = pointers
            pointers = wide.view("<i8")[:, 0]
        return pointers.astype(np.int64) // self.unit + self.start

    def inside(self, intervals: Ids, starts: Ids, n: int) -> Ids:
        """[q]: how many of the places of each interval have none of `starts` inside the n-gram that begins there."""
        found = np.zeros(intervals.shape[1], np.int64)
        _inside(self.table, self.unit, self.start, intervals, starts, n, found)
        return found


class Numbering(Protocol):
    """What tells the documents' numbers; Borders do."""

    def numbers(self, places: Ids) -> Ids: ...


class SuffixArray:
    """See Index.

    Args:
        shards: in the order of the stream.
        tokens: all shards' tokens, one after the other; None where no n-gram crosses from shard to shard.
        vocabulary: number of token ids.
        borders: where rows and documents start, by the scopes that can be told apart from the stream.
        scopes: those that can be asked for; scopes without borders are counted as they stand.
        documents: numbers the documents.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        tokens: NDArray[Any] | None,
        vocabulary: int,
        borders: dict[Scope, Borders],
        scopes: tuple[Scope, ...],
        documents: Numbering,
    ) -> None:
        self.vocabulary, self.scopes = vocabulary, scopes
        self._shards, self._tokens, self._borders, self._documents = list(shards), tokens, borders, documents
        self._length = sum(len(shard.tokens) for shard in shards)

    def count(self, ngrams: NGrams, scope: Scope = "documents") -> Ids:
        """See Index.count."""
        groups = self._grouped(ngrams, scope)
        found = np.zeros(sum(len(group.places) for group in groups), np.int64)
        for group in groups:
            found[group.places] = sum(self._count(shard, group.ngrams, scope) for shard in self._shards)
            if self._tokens is not None and len(self._shards) > 1:
                found[group.places] += self._count_crossing(self._tokens, group.ngrams, scope)
        return found

    def contains(self, ngrams: NGrams, scope: Scope = "documents") -> NDArray[np.bool_]:
        """See Index.contains."""
        return self.count(ngrams, scope) > 0

    def positions(self, ngrams: NGrams, limit: int, scope: Scope = "documents") -> list[Ids]:
        """See Index.positions."""
        return [
            reduce(lambda kept, places: np.sort(np.concatenate([kept, places]))[:limit], found, _NONE)
            for found in self._each(ngrams, scope, 0)
        ]

    def documents(self, ngrams: NGrams, scope: Scope = "documents") -> list[Ids]:
        """See Index.documents."""
        return [
            reduce(lambda kept, places: np.union1d(kept, self._documents.numbers(places)), found, _NONE)
            for found in self._each(ngrams, scope, 0)
        ]

    def next_counts(self, contexts: NGrams, scope: Scope = "documents") -> list[NextCounts]:
        """See Index.next_counts."""
        lengths = [len(context) for context in contexts]
        answers = []
        for n, found in zip(lengths, self._each(contexts, scope, 1), strict=True):
            tokens, counts = _NONE, _NONE
            for places in found:
                following = self._tokens_at(places + n)
                tokens, counts = added_up(np.append(tokens, following), np.append(counts, np.ones_like(following)))
            answers.append(NextCounts(tokens, counts))
        return answers

    def locate(self, place: int) -> tuple[int | None, int | None, int]:
        """Row, offset in the row (None where rows are unknown) and document of a place in the stream."""
        document = int(self._documents.numbers(np.array([place]))[0])
        if "rows" not in self._borders:
            return None, None, document
        rows = self._borders["rows"]
        row = int(rows.numbers(np.array([place]))[0])
        return row, place - int(rows.starts[row]), document

    def surroundings(self, place: int, n: int, scope: Scope, around: int) -> tuple[list[int], list[int]]:
        """Up to `around` tokens before and after the n tokens at `place`, as far as the scope reaches."""
        low, high = max(0, place - around), min(place + n + around, self._length)
        if scope in self._borders:
            starts = self._borders[scope].starts
            number = int(np.searchsorted(starts, place, side="right"))
            low = max(low, int(starts[number - 1]))
            high = min(high, int(starts[number])) if number < len(starts) else high
        before = self._tokens_at(np.arange(low, place)).tolist()
        after = self._tokens_at(np.arange(place + n, high)).tolist()
        if self._tokens is not None:
            return before, after
        ends = [index for index, token in enumerate(before) if token >= self.vocabulary]  # separators
        stop = next((index for index, token in enumerate(after) if token >= self.vocabulary), len(after))
        return before[ends[-1] + 1 if ends else 0 :], after[:stop]

    def _grouped(self, ngrams: NGrams, scope: Scope) -> list[Group]:
        return grouped(ngrams, self.vocabulary, lambda n: self._length, self.scopes, scope)

    def _count(self, shard: Shard, ngrams: NDArray[np.uint32], scope: Scope) -> Ids:
        intervals = shard.intervals(ngrams)
        if scope not in self._borders or ngrams.shape[1] == 1:
            return intervals[1] - intervals[0]
        return shard.inside(intervals, self._borders[scope].starts, ngrams.shape[1])

    def _count_crossing(self, tokens: NDArray[Any], ngrams: NDArray[np.uint32], scope: Scope) -> Ids:
        targets, n = Targets(ngrams), ngrams.shape[1]
        members = [np.zeros(0, np.int64)]
        for start, own in self._crossings(n):
            found = targets.match(tokens[start : start + own + n - 1].astype(np.uint32), own)
            places = self._scoped(np.flatnonzero(found >= 0) + start, n, scope)
            members.append(found[places - start].astype(np.int64))
        return np.bincount(np.concatenate(members), minlength=len(targets))[targets.members]

    def _crossings(self, n: int) -> Iterator[tuple[int, int]]:
        """First place, and number of places, from which n tokens cross the end of a shard that is not the last."""
        for shard in self._shards[:-1]:
            end = shard.start + len(shard.tokens)
            start = max(shard.start, end - n + 1)
            own = min(end, self._length - n + 1) - start
            if own > 0:
                yield start, own

    def _scoped(self, places: Ids, n: int, scope: Scope) -> Ids:
        """Those of the places at which n tokens lie within the scope."""
        places = places[places + n <= self._length]
        borders = self._borders.get(scope)
        return places if borders is None else places[~borders.crossed(places, n)]

    def _each(self, ngrams: NGrams, scope: Scope, beyond: int) -> Iterator[Iterator[Ids]]:
        """For each query its places, some at a time; beyond: tokens after the n-gram that must lie in the scope."""
        groups = self._grouped(ngrams, scope)
        queries = {place: group.ngrams[i] for group in groups for i, place in enumerate(group.places.tolist())}
        for place in sorted(queries):
            yield self._places(queries[place], scope, beyond)

    def _places(self, ngram: NDArray[np.uint32], scope: Scope, beyond: int) -> Iterator[Ids]:
        for shard in self._shards:
            low, high = shard.intervals(ngram[None])[:, 0].tolist()
            for first in range(low, high, _CHUNK):
                places = shard.places(first, min(first + _CHUNK, high))
                yield self._scoped(self._followed(places, len(ngram), beyond), len(ngram) + beyond, scope)
        if self._tokens is not None:
            targets = Targets(ngram[None])
            for start, own in self._crossings(len(ngram)):
                found = targets.match(self._tokens[start : start + own + len(ngram) - 1].astype(np.uint32), own)
                yield self._scoped(np.flatnonzero(found >= 0) + start, len(ngram) + beyond, scope)

    def _followed(self, places: Ids, n: int, beyond: int) -> Ids:
        """Of the places of an n-gram those that a token follows: where shards stand alone a separator may."""
        if self._tokens is not None or not beyond:
            return places
        places = places[places + n < self._length]
        return places[self._tokens_at(places + n) < self.vocabulary]

    def _tokens_at(self, places: Ids) -> Ids:
        if self._tokens is not None:
            return np.asarray(self._tokens[places]).astype(np.int64)
        starts = np.array([shard.start for shard in self._shards])
        numbers = np.searchsorted(starts, places, side="right") - 1
        found = np.zeros(len(places), np.int64)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            found[here] = self._shards[number].tokens[places[here] - starts[number]]
        return found


def _compiled(function: Any) -> Any:
    return numba.njit(function, nogil=True, cache=True)


@_compiled
def _pointer(table, line, unit):  # type: ignore[no-untyped-def]
    if table.ndim == 1:
        return np.int64(table[line]) // unit
    value = np.int64(0)
    for byte in range(table.shape[1] - 1, -1, -1):
        value = (value << 8) | np.int64(table[line, byte])
    return value // unit


@_compiled
def _turned(token, size):  # type: ignore[no-untyped-def]
    """The token with its bytes in the other order; size: of a token in bytes, 0 to leave it as it is."""
    token = np.uint32(token)
    if size == 2:
        return ((token >> 8) | (token << 8)) & np.uint32(0xFFFF)
    if size == 4:
        token = ((token >> 8) & np.uint32(0x00FF00FF)) | ((token & np.uint32(0x00FF00FF)) << 8)
        return (token >> 16) | (token << 16)
    return token


@_compiled
def _compare(tokens, place, ngram, turned):  # type: ignore[no-untyped-def]
    """-1, 0 or 1: the suffix at `place` stands before the n-gram, begins with it, or stands after."""
    for index in range(len(ngram)):
        if place + index >= len(tokens):
            return -1
        one, other = _turned(tokens[place + index], turned), _turned(ngram[index], turned)
        if one != other:
            return -1 if one < other else 1
    return 0


@_compiled
def _first(tokens, table, unit, turned, ngram, low, above):  # type: ignore[no-untyped-def]
    """The first line from `low` on that is not before the n-gram (above = 0), or that is after it (above = 1).

    It looks near `low` first, in growing steps: an interval is short, and sorted queries follow each other closely.
    """
    step, high = 1, low
    while high < len(table) and _compare(tokens, _pointer(table, high, unit), ngram, turned) < above:
        low, high, step = high + 1, high + step, 2 * step
    high = min(high, len(table))
    while low < high:
        middle = (low + high) // 2
        if _compare(tokens, _pointer(table, middle, unit), ngram, turned) < above:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _intervals(tokens, table, unit, by_bytes, ngrams, found):  # type: ignore[no-untyped-def]
    turned = tokens.itemsize if by_bytes else 0
    low = 0
    for query in range(len(ngrams)):
        if low > 0 and _compare(tokens, _pointer(table, low - 1, unit), ngrams[query], turned) >= 0:
            low = 0  # this query stands before the one before
        low = _first(tokens, table, unit, turned, ngrams[query], low, 0)
        found[0, query] = low
        found[1, query] = _first(tokens, table, unit, turned, ngrams[query], low, 1)


@_compiled
def _inside(table, unit, start, intervals, starts, n, found):  # type: ignore[no-untyped-def]
    for query in range(intervals.shape[1]):
        for line in range(intervals[0, query], intervals[1, query]):
            place = _pointer(table, line, unit) + start
            following = np.searchsorted(starts, place, side="right")
            found[query] += following == len(starts) or starts[following] >= place + n


def suffix_order(tokens: NDArray[Any], by_bytes: bool) -> Ids:
    """All places of `tokens` (uint16 or uint32), in the order of the suffixes that begin there.

    The library sorts bytes: big-endian ones are in the order of the tokens' values, little-endian in infini-gram's.
    """
    from pydivsufsort import divsufsort  # type: ignore[import-untyped]

    size = tokens.dtype.itemsize
    kept = tokens.astype(f"{'<' if by_bytes else '>'}u{size}")
    order = divsufsort(kept.view(np.uint8))
    return order[order % size == 0] // size


def out_of_order(shard: Shard) -> int | None:
    """The first line of the table that does not stand after the line before it; None if all do."""
    line = int(_first_disorder(shard.tokens, shard.table, shard.unit, shard.by_bytes))
    return None if line < 0 else line


@_compiled
def _first_disorder(tokens, table, unit, by_bytes):  # type: ignore[no-untyped-def]
    turned = tokens.itemsize if by_bytes else 0
    for line in range(len(table)):
        place = _pointer(table, line, unit)
        if not 0 <= place < len(tokens):
            return line
        if line == 0:
            continue
        one, other = _pointer(table, line - 1, unit), place
        while one < len(tokens) and other < len(tokens) and tokens[one] == tokens[other]:
            one, other = one + 1, other + 1
        if other >= len(tokens) or (
            one < len(tokens) and _turned(tokens[one], turned) > _turned(tokens[other], turned)
        ):
            return line
    return -1
