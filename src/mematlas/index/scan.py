"""The engine without an index: one pass over the corpus for each batch of queries.

Memory is bounded by the queries and a few chunks of the stream. Chunks are matched in several threads (the loops
release the interpreter lock), while one thread reads. The counts of the parts of a stream add up to its own.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mematlas.index.base import SCOPES, NextCounts, NGrams, Occurrences, QueryGroup, Scope, group_by_length
from mematlas.index.matching import NGramMatcher
from mematlas.index.queries import DistinctQueries, pack_pairs, sum_by_key, unpack_pairs
from mematlas.index.stream import CHUNK_TOKENS, Chunk, Stream
from mematlas.types import Ids

Result = TypeVar("Result")
_NONE: Final = np.zeros(0, np.int64)


class Scan:
    """See Index.

    Args:
        stream: the corpus.
        threads: number of matching threads; None for one per processor.
        chunk_tokens: tokens matched at once by a thread.
        on_tokens: called with the number of tokens of each finished chunk.
    """

    def __init__(
        self,
        stream: Stream,
        threads: int | None = None,
        chunk_tokens: int = CHUNK_TOKENS,
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        self.vocabulary, self.scopes = stream.vocabulary, SCOPES
        self._stream, self._chunk_tokens, self._on_tokens = stream, chunk_tokens, on_tokens
        self._threads = threads or _processors()

    # ------------------------------------------------------------------------------------------------------- queries

    def count_scopes(self, ngrams: NGrams) -> Ids:
        """[3, q]: as `count`, for all SCOPES in one pass."""
        queries = self.prepare(ngrams)
        return queries.expand(self.count_distinct(queries)) if queries.groups else np.zeros((len(SCOPES), 0), np.int64)

    def prepare(self, ngrams: NGrams) -> DistinctQueries:
        """The n-grams prepared for searching this stream or any part of it."""
        return DistinctQueries(self._grouped(ngrams, "stream"))

    def count_distinct(self, queries: DistinctQueries) -> list[Ids]:
        """For each length, the counts [3, t], for SCOPES, of its distinct n-grams; counts of parts add up."""
        matchers = queries.matchers
        sums = [[np.zeros((len(SCOPES), len(matcher)), np.int64) for matcher in matchers] for _ in range(self._threads)]
        unused = list(sums)

        def add(chunk: Chunk) -> None:
            totals = unused.pop()
            for matcher, total in zip(matchers, totals, strict=True):
                matcher.count(chunk.tokens, chunk.own_length, chunk.rows.starts, chunk.documents.starts, total)
            unused.append(totals)

        for _ in self._map_chunks(add, max((matcher.n for matcher in matchers), default=1) - 1):
            pass
        return [np.sum(parts, axis=0) for parts in zip(*sums, strict=True)]

    def count(self, ngrams: NGrams, scope: Scope = "documents") -> Ids:
        """See Index.count."""
        self._grouped(ngrams, scope)
        return self.count_scopes(ngrams)[SCOPES.index(scope)]

    def contains(self, ngrams: NGrams, scope: Scope = "documents") -> NDArray[np.bool_]:
        """See Index.contains."""
        return self.count(ngrams, scope) > 0

    def positions(self, ngrams: NGrams, limit: int, scope: Scope = "documents") -> list[Ids]:
        """See Index.positions."""
        return [occurrences.positions for occurrences in self.occurrences(ngrams, limit, scope)]

    def occurrences(self, ngrams: NGrams, limit: int, scope: Scope = "documents") -> list[Occurrences]:
        """The first `limit` occurrences of each n-gram, with row, offset and document, and the number of all."""
        queries = DistinctQueries(self._grouped(ngrams, scope))
        counts = [np.zeros(len(matcher), np.int64) for matcher in queries.matchers]
        kept = [[np.zeros((5, 0), np.int64)] for _ in counts]
        unfinished_row = 0  # where the row that continues in the next chunk starts in the stream
        for chunk, matches in self._matches(queries, scope, 0):
            row_starts = np.concatenate([[unfinished_row], chunk.start + chunk.rows.starts])
            for group, (numbers, indices) in enumerate(matches):
                order = np.argsort(numbers, kind="stable")
                numbers, indices = numbers[order], indices[order]
                earlier = np.arange(len(numbers)) - np.searchsorted(numbers, numbers) + counts[group][numbers]
                first = earlier < limit
                kept[group].append(np.stack([numbers[first], *_locate(chunk, row_starts, indices[first])]))
                counts[group] += np.bincount(numbers, minlength=len(counts[group]))
            unfinished_row = int(row_starts[np.searchsorted(chunk.rows.starts, chunk.own_length)])
        hits = [np.concatenate(columns, axis=1) for columns in kept]
        results = queries.split_by_query([columns[:, np.argsort(columns[0], kind="stable")] for columns in hits])
        return [
            Occurrences(result[0], result[1], result[2], result[3], count)
            for result, count in zip(results, queries.expand_values(counts), strict=True)
        ]

    def documents(self, ngrams: NGrams, scope: Scope = "documents") -> list[Ids]:
        """See Index.documents."""
        queries = DistinctQueries(self._grouped(ngrams, scope))
        kept = [[_NONE] for _ in queries.matchers]
        for chunk, matches in self._matches(queries, scope, 0):
            for group, (numbers, indices) in enumerate(matches):
                kept[group].append(np.unique(pack_pairs(numbers, chunk.documents.numbers_at(indices))))
        hits = [unpack_pairs(np.unique(np.concatenate(keys))) for keys in kept]
        return [result[0] for result in queries.split_by_query(hits)]

    def next_counts(self, contexts: NGrams, scope: Scope = "documents") -> list[NextCounts]:
        """See Index.next_counts."""
        queries = DistinctQueries(self._grouped(contexts, scope))
        kept = [(_NONE, _NONE) for _ in queries.matchers]
        for chunk, matches in self._matches(queries, scope, 1):
            for group, (numbers, indices) in enumerate(matches):
                new_keys = pack_pairs(numbers, chunk.tokens[indices + queries.matchers[group].n].astype(np.int64))
                keys, counts = kept[group]
                kept[group] = sum_by_key(np.append(keys, new_keys), np.append(counts, np.ones_like(new_keys)))
        hits = [np.concatenate([unpack_pairs(keys), counts[None]]) for keys, counts in kept]
        return [NextCounts(tokens, counts) for tokens, counts in queries.split_by_query(hits)]

    # -------------------------------------------------------------------------------------------------------- passes

    def _grouped(self, ngrams: NGrams, scope: Scope) -> list[QueryGroup]:
        return group_by_length(ngrams, self.vocabulary, self._stream.length, self.scopes, scope)

    def _matches(
        self, queries: DistinctQueries, scope: Scope, following: int
    ) -> Iterator[tuple[Chunk, list[tuple[Ids, Ids]]]]:
        """Each chunk with its matches within the scope: for each length, numbers of n-grams [h] and indices [h].

        following: how many tokens after the n-gram must lie within the scope, too.
        """

        def find(chunk: Chunk) -> tuple[Chunk, list[tuple[Ids, Ids]]]:
            return chunk, [_matches_within(matcher, chunk, scope, following) for matcher in queries.matchers]

        return self._map_chunks(find, max((matcher.n for matcher in queries.matchers), default=1) - 1 + following)

    def _map_chunks(self, function: Callable[[Chunk], Result], overlap: int) -> Iterator[Result]:
        """Apply `function` to every chunk, in threads; results are in the order of the stream."""
        with ThreadPoolExecutor(self._threads) as pool:
            pending: deque[tuple[int, Future[Result]]] = deque()
            for chunk in self._stream.chunks(overlap, self._chunk_tokens):
                pending.append((chunk.own_length, pool.submit(function, chunk)))
                if len(pending) > self._threads:
                    yield self._finish(*pending.popleft())
            while pending:
                yield self._finish(*pending.popleft())

    def _finish(self, tokens: int, future: "Future[Result]") -> Result:
        result = future.result()
        if self._on_tokens is not None:
            self._on_tokens(tokens)
        return result


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _locate(chunk: Chunk, row_starts: Ids, indices: Ids) -> tuple[Ids, Ids, Ids, Ids]:
    """Position in the stream, row, offset in the row and document of the tokens at `indices` of a chunk.

    row_starts: where the rows start in the stream, that of the chunk's first token included.
    """
    positions = chunk.start + indices
    offsets = positions - row_starts[np.searchsorted(chunk.rows.starts, indices, side="right")]
    return positions, chunk.rows.numbers_at(indices), offsets, chunk.documents.numbers_at(indices)


def _matches_within(matcher: NGramMatcher, chunk: Chunk, scope: Scope, following: int) -> tuple[Ids, Ids]:
    """Numbers of the n-grams that start in a chunk, and the indices at which they do; following: see Scan._matches."""
    matches = matcher.match(chunk.tokens, chunk.own_length)
    indices = np.flatnonzero(matches >= 0)
    n = matcher.n + following
    is_within = indices + n <= len(chunk.tokens)
    if scope != "stream":
        is_within &= ~(chunk.rows if scope == "rows" else chunk.documents).crossed_by(indices, n)
    indices = indices[is_within]
    return matches[indices].astype(np.int64), indices
