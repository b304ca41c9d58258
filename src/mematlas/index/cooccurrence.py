"""How many documents have two n-grams, wherever they stand in them: posting lists are intersected.

This is not infini-gram's AND, which looks within a window (`max_diff_tokens`) and samples frequent n-grams, nor the
smaller of both single counts. Two n-grams of neighbouring documents do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mematlas.index.base import Index, NGrams, Scope
from mematlas.types import Ids


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """both: [pairs] documents with both n-grams; single: [n-grams] documents with each."""

    both: Ids
    single: Ids


def pair_counts(engine: Index, ngrams: NGrams, pairs: ArrayLike, scope: Scope = "documents") -> PairCounts:
    """Count the documents with each pair of n-grams; posting lists of all n-grams are in memory, 8 bytes an entry.

    Args:
        ngrams: distinct token n-grams; pairs: [pairs, 2] of their numbers.

    Raises:
        IndexFault: see Index.
    """
    lists = engine.documents(ngrams, scope)
    return PairCounts(shared_documents(lists, pairs), np.array([len(documents) for documents in lists], np.int64))


def shared_documents(lists: Sequence[Ids], pairs: ArrayLike) -> Ids:
    """[pairs]: how many numbers two lists have in common.

    Args:
        lists: ascending and distinct; pairs: [pairs, 2] numbers of lists.
    """
    chosen = np.asarray(pairs, np.int64).reshape(-1, 2)
    counts = np.zeros(len(chosen), np.int64)
    for number, (first, second) in enumerate(chosen.tolist()):
        short, long = sorted((lists[first], lists[second]), key=len)
        if len(short):
            places = np.searchsorted(long, short)
            counts[number] = np.count_nonzero(long[np.minimum(places, len(long) - 1)] == short)
    return counts
