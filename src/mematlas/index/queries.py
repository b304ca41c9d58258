"""Queries by length with equal ones once, and what was found for the distinct ones given back to each query."""

import numpy as np

from mematlas.index.base import Group
from mematlas.index.matching import Targets
from mematlas.types import Ids


class DistinctQueries:
    """groups: the queries by length; targets: the distinct n-grams of each group."""

    def __init__(self, groups: list[Group]) -> None:
        self.groups, self.targets = groups, [Targets(group.ngrams) for group in groups]

    def spread(self, totals: list[Ids]) -> Ids:
        """For each query its column of `totals`: [k, t] a length, a column a target -> [k, q]."""
        count = sum(len(group.places) for group in self.groups)
        found = np.zeros((len(totals[0]) if totals else 0, count), np.int64)
        for group, targets, total in zip(self.groups, self.targets, totals, strict=True):
            found[:, group.places] = total[:, targets.members]
        return found

    def answers(self, found: list[Ids]) -> list[Ids]:
        """For each query its part [k - 1, h] of `found`: a [k, h] array a length, sorted by its first line, which says
        which n-gram a column is about."""
        answers: list[Ids] = [np.zeros(0, np.int64)] * sum(len(group.places) for group in self.groups)
        for group, targets, hits in zip(self.groups, self.targets, found, strict=True):
            ends = np.searchsorted(hits[0], np.arange(len(targets) + 1))
            for place, member in zip(group.places.tolist(), targets.members.tolist(), strict=True):
                answers[place] = hits[1:, ends[member] : ends[member + 1]]
        return answers

    def each(self, values: list[Ids]) -> list[int]:
        """For each query its one of `values`, which has one a target of each length."""
        return self.spread([known[None] for known in values])[0].tolist() if values else []


def added_up(keys: Ids, counts: Ids) -> tuple[Ids, Ids]:
    """The distinct keys, ascending, and the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    firsts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    return keys[firsts], np.add.reduceat(counts[order], firsts) if len(firsts) else counts[:0]


def packed(members: Ids, values: Ids) -> Ids:
    """Pairs of an n-gram's number and a value, both below 2^32, as one sortable number each."""
    return (members << 32) | values


def unpacked(keys: Ids) -> Ids:
    """[2, k]: members and values of `packed` keys."""
    return np.stack([keys >> 32, keys & 0xFFFFFFFF])
