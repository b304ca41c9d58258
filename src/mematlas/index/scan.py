"""The targeted engine: no index, one pass over the corpus for each batch of queries.

Memory is bounded by the queries and a few pieces of the stream. Pieces are matched in several threads (the loops hold
no interpreter lock), while one thread reads. What is counted in parts of the stream adds up.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mematlas.index.base import SCOPES, Group, NextCounts, NGrams, Places, Scope, grouped
from mematlas.index.matching import Targets
from mematlas.index.queries import DistinctQueries, added_up, packed, unpacked
from mematlas.index.stream import PIECE, Piece, Stream
from mematlas.types import Ids

Result = TypeVar("Result")
_NONE: Final = np.zeros(0, np.int64)


class Scan:
    """See Index.

    Args:
        stream: the corpus.
        threads: that match; None for one a processor.
        piece: tokens matched at once by a thread.
        on_tokens: told the number of tokens of each piece that is done.
    """

    def __init__(
        self,
        stream: Stream,
        threads: int | None = None,
        piece: int = PIECE,
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        self.vocabulary, self.scopes = stream.vocabulary, SCOPES
        self._stream, self._piece, self._on_tokens = stream, piece, on_tokens
        self._threads = threads or _processors()

    # ------------------------------------------------------------------------------------------------------- answers

    def count_scopes(self, ngrams: NGrams) -> Ids:
        """[3, q]: as `count`, for all SCOPES in one pass."""
        asked = self.ask(ngrams)
        return asked.spread(self.totals(asked)) if asked.groups else np.zeros((len(SCOPES), 0), np.int64)

    def ask(self, ngrams: NGrams) -> DistinctQueries:
        """The n-grams made ready to be looked for, in this stream or in any part of it."""
        return DistinctQueries(self._grouped(ngrams, "stream"))

    def totals(self, asked: DistinctQueries) -> list[Ids]:
        """[3, t] counts, for SCOPES, of each length's targets; those of the parts of a stream add up to its own."""
        known = asked.targets
        sums = [[np.zeros((len(SCOPES), len(targets)), np.int64) for targets in known] for _ in range(self._threads)]
        free = list(sums)

        def add(piece: Piece) -> None:
            into = free.pop()
            for targets, total in zip(known, into, strict=True):
                targets.count(piece.tokens, piece.own, piece.rows.starts, piece.documents.starts, total)
            free.append(into)

        for _ in self._each(add, max((targets.n for targets in known), default=1) - 1):
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
        return [places.positions for places in self.places(ngrams, limit, scope)]

    def places(self, ngrams: NGrams, limit: int, scope: Scope = "documents") -> list[Places]:
        """Where each n-gram starts: its first `limit` places, told as row, offset and document, and their number."""
        asked = DistinctQueries(self._grouped(ngrams, scope))
        had = [np.zeros(len(targets), np.int64) for targets in asked.targets]
        kept = [[np.zeros((5, 0), np.int64)] for _ in had]
        begun = 0  # where the row that goes on into the next piece starts in the stream
        for piece, hits in self._hits(asked, scope, 0):
            begins = np.concatenate([[begun], piece.start + piece.rows.starts])
            for group, (members, places) in enumerate(hits):
                order = np.argsort(members, kind="stable")
                members, places = members[order], places[order]
                earlier = np.arange(len(members)) - np.searchsorted(members, members) + had[group][members]
                first = earlier < limit
                kept[group].append(np.stack([members[first], *_told(piece, begins, places[first])]))
                had[group] += np.bincount(members, minlength=len(had[group]))
            begun = int(begins[np.searchsorted(piece.rows.starts, piece.own)])
        found = [np.concatenate(hits, axis=1) for hits in kept]
        answers = asked.answers([hits[:, np.argsort(hits[0], kind="stable")] for hits in found])
        return [
            Places(answer[0], answer[1], answer[2], answer[3], count)
            for answer, count in zip(answers, asked.each(had), strict=True)
        ]

    def documents(self, ngrams: NGrams, scope: Scope = "documents") -> list[Ids]:
        """See Index.documents."""
        asked = DistinctQueries(self._grouped(ngrams, scope))
        kept = [[_NONE] for _ in asked.targets]
        for piece, hits in self._hits(asked, scope, 0):
            for group, (members, places) in enumerate(hits):
                kept[group].append(np.unique(packed(members, piece.documents.numbers(places))))
        found = [unpacked(np.unique(np.concatenate(keys))) for keys in kept]
        return [answer[0] for answer in asked.answers(found)]

    def next_counts(self, contexts: NGrams, scope: Scope = "documents") -> list[NextCounts]:
        """See Index.next_counts."""
        asked = DistinctQueries(self._grouped(contexts, scope))
        kept = [(_NONE, _NONE) for _ in asked.targets]
        for piece, hits in self._hits(asked, scope, 1):
            for group, (members, places) in enumerate(hits):
                keys = packed(members, piece.tokens[places + asked.targets[group].n].astype(np.int64))
                known, counts = kept[group]
                kept[group] = added_up(np.append(known, keys), np.append(counts, np.ones_like(keys)))
        found = [np.concatenate([unpacked(keys), counts[None]]) for keys, counts in kept]
        return [NextCounts(tokens, counts) for tokens, counts in asked.answers(found)]

    # -------------------------------------------------------------------------------------------------------- passes

    def _grouped(self, ngrams: NGrams, scope: Scope) -> list[Group]:
        return grouped(ngrams, self.vocabulary, self._stream.length, self.scopes, scope)

    def _hits(self, asked: DistinctQueries, scope: Scope, beyond: int) -> Iterator[tuple[Piece, list[tuple[Ids, Ids]]]]:
        """Each piece with, for each length, which n-gram stands at which of its places within the scope: [h], [h].

        beyond: how many tokens after the n-gram must lie within the scope, too.
        """

        def find(piece: Piece) -> tuple[Piece, list[tuple[Ids, Ids]]]:
            return piece, [_within(targets, piece, scope, beyond) for targets in asked.targets]

        return self._each(find, max((targets.n for targets in asked.targets), default=1) - 1 + beyond)

    def _each(self, work: Callable[[Piece], Result], overlap: int) -> Iterator[Result]:
        """`work` on every piece, in threads; results in the order of the stream."""
        with ThreadPoolExecutor(self._threads) as pool:
            waiting: deque[tuple[int, Future[Result]]] = deque()
            for piece in self._stream.pieces(overlap, self._piece):
                waiting.append((piece.own, pool.submit(work, piece)))
                if len(waiting) > self._threads:
                    yield self._done(*waiting.popleft())
            while waiting:
                yield self._done(*waiting.popleft())

    def _done(self, tokens: int, future: "Future[Result]") -> Result:
        result = future.result()
        if self._on_tokens is not None:
            self._on_tokens(tokens)
        return result


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(piece: Piece, begins: Ids, places: Ids) -> tuple[Ids, Ids, Ids, Ids]:
    """Position in the stream, row, offset in it and document of places in a piece; begins: where its rows start."""
    positions = piece.start + places
    offsets = positions - begins[np.searchsorted(piece.rows.starts, places, side="right")]
    return positions, piece.rows.numbers(places), offsets, piece.documents.numbers(places)


def _within(targets: Targets, piece: Piece, scope: Scope, beyond: int) -> tuple[Ids, Ids]:
    found = targets.match(piece.tokens, piece.own)
    places = np.flatnonzero(found >= 0)
    n = targets.n + beyond
    good = places + n <= len(piece.tokens)
    if scope != "stream":
        good &= ~(piece.rows if scope == "rows" else piece.documents).crossed(places, n)
    places = places[good]
    return found[places].astype(np.int64), places
