"""The documents that share most of an output's words: BM25 (by bm25s, in memory, without a server)."""

from collections.abc import Collection, Sequence
from sys import intern
from typing import Protocol

import numpy as np

from mematlas.errors import CorpusError
from mematlas.matching.stop_words import STOP_WORDS
from mematlas.matching.words import find_words


class Retriever(Protocol):
    """Whatever names, for a text, the documents that it may have copied."""

    def top(self, text: str, count: int) -> Sequence[int]:
        """The numbers of at most `count` documents, the most likely first."""


class BM25Retriever:
    """BM25 over documents (Lucene's variant, k1 = 1.5, b = 0.75, as bm25s has it).

    Documents with equal scores are in their own order, so that results do not depend on the machine.

    Args:
        documents: texts; stop_words: words that neither documents nor queries count.

    Raises:
        CorpusError: there is no document.
    """

    def __init__(self, documents: Sequence[str], stop_words: Collection[str] = STOP_WORDS) -> None:
        if not documents:
            raise CorpusError("There are no documents to compare with (given: 0 texts); name the training file.")
        import bm25s

        self._stop_words = frozenset(stop_words)
        tokens = [self._tokens(document) for document in documents]
        # documents without a single word have no mean length
        self._index = bm25s.BM25() if any(tokens) else None
        if self._index is not None:
            self._index.index(tokens, show_progress=False)

    def _tokens(self, text: str) -> list[str]:
        # interned, so that a word that many documents have is in memory once
        return [intern(word) for word in find_words(text).texts if word not in self._stop_words]

    def top(self, text: str, count: int) -> list[int]:
        """The `count` best documents of those that share a word with `text` that is no stop word."""
        tokens = self._tokens(text)
        if self._index is None or not tokens:
            return []
        scores = self._index.get_scores(tokens)
        best = np.arange(len(scores))
        if count < len(scores):  # all that reach the score of the last one wanted, ties included
            best = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
        best = best[scores[best] > 0]
        return best[np.lexsort((best, -scores[best]))][:count].tolist()
