"""The interface of every index engine: counts and positions of n-grams, within rows, documents or the stream.

The corpus is one stream of tokens, row after row. An n-gram lies within a row (a document) if no row (document)
starts inside it. Overlapping occurrences all count: "a a" occurs twice in "a a a".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import IndexFault
from mematlas.types import Ids

Scope = Literal["rows", "documents", "stream"]
SCOPES: Final[tuple[Scope, ...]] = ("rows", "documents", "stream")

#: A batch of n-grams: a [q, n] array, or a sequence of n-grams and of such arrays, of any lengths.
NGrams = NDArray[Any] | Sequence[Sequence[int] | NDArray[Any]]


class Index(Protocol):
    """An engine. Methods take a batch of queries and return one result per query, in the same order.

    All methods raise IndexFault for an empty n-gram, an id outside 0 .. vocabulary - 1, an n-gram longer than the
    corpus, or a scope that the index does not support.
    """

    vocabulary: int
    scopes: tuple[Scope, ...]

    def count(self, ngrams: NGrams, scope: Scope = "documents") -> Ids:
        """How often each n-gram occurs in the corpus: [q]."""
        ...

    def contains(self, ngrams: NGrams, scope: Scope = "documents") -> NDArray[np.bool_]:
        """Whether each n-gram occurs at all: [q]."""
        ...

    def positions(self, ngrams: NGrams, limit: int, scope: Scope = "documents") -> list[Ids]:
        """Where each n-gram starts in the stream: its first `limit` positions, ascending."""
        ...

    def documents(self, ngrams: NGrams, scope: Scope = "documents") -> list[Ids]:
        """The numbers of the documents in which an occurrence of each n-gram starts: ascending and distinct."""
        ...

    def next_counts(self, contexts: NGrams, scope: Scope = "documents") -> "list[NextCounts]":
        """Which tokens follow each context, and how often."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Occurrences:
    """The first h positions at which an n-gram starts, ascending, and the number of all its occurrences.

    positions: [h] in the stream; rows: [h] position of the row in the corpus; offsets: [h] tokens from its start;
    documents: [h] number of the document along the stream; count: occurrences in the whole corpus, also beyond h.
    """

    positions: Ids
    rows: Ids
    offsets: Ids
    documents: Ids
    count: int


@dataclass(frozen=True, slots=True)
class NextCounts:
    """tokens: [k] distinct, ascending; counts: [k], how often each follows the context within the scope."""

    tokens: Ids
    counts: Ids


@dataclass(frozen=True, slots=True)
class QueryGroup:
    """Queries of one length. indices: [q] their indices among all queries; ngrams: [q, n] uint32."""

    indices: Ids
    ngrams: NDArray[np.uint32]


def counted_scopes(is_moved: bool, joined: bool) -> tuple[Scope, ...]:
    """The scopes in which a corpus can be counted.

    Args:
        is_moved: items were inserted into it after the places of rows and documents were written (Hubble, K9).
        joined: documents are told apart by the token that ends them, and not by where rows begin.
    """
    if not is_moved:
        return SCOPES
    return ("documents", "stream") if joined else ("stream",)


def check_boundaries(source: object, scope: Scope, is_moved: bool, joined: bool) -> None:
    """Refuse a scope whose rows or documents do not begin where the corpus says.

    Raises:
        IndexFault: they do not.
    """
    if scope not in counted_scopes(is_moved, joined):
        raise IndexFault(
            f"Items were inserted into {source} after its index was written, so that its {scope} do not begin where "
            "that says; count in the stream (--scope stream), or tell documents apart by the token that ends them "
            "(--eod ID --joined)."
        )


def group_by_length(
    ngrams: NGrams, vocabulary: int, length: Callable[[int], int], scopes: tuple[Scope, ...], scope: Scope
) -> list[QueryGroup]:
    """Validate the queries and group them by length.

    Args:
        vocabulary: ids run from 0 to vocabulary - 1.
        length: called with n, returns the number of tokens of the stream, or any number >= n if it has more.
        scopes: those that the index supports.

    Raises:
        IndexFault: see Index.
    """
    if scope not in scopes:
        raise IndexFault(f"This index does not support the scope {scope!r}; choose one of: {', '.join(scopes)}.")
    blocks = [np.atleast_2d(np.asarray(block)) for block in ([ngrams] if isinstance(ngrams, np.ndarray) else ngrams)]
    ends = np.cumsum([len(block) for block in blocks])
    by_length: dict[int, list[int]] = {}
    for number, block in enumerate(blocks):
        if len(block):
            by_length.setdefault(block.shape[1], []).append(number)
    groups = [
        (
            np.concatenate([np.arange(ends[number] - len(blocks[number]), ends[number]) for number in numbers]),
            np.concatenate([blocks[number] for number in numbers]),
        )
        for _, numbers in sorted(by_length.items())
    ]
    return [QueryGroup(indices, _check_ngrams(values, vocabulary, length)) for indices, values in groups]


def _check_ngrams(ngrams: NDArray[Any], vocabulary: int, length: Callable[[int], int]) -> NDArray[np.uint32]:
    if ngrams.shape[1] == 0:
        raise IndexFault("An empty n-gram cannot be searched for; give at least one token.")
    if not np.issubdtype(ngrams.dtype, np.integer):
        raise IndexFault(f"N-grams are token ids, not {ngrams.dtype} values; encode the text first.")
    lowest, highest = int(ngrams.min()), int(ngrams.max())
    if lowest < 0 or highest >= vocabulary:
        invalid = lowest if lowest < 0 else highest
        raise IndexFault(
            f"The token id {invalid} is outside the vocabulary, 0 to {vocabulary - 1}; "
            "were the ids made with the index's tokenizer?"
        )
    tokens = length(ngrams.shape[1])
    if ngrams.shape[1] > tokens:
        raise IndexFault(f"An n-gram of {ngrams.shape[1]} tokens is longer than the corpus ({tokens}); shorten it.")
    return np.ascontiguousarray(ngrams, np.uint32)
