"""How much a window repeats itself: the number of its distinct n-grams over the number of all its n-grams.

Source: K8, whose formula is not published; distinct-n is the usual ratio (our choice). 1: no n-gram occurs twice; a
window that repeats a single token has 1 / (number of its n-grams).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids

_LARGEST: Final = int(np.iinfo(np.int64).max)


def distinct_ratio(windows: Ids, n: int) -> NDArray[np.float64]:
    """Distinct n-grams / n-grams of each window.

    Args:
        windows: shape (rows, tokens), token ids of any size; not modified.
        n: tokens per n-gram, at least 1.

    Returns:
        shape (rows,), above 0 and at most 1; NaN if the windows are shorter than n.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one token, not {n}")
    rows, tokens = windows.shape
    ngrams = tokens - n + 1
    if ngrams < 1 or not rows:
        return np.full(rows, np.nan)
    vocabulary = int(windows.max()) + 1
    if windows.min() < 0 or vocabulary**n > _LARGEST:
        windows, vocabulary = _renumber(windows)
    codes, code_limit = windows[:, :ngrams], vocabulary
    for offset in range(1, n):
        if code_limit * vocabulary > _LARGEST:
            codes, code_limit = _renumber(codes)
        codes = codes * vocabulary + windows[:, offset : offset + ngrams]
        code_limit *= vocabulary
    ordered = np.sort(codes, axis=1)
    return (1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)) / ngrams


def _renumber(values: Ids) -> tuple[Ids, int]:
    """The values replaced by consecutive numbers from 0, and the number of distinct values."""
    distinct, inverse = np.unique(values, return_inverse=True)
    return inverse.reshape(values.shape).astype(np.int64), len(distinct)
