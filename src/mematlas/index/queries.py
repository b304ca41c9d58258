"""A batch of queries without duplicates: grouped by length, searched once each, results handed back to every query."""

import numpy as np

from mematlas.index.base import QueryGroup
from mematlas.index.matching import NGramMatcher
from mematlas.types import Ids


class DistinctQueries:
    """The distinct n-grams of a batch. groups: the queries by length; matchers: the distinct n-grams of each group."""

    def __init__(self, groups: list[QueryGroup]) -> None:
        self.groups, self.matchers = groups, [NGramMatcher(group.ngrams) for group in groups]

    def expand(self, totals: list[Ids]) -> Ids:
        """Results of the distinct n-grams, expanded to all queries.

        Args:
            totals: one array [k, t] per length, with one column per distinct n-gram.

        Returns:
            [k, q], one column per query.
        """
        count = sum(len(group.indices) for group in self.groups)
        expanded = np.zeros((len(totals[0]) if totals else 0, count), np.int64)
        for group, matcher, total in zip(self.groups, self.matchers, totals, strict=True):
            expanded[:, group.indices] = total[:, matcher.inverse]
        return expanded

    def split_by_query(self, hits: list[Ids]) -> list[Ids]:
        """The hits of each query.

        Args:
            hits: one array [k, h] per length, with one column per hit; its first row is the number of the distinct
                n-gram, by which the columns are sorted.

        Returns:
            for each query, the other rows of its columns: [k - 1, hits of the query].
        """
        results: list[Ids] = [np.zeros(0, np.int64)] * sum(len(group.indices) for group in self.groups)
        for group, matcher, columns in zip(self.groups, self.matchers, hits, strict=True):
            bounds = np.searchsorted(columns[0], np.arange(len(matcher) + 1))
            for query, ngram in zip(group.indices.tolist(), matcher.inverse.tolist(), strict=True):
                results[query] = columns[1:, bounds[ngram] : bounds[ngram + 1]]
        return results

    def expand_values(self, values: list[Ids]) -> list[int]:
        """One value per query; values: for each length, one value per distinct n-gram."""
        return self.expand([row[None] for row in values])[0].tolist() if values else []


def sum_by_key(keys: Ids, counts: Ids) -> tuple[Ids, Ids]:
    """The distinct keys, ascending, and the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    return keys[starts], np.add.reduceat(counts[order], starts) if len(starts) else counts[:0]


def pack_pairs(first: Ids, second: Ids) -> Ids:
    """Pairs of numbers below 2^32 as one sortable key each."""
    return (first << 32) | second


def unpack_pairs(keys: Ids) -> Ids:
    """[2, k]: the first and second numbers of the keys of `pack_pairs`."""
    return np.stack([keys >> 32, keys & 0xFFFFFFFF])
