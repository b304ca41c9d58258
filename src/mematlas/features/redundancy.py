"""How much a window repeats itself: its distinct n-grams over all of its n-grams.

Source: K8, whose formula is not published; distinct-n is the usual ratio (our choice). 1: no n-gram comes twice; a
window of one token over and over has 1 / (number of its n-grams).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids

_LARGEST: Final = int(np.iinfo(np.int64).max)


def distinct_ratio(windows: Ids, n: int) -> NDArray[np.float64]:
    """Distinct n-grams / n-grams of each window.

    Args:
        windows: shape (rows, tokens), token ids of any size; read only.
        n: tokens an n-gram, at least 1.

    Returns:
        shape (rows,), above 0 and at most 1; NaN where the windows are shorter than n.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one token, not {n}")
    rows, tokens = windows.shape
    grams = tokens - n + 1
    if grams < 1 or not rows:
        return np.full(rows, np.nan)
    kinds = int(windows.max()) + 1
    if windows.min() < 0 or kinds**n > _LARGEST:
        windows, kinds = _numbered(windows)
    codes, known = windows[:, :grams], kinds
    for place in range(1, n):
        if known * kinds > _LARGEST:
            codes, known = _numbered(codes)
        codes = codes * kinds + windows[:, place : place + grams]
        known *= kinds
    ordered = np.sort(codes, axis=1)
    return (1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)) / grams


def _numbered(values: Ids) -> tuple[Ids, int]:
    """The values as numbers from 0, equal where they are equal, and how many there are."""
    found, places = np.unique(values, return_inverse=True)
    return places.reshape(values.shape).astype(np.int64), len(found)
