"""Finding given n-grams in a segment of tokens, compiled: a rolling key, a hash table and exact verification.

The key of an n-gram is the concatenated bits of its tokens if they fit into 64 bits, which is exact; otherwise it is a
polynomial hash modulo 2^64, and then every hit is compared token by token. Either way, moving on by one token takes
constant time, whatever n is. The table takes at most 24 bytes per n-gram, beside the n-grams themselves.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mematlas.index.compiled.compiler import compiled
from mematlas.types import Ids

_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads keys over slots (Knuth)
_BASE: Final = np.uint64(0xD1342543DE82EF95)  # a multiplier of good spectral quality (Steele, Vigna 2021)
_FILTER_BITS: Final = 8  # per slot; rules out most absent n-grams by one look-up in an array that fits the cache


class Table(NamedTuple):
    """The hash table of n-grams, as the compiled loops read it.

    ngrams: [t, n] distinct; keys: [t]; slots: number of the n-gram in each slot, or -1; filter: one bit per possible
    key; bits: bits per token in a packed key, 0 where keys are hashes; shift: from a spread key to its slot; oldest:
    removes the oldest of n + 1 tokens from a key (a mask, or its weight); highest: the largest token of any n-gram.
    """

    ngrams: NDArray[np.uint32]
    keys: NDArray[np.uint64]
    slots: NDArray[np.int32]
    filter: NDArray[np.uint8]
    bits: np.uint64
    shift: np.uint64
    oldest: np.uint64
    highest: np.uint32


def insert(ngrams: NDArray[np.uint32]) -> tuple[Table, Ids]:
    """The table of distinct n-grams, and the number of each n-gram [q] in it."""
    queries, n = ngrams.shape
    highest = int(ngrams.max())
    bits = highest.bit_length() or 1
    bits = bits if bits * n <= 64 else 0
    slot_bits = max(4, (2 * queries - 1).bit_length())
    table = Table(
        np.ascontiguousarray(ngrams),
        np.empty(queries, np.uint64),
        np.full(1 << slot_bits, -1, np.int32),
        np.zeros((_FILTER_BITS << slot_bits) >> 3, np.uint8),
        np.uint64(bits),
        np.uint64(64 - slot_bits),
        np.uint64((1 << (n * bits)) - 1 if bits else pow(int(_BASE), n, 1 << 64)),
        np.uint32(highest),
    )
    first, numbers = np.empty(queries, np.int64), np.empty(queries, np.int64)
    distinct = _insert_all(table, first, numbers)
    if distinct < queries:
        table = table._replace(ngrams=table.ngrams[first[:distinct]], keys=table.keys[:distinct].copy())
    return table, numbers


@compiled
def _push(key, token, table):  # type: ignore[no-untyped-def]
    """The key with one more token appended."""
    if table.bits:
        return ((key << table.bits) | np.uint64(token)) & table.oldest
    return key * _BASE + np.uint64(token) + np.uint64(1)


@compiled
def _tokens_equal(table, ngram, tokens, start):  # type: ignore[no-untyped-def]
    for offset in range(table.ngrams.shape[1]):  # noqa: SIM110  a generator does not compile
        if table.ngrams[ngram, offset] != tokens[start + offset]:
            return False
    return True


@compiled
def _find_ngram(key, tokens, start, table):  # type: ignore[no-untyped-def]
    """The number of the n-gram with this key and, where keys are hashes, with these tokens; -1 for none."""
    slot = np.int64((key * _SPREAD) >> table.shift)
    while table.slots[slot] >= 0:
        ngram = table.slots[slot]
        if table.keys[ngram] == key and (table.bits or _tokens_equal(table, ngram, tokens, start)):
            return np.int64(ngram)
        slot = (slot + 1) & (len(table.slots) - 1)
    return -1


@compiled
def _may_contain(key, table):  # type: ignore[no-untyped-def]
    bit = (key * _SPREAD) >> (table.shift - np.uint64(3))
    return (table.filter[bit >> np.uint64(3)] >> (bit & np.uint64(7))) & 1


@compiled
def _insert_all(table, first, inverse):  # type: ignore[no-untyped-def]
    """Insert all n-grams; returns how many are distinct, and fills `first` (a query of each) and `inverse`."""
    count = 0
    for query in range(len(table.ngrams)):
        tokens = table.ngrams[query]
        key = np.uint64(0)
        for token in tokens:
            key = _push(key, token, table)
        slot = np.int64((key * _SPREAD) >> table.shift)
        while table.slots[slot] >= 0:
            existing = table.slots[slot]
            if table.keys[existing] == key and (table.bits or _tokens_equal(table, first[existing], tokens, 0)):
                break
            slot = (slot + 1) & (len(table.slots) - 1)
        if table.slots[slot] < 0:
            table.slots[slot], table.keys[count], first[count] = count, key, query
            bit = (key * _SPREAD) >> (table.shift - np.uint64(3))
            table.filter[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))
            count += 1
        inverse[query] = table.slots[slot]
    return count


# both loops below contain the same lines to roll the key: moved to a function, they are two to three times slower


@compiled
def count(tokens, own_length, rows, documents, table, totals):  # type: ignore[no-untyped-def]
    n = table.ngrams.shape[1]
    key, run_length, row, document = np.uint64(0), 0, 0, 0
    for end in range(min(len(tokens), own_length + n - 1)):
        token = tokens[end]
        if token > table.highest:
            key, run_length = np.uint64(0), 0
            continue
        key = _push(key, token, table)
        run_length += 1
        if run_length > n and not table.bits:
            key -= (np.uint64(tokens[end - n]) + np.uint64(1)) * table.oldest
        if run_length < n or not _may_contain(key, table):
            continue
        start = end - n + 1
        ngram = _find_ngram(key, tokens, start, table)
        if ngram < 0:
            continue
        while row < len(rows) and rows[row] <= start:
            row += 1
        while document < len(documents) and documents[document] <= start:
            document += 1
        totals[0, ngram] += row == len(rows) or rows[row] > end
        totals[1, ngram] += document == len(documents) or documents[document] > end
        totals[2, ngram] += 1


@compiled
def match(tokens, own_length, table, matches):  # type: ignore[no-untyped-def]
    n = table.ngrams.shape[1]
    key, run_length = np.uint64(0), 0
    for end in range(min(len(tokens), own_length + n - 1)):
        token = tokens[end]
        if token > table.highest:
            key, run_length = np.uint64(0), 0
            continue
        key = _push(key, token, table)
        run_length += 1
        if run_length > n and not table.bits:
            key -= (np.uint64(tokens[end - n]) + np.uint64(1)) * table.oldest
        if run_length >= n and _may_contain(key, table):
            matches[end - n + 1] = _find_ngram(key, tokens, end - n + 1, table)
