"""Where known n-grams stand in a stretch of tokens: a rolling key, a hash table, exact verification.

The key of an n-gram is its tokens' bits side by side where they fit into 64, which is exact; a polynomial hash modulo
2^64 where they do not, and then every hit is compared token by token. Either way moving on by one token costs one step,
whatever n is. The table takes 24 bytes an n-gram at most, beside the n-grams themselves.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids

_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads keys over slots (Knuth)
_BASE: Final = np.uint64(0xD1342543DE82EF95)  # a multiplier of good spectral quality (Steele, Vigna 2021)
_FILTER: Final = 8  # filter bits a slot: most absent n-grams are told by one look into an array that fits the cache

Tokens = NDArray[np.uint32]


class _Table(NamedTuple):
    """What the loops need.

    ngrams: [t, n] distinct; keys: [t]; slots: which n-gram, or -1; seen: one bit a possible key; bits: of a token in a
    packed key, 0 where keys are hashes; highest: the largest token of any n-gram; oldest: what takes the oldest of
    n + 1 tokens out of a key (a mask, or its weight).
    """

    ngrams: NDArray[np.uint32]
    keys: NDArray[np.uint64]
    slots: NDArray[np.int32]
    seen: NDArray[np.uint8]
    bits: np.uint64
    shift: np.uint64
    oldest: np.uint64
    highest: np.uint32


class Targets:
    """Distinct n-grams of one length, to be looked for in any number of stretches, from any number of threads.

    members: [q], which of them each of the queries is.
    """

    def __init__(self, ngrams: NDArray[np.uint32]) -> None:
        """ngrams: the queries, [q, n]; equal ones are looked for once."""
        count, n = ngrams.shape
        highest = int(ngrams.max())
        bits = highest.bit_length() or 1
        bits = bits if bits * n <= 64 else 0
        slot_bits = max(4, (2 * count - 1).bit_length())
        table = _Table(
            np.ascontiguousarray(ngrams),
            np.empty(count, np.uint64),
            np.full(1 << slot_bits, -1, np.int32),
            np.zeros((_FILTER << slot_bits) >> 3, np.uint8),
            np.uint64(bits),
            np.uint64(64 - slot_bits),
            np.uint64((1 << (n * bits)) - 1 if bits else pow(int(_BASE), n, 1 << 64)),
            np.uint32(highest),
        )
        chosen, self.members = np.empty(count, np.int64), np.empty(count, np.int64)
        distinct = _fill(table, chosen, self.members)
        if distinct < count:
            table = table._replace(ngrams=table.ngrams[chosen[:distinct]], keys=table.keys[:distinct].copy())
        self._table = table

    def __len__(self) -> int:
        return len(self._table.ngrams)

    @property
    def n(self) -> int:
        return int(self._table.ngrams.shape[1])

    def count(self, tokens: Tokens, own: int, rows: Ids, documents: Ids, into: Ids) -> None:
        """Add to `into` [3, t] (as SCOPES) how often each n-gram starts at one of the first `own` tokens.

        Args:
            rows, documents: where rows and documents start within `tokens`, ascending indices.
        """
        _count(tokens, own, rows, documents, self._table, into)

    def match(self, tokens: Tokens, own: int) -> NDArray[np.int32]:
        """[own]: which n-gram starts at each token, -1 for none."""
        found = np.full(own, -1, np.int32)
        _match(tokens, own, self._table, found)
        return found


def _compiled(function: Any) -> Any:
    return numba.njit(function, nogil=True, cache=True)


@_compiled
def _push(key, token, table):  # type: ignore[no-untyped-def]
    """The key with one more token at its end."""
    if table.bits:
        return ((key << table.bits) | np.uint64(token)) & table.oldest
    return key * _BASE + np.uint64(token) + np.uint64(1)


@_compiled
def _same(table, target, tokens, start):  # type: ignore[no-untyped-def]
    for place in range(table.ngrams.shape[1]):  # noqa: SIM110  a generator does not compile
        if table.ngrams[target, place] != tokens[start + place]:
            return False
    return True


@_compiled
def _find(key, tokens, start, table):  # type: ignore[no-untyped-def]
    """The n-gram with this key and, where keys are hashes, these tokens; -1 for none."""
    slot = np.int64((key * _SPREAD) >> table.shift)
    while table.slots[slot] >= 0:
        target = table.slots[slot]
        if table.keys[target] == key and (table.bits or _same(table, target, tokens, start)):
            return np.int64(target)
        slot = (slot + 1) & (len(table.slots) - 1)
    return -1


@_compiled
def _may_be_there(key, table):  # type: ignore[no-untyped-def]
    bit = (key * _SPREAD) >> (table.shift - np.uint64(3))
    return (table.seen[bit >> np.uint64(3)] >> (bit & np.uint64(7))) & 1


@_compiled
def _fill(table, chosen, members):  # type: ignore[no-untyped-def]
    """Enter all n-grams; returns how many are distinct, `chosen` tells which, `members` which each is."""
    count = 0
    for query in range(len(table.ngrams)):
        tokens = table.ngrams[query]
        key = np.uint64(0)
        for token in tokens:
            key = _push(key, token, table)
        slot = np.int64((key * _SPREAD) >> table.shift)
        while table.slots[slot] >= 0:
            known = table.slots[slot]
            if table.keys[known] == key and (table.bits or _same(table, chosen[known], tokens, 0)):
                break
            slot = (slot + 1) & (len(table.slots) - 1)
        if table.slots[slot] < 0:
            table.slots[slot], table.keys[count], chosen[count] = count, key, query
            bit = (key * _SPREAD) >> (table.shift - np.uint64(3))
            table.seen[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))
            count += 1
        members[query] = table.slots[slot]
    return count


# both loops below roll the key in the same lines: as a function of their own these make them two to three times slower


@_compiled
def _count(tokens, own, rows, documents, table, into):  # type: ignore[no-untyped-def]
    n = table.ngrams.shape[1]
    key, run, row, document = np.uint64(0), 0, 0, 0
    for end in range(min(len(tokens), own + n - 1)):
        token = tokens[end]
        if token > table.highest:
            key, run = np.uint64(0), 0
            continue
        key = _push(key, token, table)
        run += 1
        if run > n and not table.bits:
            key -= (np.uint64(tokens[end - n]) + np.uint64(1)) * table.oldest
        if run < n or not _may_be_there(key, table):
            continue
        start = end - n + 1
        target = _find(key, tokens, start, table)
        if target < 0:
            continue
        while row < len(rows) and rows[row] <= start:
            row += 1
        while document < len(documents) and documents[document] <= start:
            document += 1
        into[0, target] += row == len(rows) or rows[row] > end
        into[1, target] += document == len(documents) or documents[document] > end
        into[2, target] += 1


@_compiled
def _match(tokens, own, table, found):  # type: ignore[no-untyped-def]
    n = table.ngrams.shape[1]
    key, run = np.uint64(0), 0
    for end in range(min(len(tokens), own + n - 1)):
        token = tokens[end]
        if token > table.highest:
            key, run = np.uint64(0), 0
            continue
        key = _push(key, token, table)
        run += 1
        if run > n and not table.bits:
            key -= (np.uint64(tokens[end - n]) + np.uint64(1)) * table.oldest
        if run >= n and _may_be_there(key, table):
            found[end - n + 1] = _find(key, tokens, end - n + 1, table)
