"""Searching and checking the sorted suffixes of a shard, compiled; see `suffix_arrays` for tables and pointers."""

import numpy as np

from mematlas.index.compiled.compiler import compiled


@compiled
def _pointer(table, entry, unit):  # type: ignore[no-untyped-def]
    if table.ndim == 1:
        return np.int64(table[entry]) // unit
    value = np.int64(0)
    for byte in range(table.shape[1] - 1, -1, -1):
        value = (value << 8) | np.int64(table[entry, byte])
    return value // unit


@compiled
def _swap_bytes(token, size):  # type: ignore[no-untyped-def]
    """The token with its bytes reversed; size: of a token in bytes, 0 to leave it unchanged."""
    token = np.uint32(token)
    if size == 2:
        return ((token >> 8) | (token << 8)) & np.uint32(0xFFFF)
    if size == 4:
        token = ((token >> 8) & np.uint32(0x00FF00FF)) | ((token & np.uint32(0x00FF00FF)) << 8)
        return (token >> 16) | (token << 16)
    return token


@compiled
def _compare(tokens, position, ngram, swap_size):  # type: ignore[no-untyped-def]
    """-1, 0 or 1: the suffix at `position` sorts before the n-gram, begins with it, or sorts after it."""
    for index in range(len(ngram)):
        if position + index >= len(tokens):
            return -1
        token, expected = _swap_bytes(tokens[position + index], swap_size), _swap_bytes(ngram[index], swap_size)
        if token != expected:
            return -1 if token < expected else 1
    return 0


@compiled
def _search(tokens, table, unit, swap_size, ngram, low, above):  # type: ignore[no-untyped-def]
    """The first entry from `low` on that does not sort before the n-gram (above = 0), or sorts after it (above = 1).

    Galloping search from `low`: intervals are short, and sorted queries are close to each other.
    """
    step, high = 1, low
    while high < len(table) and _compare(tokens, _pointer(table, high, unit), ngram, swap_size) < above:
        low, high, step = high + 1, high + step, 2 * step
    high = min(high, len(table))
    while low < high:
        middle = (low + high) // 2
        if _compare(tokens, _pointer(table, middle, unit), ngram, swap_size) < above:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def intervals(tokens, table, unit, by_bytes, ngrams, found):  # type: ignore[no-untyped-def]
    swap_size = tokens.itemsize if by_bytes else 0
    low = 0
    for query in range(len(ngrams)):
        if low > 0 and _compare(tokens, _pointer(table, low - 1, unit), ngrams[query], swap_size) >= 0:
            low = 0  # this query sorts before the previous one
        low = _search(tokens, table, unit, swap_size, ngrams[query], low, 0)
        found[0, query] = low
        found[1, query] = _search(tokens, table, unit, swap_size, ngrams[query], low, 1)


@compiled
def count_inside(table, unit, start, intervals, starts, n, counts):  # type: ignore[no-untyped-def]
    for query in range(intervals.shape[1]):
        for entry in range(intervals[0, query], intervals[1, query]):
            position = _pointer(table, entry, unit) + start
            following = np.searchsorted(starts, position, side="right")
            counts[query] += following == len(starts) or starts[following] >= position + n


@compiled
def first_unsorted(tokens, table, unit, by_bytes):  # type: ignore[no-untyped-def]
    swap_size = tokens.itemsize if by_bytes else 0
    for entry in range(len(table)):
        position = _pointer(table, entry, unit)
        if not 0 <= position < len(tokens):
            return entry
        if entry == 0:
            continue
        first, second = _pointer(table, entry - 1, unit), position
        while first < len(tokens) and second < len(tokens) and tokens[first] == tokens[second]:
            first, second = first + 1, second + 1
        if second >= len(tokens) or (
            first < len(tokens) and _swap_bytes(tokens[first], swap_size) > _swap_bytes(tokens[second], swap_size)
        ):
            return entry
    return -1
