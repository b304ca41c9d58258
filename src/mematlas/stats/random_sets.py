"""How much random sets have in common."""

import numpy as np
from scipy.stats import hypergeom


def expected_jaccard(total: int, size: int) -> float:
    """The expected Jaccard index of two independent random sets of `size` out of `total` things; exact.

    What they share is hypergeometric; .2 of the things in each gives about .2 * .2 / (.4 - .04) = .111 for many things
    (K7), and .1135 for 29 of 144.

    Raises:
        ValueError: size is not from 1 to total.
    """
    if not 1 <= size <= total:
        raise ValueError(f"size must be from 1 to {total}, not {size}")
    shared = np.arange(size + 1)
    return float((hypergeom.pmf(shared, total, size, size) * shared / (2 * size - shared)).sum())


def overlap_tails(total: int, size: int, shared: int) -> tuple[float, float]:
    """The probabilities that two independent random sets of `size` out of `total` things share at least, and at most,
    `shared` of them; exact (hypergeometric)."""
    drawn = hypergeom(total, size, size)
    return float(drawn.sf(shared - 1)), float(drawn.cdf(shared))


def jaccard(first: set[object], second: set[object]) -> float:
    """Shared over all members of two sets of which one has some."""
    return len(first & second) / len(first | second)
