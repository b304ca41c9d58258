"""The mean of shares that were counted in separate groups, each group weighing the same."""

import numpy as np
from numpy.typing import ArrayLike

from mematlas.stats.estimates.intervals import Share, wilson_bounds


def mean_of_shares(hits: ArrayLike, counts: ArrayLike) -> Share:
    """Mean over groups of hits / count, with a 95 % interval from the groups' Wilson intervals.

    The distances from each share to the ends of its interval are squared and added (Newcombe 1998, method 10; for
    linear functions of shares Zou, Huang and Zhang 2009): unlike a normal interval it holds for shares of 0 and 1.
    Groups without rows are left out; None where all are. count: rows in all groups.

    Args:
        hits, counts: shape (groups,).

    Raises:
        ValueError: somewhere hits is not between 0 and count.
    """
    hits, counts = np.ravel(hits), np.ravel(counts)
    share, lower, upper = (values[counts > 0] for values in wilson_bounds(hits, counts))
    name = "95 %, from the groups' Wilson intervals"
    if not len(share):
        return Share(None, None, None, 0, name)
    below, above = (float(np.sqrt(((share - end) ** 2).sum())) / len(share) for end in (lower, upper))
    mean = float(share.mean())
    return Share(mean, max(0.0, mean - below), min(1.0, mean + above), int(counts.sum()), name)
