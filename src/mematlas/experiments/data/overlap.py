"""Finding rows that share a passage of n tokens.

Passages are compared by 64-bit keys: in very rare cases two rows are taken for overlapping although they are not; an
overlap is never missed.
"""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_BASE = np.uint64(0xD1342543DE82EF95)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def ngram_keys(tokens: NDArray[np.integer], n: int) -> Keys:
    """Keys of all n-grams along the last axis: [..., length] gives [..., max(length - n + 1, 0)]."""
    mixed = (tokens.astype(np.uint64) + np.uint64(1)) * _MIX
    mixed ^= mixed >> np.uint64(29)
    windows = max(tokens.shape[-1] - n + 1, 0)
    keys = np.zeros((*tokens.shape[:-1], windows), dtype=np.uint64)
    for offset in range(n):
        keys = keys * _BASE + mixed[..., offset : offset + windows]
    return keys


def has_unique_ngrams(keys: Keys) -> NDArray[np.bool_]:
    """For each row of `keys` [rows, windows]: whether each of its n-grams occurs only once in all rows."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray((counts[inverse.reshape(keys.shape)] == 1).all(axis=1))


def has_no_ngram_in(keys: Keys, others: Keys) -> NDArray[np.bool_]:
    """For each row of `keys` [rows, windows]: whether none of its n-grams is among `others` [any shape]."""
    in_order = np.sort(others, axis=None)  # NumPy's own isin hashes every key, which takes six times as long
    places = np.searchsorted(in_order, keys)
    is_found = places < len(in_order)
    is_found[is_found] = in_order[places[is_found]] == keys[is_found]
    return np.asarray(~is_found.any(axis=1))
