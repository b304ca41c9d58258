"""The unweighted mean of shares counted in separate groups."""

import numpy as np
from numpy.typing import ArrayLike

from mematlas.stats.estimates.intervals import Share, wilson_bounds


def mean_of_shares(hits: ArrayLike, counts: ArrayLike) -> Share:
    """Mean over groups of hits / count, with a 95 % interval from the groups' Wilson intervals.

    The distances from each share to the bounds of its interval are added in squares (Newcombe 1998, method 10; for
    linear functions of shares Zou, Huang and Zhang 2009): unlike a normal interval, it is valid for shares of 0 and 1.
    Empty groups are left out; the result is None if all are empty. count: rows in all groups.

    Args:
        hits, counts: shape (groups,).

    Raises:
        ValueError: some hits are not between 0 and count.
    """
    hits, counts = np.ravel(hits), np.ravel(counts)
    share, lower, upper = (values[counts > 0] for values in wilson_bounds(hits, counts))
    interval = "95 %, from the groups' Wilson intervals"
    if not len(share):
        return Share(None, None, None, 0, interval)
    below, above = (float(np.sqrt(((share - bounds) ** 2).sum())) / len(share) for bounds in (lower, upper))
    mean = float(share.mean())
    return Share(mean, max(0.0, mean - below), min(1.0, mean + above), int(counts.sum()), interval)
