"""Finding given n-grams in a segment of tokens."""

import numpy as np
from numpy.typing import NDArray

from mematlas.index import loops
from mematlas.types import Ids

Tokens = NDArray[np.uint32]


class NGramMatcher:
    """Finds the distinct n-grams of one length in segments of tokens; may be used from several threads.

    inverse: [q], the number of the distinct n-gram that each query is (as numpy.unique's inverse).
    """

    def __init__(self, ngrams: NDArray[np.uint32]) -> None:
        """ngrams: the queries, [q, n]; equal ones are searched for once."""
        self._table, self.inverse = loops.matching.insert(ngrams)

    def __len__(self) -> int:
        return len(self._table.ngrams)

    @property
    def n(self) -> int:
        return int(self._table.ngrams.shape[1])

    def count(self, tokens: Tokens, own_length: int, rows: Ids, documents: Ids, totals: Ids) -> None:
        """Add to `totals` [3, t] (as SCOPES) how often each n-gram starts at one of the first `own_length` tokens.

        Args:
            rows, documents: where rows and documents start within `tokens`, ascending indices.
        """
        loops.matching.count(tokens, own_length, rows, documents, self._table, totals)

    def match(self, tokens: Tokens, own_length: int) -> NDArray[np.int32]:
        """[own_length]: the number of the n-gram that starts at each token, -1 for none."""
        matches = np.full(own_length, -1, np.int32)
        loops.matching.match(tokens, own_length, self._table, matches)
        return matches
