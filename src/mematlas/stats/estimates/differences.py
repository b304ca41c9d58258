"""The difference of two shares counted in separate groups."""

from dataclasses import dataclass
from math import hypot

from mematlas.stats.estimates.intervals import wilson


@dataclass(frozen=True, slots=True)
class ShareDifference:
    """First share - second share with its 95 % interval; None where a group is empty. counts: rows of each group."""

    estimate: float | None
    lower: float | None
    upper: float | None
    counts: tuple[int, int]
    interval: str = "Newcombe 95 %"


def difference_of_shares(first: tuple[int, int], second: tuple[int, int]) -> ShareDifference:
    """The difference of two independent shares, with Newcombe's score interval (1998, method 10). It is computed
    from the two Wilson intervals, so it is valid for shares of 0 and 1 too.

    Args:
        first, second: (hits, count) of each group.

    Raises:
        ValueError: hits are not between 0 and count.
    """
    a, b = wilson(*first), wilson(*second)
    counts = a.count, b.count
    bounds = (a.estimate, a.lower, a.upper, b.estimate, b.lower, b.upper)
    if None in bounds:
        return ShareDifference(None, None, None, counts)
    share_a, low_a, high_a, share_b, low_b, high_b = (float(bound) for bound in bounds if bound is not None)
    difference = share_a - share_b
    lower = difference - hypot(share_a - low_a, high_b - share_b)
    upper = difference + hypot(high_a - share_a, share_b - low_b)
    return ShareDifference(difference, lower, upper, counts)
