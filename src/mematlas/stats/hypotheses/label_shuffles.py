"""Labels of rows shuffled at random: what labels that tell nothing would give, for negative controls and null values.

Rows of a cluster (documents, or copies of one text) are not independent, and labels shuffled row by row would lose the
runs that they have within clusters: numbers from such labels vary too little. So labels move in whole clusters: each
cluster takes the labels of another one, row by row in their order, cut to its own number of rows or begun again at the
first. Our choice. Clusters of equal size exchange their labels, as rows do that are each a cluster of their own; where
sizes differ, the number of rows with a label differs from shuffle to shuffle. Laying the labels over all rows in a new
order of the clusters would keep it, but break the runs: a test at 5 % then rejects true null hypotheses in 16 % of
samples with clusters of geometric sizes, and this one in 3 to 4 % (tests/stats/hypotheses/test_label_shuffles.py).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.clustered import dense_labels

SHUFFLES: Final = 200  # our choice: of a negative control
_ENDS: Final = (0.025, 0.975)
Floats = NDArray[np.float64]


def label_shuffles(
    count: int, clusters: ArrayLike | None, shuffles: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """For each shuffle the row whose label each row takes, shape (count,); `labels[sources]` are the shuffled labels.

    Args:
        count: rows. clusters: shape (count,), any numbers; rows of one number are not independent. None: all rows are.

    Raises:
        ValueError: there are not `count` clusters.
    """
    numbers = dense_labels(clusters, count)
    if numbers is None:
        for _ in range(shuffles):
            yield generator.permutation(count)
        return
    order, sizes = np.argsort(numbers, kind="stable"), np.bincount(numbers)
    starts = np.cumsum(sizes) - sizes
    places = np.arange(count) - np.repeat(starts, sizes)
    for _ in range(shuffles):
        taken = generator.permutation(len(sizes))
        sources = np.empty(count, np.int64)
        sources[order] = order[np.repeat(starts[taken], sizes) + places % np.repeat(sizes[taken], sizes)]
        yield sources


def mean_and_middle(values: ArrayLike, scale: float = 1.0) -> tuple[Floats, Floats, Floats]:
    """Mean and both ends of the middle 95 % of each column; the mean is always within. Each of shape (columns,).

    Args:
        values: shape (shuffles, columns); NaN where a shuffle gives no number. A column without any number has NaN, and
            one whose shuffles all give the same no ends.
        scale: factor of the distance of the ends from the mean.
    """
    values = np.asarray(values, dtype=np.float64)
    result, known = np.full((3, values.shape[1]), np.nan), ~np.isnan(values)
    complete = known.all(0)
    some_missing = np.flatnonzero(known.any(0) & ~complete)
    for columns in (np.flatnonzero(complete), *some_missing[:, None]):  # those that lack nothing all at once
        if len(columns):
            result[:, columns] = _mean_and_middle(values[np.ix_(known[:, columns[0]], columns)], scale)
    return result[0], result[1], result[2]


def _mean_and_middle(values: Floats, scale: float) -> Floats:
    """[3, columns]: see `mean_and_middle`; values: none missing."""
    columns = np.ascontiguousarray(values.T)
    mean = columns.mean(1)
    lower, upper = scale * (np.quantile(columns, _ENDS, axis=1) - mean)
    # the mean of a few rows with one far above all others may be outside of the middle 95 %
    ends = mean + np.minimum(lower, 0), mean + np.maximum(upper, 0)
    varies = np.ptp(columns, axis=1) > 1e-12 * np.abs(columns).max(1)
    return np.stack([mean, *(np.where(varies, end, np.nan) for end in ends)])
