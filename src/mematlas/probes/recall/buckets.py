"""Buckets of items by popularity: those of P5, and of equal size.

Faithful: the different values of popularity, sorted, are cut into 50 groups of as many values; each item belongs to the
bucket of its value. As most items share few low values, the first buckets are huge and the last ones tiny. The authors'
code loses the first value of each bucket but the first; here none is lost.

Equal: items in the order of popularity are cut into groups of as many items, those of one popularity in random order.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["faithful", "equal"]
SCHEMES: Final[tuple[Scheme, ...]] = ("faithful", "equal")
FAITHFUL: Final = 50
_LARGEST_NUMBER, _SMALLEST = 10, 10  # of equal buckets, and of items in one; our choice

Floats = NDArray[np.float64]


def faithful_buckets(popularity: Floats, groups: int = FAITHFUL) -> NDArray[np.int64]:
    """The bucket of each item, from 0; popularity: [items]. There are no more buckets than values."""
    values = np.unique(popularity)
    sizes = [len(part) for part in np.array_split(values, min(groups, max(1, len(values))))]
    return np.repeat(np.arange(len(sizes)), sizes)[np.searchsorted(values, popularity)]


def equal_buckets(popularity: Floats, seed: int, groups: int | None = None) -> NDArray[np.int64]:
    """The bucket of each item, from 0; popularity: [items]. By default ten, or fewer with at least ten items each."""
    count = len(popularity)
    groups = min(_LARGEST_NUMBER, max(1, count // _SMALLEST)) if groups is None else groups
    order = np.lexsort([np.random.default_rng([seed, 5]).random(count), popularity])
    buckets = np.empty(count, np.int64)
    for number, part in enumerate(np.array_split(order, groups)):
        buckets[part] = number
    return buckets


def prediction_invariance(distinct: int, repeats: int) -> float:
    """PI = 1 - (distinct - 1)/(R - 1): 1 if all R answers are the same, 0 if all differ (P5).

    Raises:
        ValueError: R is below 2, or there are not 1 to R distinct answers.
    """
    if repeats < 2 or not 1 <= distinct <= repeats:
        raise ValueError(f"1 to R distinct answers of at least R = 2, not {distinct} of {repeats}")
    return 1 - (distinct - 1) / (repeats - 1)
