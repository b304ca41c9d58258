"""The infinity-gram: the probability of a token after the longest suffix of its context that the corpus has.

P(t | context) = count(suffix t) / count(suffix), where suffix is the longest end of the context that occurs at all (Liu
et al. 2024, infini-gram). If no token of it does, the suffix is empty: count(t) / tokens of the corpus.
"""

from dataclasses import dataclass

import numpy as np

from mematlas.index.base import Scope
from mematlas.index.suffix_arrays import SuffixArray
from mematlas.types import Ids


@dataclass(frozen=True, slots=True, eq=False)
class Backoff:
    """For each token: length of the suffix, its occurrences, and those with the token after it; each [tokens]."""

    length: Ids
    context_count: Ids
    count: Ids


def backoff_counts(engine: SuffixArray, tokens: Ids, start: int, scope: Scope = "documents") -> Backoff:
    """Counts for the tokens from `start` on, each after all tokens before it.

    Args:
        tokens: [tokens] of a text, in the ids of the index.

    Raises:
        IndexFault: see Index.
    """
    ids = [int(token) for token in tokens]
    places = np.arange(start, len(ids))
    low = np.zeros(len(places), np.int64)  # a suffix of this length occurs
    high = np.minimum(places, engine.length - 1)  # no longer one can
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_] + 1) // 2
        suffixes = [ids[end - size : end] for end, size in zip(places[open_].tolist(), middle.tolist(), strict=True)]
        found = engine.contains(suffixes, scope)
        low[open_[found]] = middle[found]
        high[open_[~found]] = middle[~found] - 1
    context = np.full(len(places), engine.length, np.int64)
    known = np.flatnonzero(low > 0)
    ends = list(zip(places.tolist(), low.tolist(), strict=True))
    if len(known):
        context[known] = engine.count([ids[end - size : end] for end, size in (ends[i] for i in known)], scope)
    count = engine.count([ids[end - size : end + 1] for end, size in ends], scope) if ends else low
    return Backoff(low, context, count)
