"""The difference of two shares that were counted in separate groups."""

from dataclasses import dataclass
from math import hypot

from mematlas.stats.estimates.intervals import wilson


@dataclass(frozen=True, slots=True)
class Difference:
    """First share - second share with its 95 % interval; None where a group is empty. counts: rows of each group."""

    estimate: float | None
    lower: float | None
    upper: float | None
    counts: tuple[int, int]
    interval: str = "Newcombe 95 %"


def difference_of_shares(first: tuple[int, int], second: tuple[int, int]) -> Difference:
    """The difference of two independent shares, with Newcombe's score interval (1998, method 10), which is made from
    the two Wilson intervals and so holds for shares of 0 and 1, too.

    Args:
        first, second: (hits, count) of each group.

    Raises:
        ValueError: hits are not between 0 and count.
    """
    one, other = wilson(*first), wilson(*second)
    ends = (one.estimate, one.lower, one.upper, other.estimate, other.lower, other.upper)
    if None in ends:
        return Difference(None, None, None, (one.count, other.count))
    share, low, high, share2, low2, high2 = (float(end) for end in ends if end is not None)
    difference = share - share2
    lower = difference - hypot(share - low, high2 - share2)
    upper = difference + hypot(high - share, share2 - low2)
    return Difference(difference, lower, upper, (one.count, other.count))
