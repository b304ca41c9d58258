"""Sorting, searching and checking the suffixes of a shard in numpy; see `suffix_arrays` for tables and pointers."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids

_BLOCK: Final = 1 << 20  # entries of a table that are compared together

Entries = Ids | slice


def intervals(
    tokens: NDArray[Any], table: NDArray[Any], unit: int, by_bytes: bool, ngrams: NDArray[np.uint32], found: Ids
) -> None:
    """Write start and stop [2, q] of the entries whose suffixes begin with each n-gram into `found`."""
    wanted = ngrams.astype(tokens.dtype).byteswap() if by_bytes else ngrams

    def search(low: Ids, above: int) -> Ids:
        """The first entries from `low` on that do not sort before the n-gram (0), or sort after it (1)."""
        low, high = low.copy(), np.full(len(ngrams), len(table))
        while len(open_ones := np.flatnonzero(low < high)):
            middle = (low[open_ones] + high[open_ones]) // 2
            order = _compare(tokens, _pointers(table, middle, unit), by_bytes, wanted[open_ones])
            is_before = order < above
            low[open_ones[is_before]] = middle[is_before] + 1
            high[open_ones[~is_before]] = middle[~is_before]
        return low

    found[0] = search(np.zeros(len(ngrams), np.int64), 0)
    found[1] = search(found[0], 1)


def count_inside(table: NDArray[Any], unit: int, start: int, intervals: Ids, starts: Ids, n: int, counts: Ids) -> None:
    """Add to `counts` [q] how many n-grams of each interval have none of `starts` inside them."""
    following = np.append(starts, np.iinfo(np.int64).max)
    for query, (low, high) in enumerate(intervals.T.tolist()):
        for first in range(low, high, _BLOCK):
            positions = _pointers(table, slice(first, min(first + _BLOCK, high)), unit) + start
            next_starts = following[np.searchsorted(starts, positions, side="right")]
            counts[query] += (next_starts >= positions + n).sum()


def first_unsorted(tokens: NDArray[Any], table: NDArray[Any], unit: int, by_bytes: bool) -> int:
    """The first entry that points nowhere, or does not sort after the one before it; -1 if there is none."""
    for first in range(0, len(table), _BLOCK):
        begin = max(0, first - 1)  # the last entry of the block before is compared with the first of this one
        positions = _pointers(table, slice(begin, first + _BLOCK), unit)
        is_wrong = (positions < 0) | (positions >= len(tokens))
        pairs = np.flatnonzero(~is_wrong[1:] & ~is_wrong[:-1])
        is_wrong[pairs[_not_ascending(tokens, positions[pairs], positions[pairs + 1], by_bytes)] + 1] = True
        if is_wrong.any():
            return begin + int(is_wrong.argmax())
    return -1


def sorted_suffixes(tokens: NDArray[Any]) -> Ids:
    """All indices of `tokens`, sorted by the suffixes that begin there, by value (prefix doubling)."""
    ranks, length = np.unique(tokens, return_inverse=True)[1].astype(np.int64), 1
    order = np.argsort(ranks, kind="stable")
    while len(ranks) and ranks[order[-1]] < len(ranks) - 1:  # until no two are equal
        following = np.zeros(len(ranks), np.int64)  # 0: the text ends
        following[:-length] = ranks[length:] + 1
        order = np.lexsort((following, ranks))
        is_new = (np.diff(ranks[order]) != 0) | (np.diff(following[order]) != 0)
        ranks[order] = np.append(0, np.cumsum(is_new))
        length *= 2
    return order


def _pointers(table: NDArray[Any], entries: Entries, unit: int) -> Ids:
    chosen = table[entries]
    if chosen.ndim == 2:
        wide = np.zeros((len(chosen), 8), np.uint8)
        wide[:, : chosen.shape[1]] = chosen
        chosen = wide.view("<i8")[:, 0]
    return chosen.astype(np.int64) // unit


def _values(tokens: NDArray[Any], by_bytes: bool) -> Ids:
    """Numbers that compare as the tokens are sorted."""
    return (tokens.byteswap() if by_bytes else tokens).astype(np.int64)


def _compare(tokens: NDArray[Any], positions: Ids, by_bytes: bool, wanted: NDArray[Any]) -> Ids:
    """[q]: -1, 0 or 1, as the suffix at each position sorts before, begins with or sorts after wanted [q, n]."""
    order = np.zeros(len(positions), np.int64)
    undecided = np.arange(len(positions))
    for index in range(wanted.shape[1]):
        places = positions[undecided] + index
        has_ended = places >= len(tokens)
        values = _values(tokens[np.minimum(places, len(tokens) - 1)], by_bytes)
        order[undecided] = np.where(has_ended, -1, np.sign(values - wanted[undecided, index].astype(np.int64)))
        undecided = undecided[order[undecided] == 0]
        if not len(undecided):
            break
    return order


def _not_ascending(tokens: NDArray[Any], first: Ids, second: Ids, by_bytes: bool) -> NDArray[np.bool_]:
    """[p]: whether the suffix at each first position does not sort before the one at the second."""
    result = np.zeros(len(first), bool)
    undecided = np.arange(len(first))
    while len(undecided):
        result[undecided] = second >= len(tokens)
        inside = (first < len(tokens)) & (second < len(tokens))
        undecided, first, second = undecided[inside], first[inside], second[inside]
        values, others = _values(tokens[first], by_bytes), _values(tokens[second], by_bytes)
        result[undecided] = values > others
        is_equal = values == others
        undecided, first, second = undecided[is_equal], first[is_equal] + 1, second[is_equal] + 1
    return result
