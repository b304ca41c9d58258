"""Finding given n-grams in a segment of tokens: hashes of all windows, a binary search, and exact verification.

The hash of a window is a polynomial of its tokens modulo 2^64, made of the hashes of its halves.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mematlas.types import Ids

_BASE: Final = 0xD1342543DE82EF95  # a multiplier of good spectral quality (Steele, Vigna 2021)
_BLOCK: Final = 1 << 22  # tokens of windows that are compared together


class Table(NamedTuple):
    """ngrams: [t, n] distinct, in the order of their keys; keys: [t] ascending hashes, equal where they collide."""

    ngrams: NDArray[np.uint32]
    keys: NDArray[np.uint64]


def insert(ngrams: NDArray[np.uint32]) -> tuple[Table, Ids]:
    """The table of distinct n-grams, and the number of each n-gram [q] in it."""
    n = ngrams.shape[1]
    distinct, numbers = np.unique(ngrams, axis=0, return_inverse=True)
    keys = _keys(distinct.ravel(), n)[::n]
    order = np.argsort(keys, kind="stable")
    return Table(distinct[order], keys[order]), np.argsort(order)[numbers.ravel()]


def match(tokens: NDArray[np.uint32], own_length: int, table: Table, matches: NDArray[np.int32]) -> None:
    """Write the number of the n-gram that starts at each of the first `own_length` tokens into `matches`."""
    n = table.ngrams.shape[1]
    tokens = tokens[: own_length + n - 1]
    if len(tokens) < n:
        return
    keys, windows = _keys(tokens, n), sliding_window_view(tokens, n)
    numbers = np.searchsorted(table.keys, keys)
    starts = np.arange(len(keys))
    while True:
        same_key = numbers < len(table.keys)
        same_key[same_key] = table.keys[numbers[same_key]] == keys[starts[same_key]]
        starts, numbers = starts[same_key], numbers[same_key]
        if not len(starts):
            return
        is_equal = np.empty(len(starts), bool)
        for low in range(0, len(starts), max(1, _BLOCK // n)):
            block = slice(low, low + max(1, _BLOCK // n))
            is_equal[block] = (windows[starts[block]] == table.ngrams[numbers[block]]).all(1)
        matches[starts[is_equal]] = numbers[is_equal]
        starts, numbers = starts[~is_equal], numbers[~is_equal] + 1  # the next n-gram of the same hash


def count(tokens: NDArray[np.uint32], own_length: int, rows: Ids, documents: Ids, table: Table, totals: Ids) -> None:
    """Add to `totals` [3, t] how often each n-gram starts there within a row, within a document, and anywhere."""
    matches = np.full(own_length, -1, np.int32)
    match(tokens, own_length, table, matches)
    starts = np.flatnonzero(matches >= 0)
    numbers, stops = matches[starts], starts + table.ngrams.shape[1]
    for total, boundaries in zip(totals, (rows, documents, np.zeros(0, np.int64)), strict=True):
        following = np.append(boundaries, np.iinfo(np.int64).max)[np.searchsorted(boundaries, starts, side="right")]
        total += np.bincount(numbers[following >= stops], minlength=len(total))


def _keys(tokens: NDArray[np.uint32], n: int) -> NDArray[np.uint64]:
    """[tokens - n + 1]: the hash of every window of n tokens."""
    single = tokens.astype(np.uint64) + np.uint64(1)
    keys, length = single, 1
    for bit in f"{n:b}"[1:]:
        keys = keys[:-length] * np.uint64(pow(_BASE, length, 1 << 64)) + keys[length:]
        length *= 2
        if bit == "1":
            keys = keys[:-1] * np.uint64(_BASE) + single[length:]
            length += 1
    return keys
