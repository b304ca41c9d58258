"""Means and medians of many columns at once, each with a 95 % interval.

Rows may come in clusters (documents, or copies of one text) and are then not independent. The variance of a mean is
that of a ratio of cluster totals, by linearization, with the factor m / (m - 1) for m clusters; with one row per
cluster it is the ordinary one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom
from scipy.stats import t as student_t

from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares, dense_labels, sum_by_label

#: Values below which the mean of raw corpus counts has no interval (our choice). A few n-grams make up most of the
#: mean: Student's interval of log-normal counts of sigma 2 covers .77, .82, .85, .89, .91 and .93 of samples of 200,
#: 400, 1,000, 4,000, 10,000 and 40,000 rows. Medians and geometric means have one.
FEWEST_COUNTS: Final = 40_000
#: With fewer clusters not even the smallest and the largest value bound the median in 95 %.
_FEWEST_FOR_MEDIAN: Final = 6

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnEstimates:
    """One estimate per column, in the unit of the values; NaN where there is none. All of shape (columns,).

    count: values that are not missing; clusters: clusters that have one, as many as values where these are independent;
    design_effect: the variance over that of so many independent values, 1 where they are; interval: the kind of 95 %
    interval.
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    count: Ids
    clusters: Ids
    design_effect: Floats
    interval: str


def means(values: ArrayLike, *, fewest: int | ArrayLike = 2, clusters: ArrayLike | None = None) -> ColumnEstimates:
    """The mean of each column with Student's t interval at n - 1 degrees of freedom; with clusters at m - 1.

    There is no interval for one value or cluster, or for equal values, which show no variation to estimate an error
    from. For few values of a heavy-tailed distribution the interval is too narrow: raw corpus counts need
    FEWEST_COUNTS.

    Args:
        values: shape (rows, columns); NaN means not measured; such values are left out.
        fewest: values, or clusters, below which a column has no interval, of all columns or of each, shape (columns,).
        clusters: shape (rows,), any numbers; rows of one number are not independent. None: all rows are.

    Raises:
        ValueError: there are not two dimensions, or the shapes do not fit.
    """
    values = _validated(values)
    labels = dense_labels(clusters, len(values))
    count = len(values) - np.isnan(values).sum(0)
    if labels is None:
        mean, error = _means_and_errors(values, count)
        present, design_effect = count, np.where(count > 0, 1.0, np.nan)
    else:
        mean, error, present, design_effect = _clustered_means_and_errors(values, labels, count)
    half_width = student_t.ppf(0.975, np.maximum(present - 1, 1)) * np.where(error > 0, error, np.nan)
    half_width = np.where(present >= np.asarray(fewest), half_width, np.nan)
    interval = "Student's t 95 %" if labels is None else "Student's t 95 %, clustered"
    return ColumnEstimates(mean, mean - half_width, mean + half_width, count, present, design_effect, interval)


def _means_and_errors(values: Floats, count: Ids) -> tuple[Floats, Floats]:
    """Mean and standard error of each column over its known values."""
    complete = count == len(values)
    mean, standard_error = np.full((2, values.shape[1]), np.nan)
    if len(values):
        mean[complete], standard_error[complete] = _mean_and_error(
            values[:, complete] if not complete.all() else values
        )
    for column in np.flatnonzero(~complete & (count > 0)):
        mean[[column]], standard_error[[column]] = _mean_and_error(values[~np.isnan(values[:, column]), column, None])
    return mean, standard_error


def _mean_and_error(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard error of each column; the error is 0 for one value, or values that are all the same."""
    # relative to the first value, so that equal values give exactly 0
    deviations = values - values[0]
    mean = deviations.mean(0)
    deviations -= mean
    degrees_of_freedom = max(1, len(values) - 1)
    return values[0] + mean, np.sqrt(np.einsum("ij,ij->j", deviations, deviations) / degrees_of_freedom / len(values))


def _clustered_means_and_errors(values: Floats, labels: Ids, count: Ids) -> tuple[Floats, Floats, Ids, Floats]:
    """Mean, standard error over clusters, clusters that have a value and design effect of each column.

    The error is 0 for one cluster, and where no cluster's mean differs from the others'.
    """
    known = ~np.isnan(values)
    # relative to the smallest value, so that equal values give exactly 0
    origin = np.where(known, values, np.inf).min(0, initial=np.inf)
    deviations = np.where(known, values - origin, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = deviations.sum(0) / count
        residuals = np.where(known, deviations - mean, 0.0)
        totals = sum_by_label(labels, residuals)
        clusters = (sum_by_label(labels, known.astype(np.float64)) > 0).sum(0).astype(np.int64)
        squared = np.einsum("ij,ij->j", totals, totals)
        squared = np.where(squared > 1e-24 * np.square(deviations).max(0, initial=0) * count, squared, 0.0)
        variance = clusters / (clusters - 1) * squared / count**2
        independent = np.einsum("ij,ij->j", residuals, residuals) / (count - 1) / count
        several = clusters > 1
        design_effect = np.where(several & (independent > 0), variance / independent, np.nan)
        return origin + mean, np.where(several, np.sqrt(variance), 0.0), clusters, design_effect


def medians(values: ArrayLike, clusters: ArrayLike | None = None) -> ColumnEstimates:
    """The median of each column with an interval between two order statistics.

    Source: David and Nagaraja (2003), Order Statistics, section 7.1: the values of rank k and n + 1 - k, where k is the
    2.5 % quantile of the binomial number of values below the median. The coverage is at least 95 % for every
    distribution. There is no interval for fewer than six values. With clusters the ranks are those of the clustered
    interval of a share of one half (Woodruff 1952), and there is none for fewer than six clusters.

    Args, Raises: as `means`.
    """
    values = _validated(values)
    labels = dense_labels(clusters, len(values))
    count = (~np.isnan(values)).sum(0)
    estimates: Floats = np.full((3, values.shape[1]), np.nan)
    present, design_effect = count.copy(), np.where(count > 0, 1.0, np.nan)
    for n in np.unique(count[count > 0]):
        columns = np.flatnonzero(count == n)
        rank = int(binom.ppf(0.025, n, 0.5)) if labels is None else 0
        positions = {(n - 1) // 2, n // 2} | ({rank - 1, n - rank} if rank else set())
        # NaN sorts last, so the first n are the measured values
        partitioned = np.partition(values[:, columns], sorted(positions), axis=0)
        estimates[0, columns] = (partitioned[(n - 1) // 2] + partitioned[n // 2]) / 2
        if rank:
            estimates[1, columns], estimates[2, columns] = partitioned[rank - 1], partitioned[n - rank]
    if labels is not None:
        for column in np.flatnonzero(count > 0):
            known = ~np.isnan(values[:, column])
            numbers = _clustered_median_bounds(values[known, column], labels[known])
            estimates[1, column], estimates[2, column], present[column], design_effect[column] = numbers
    interval = "order statistics 95 %" if labels is None else "order statistics 95 %, clustered"
    return ColumnEstimates(estimates[0], estimates[1], estimates[2], count, present, design_effect, interval)


def _clustered_median_bounds(values: Floats, labels: Ids) -> tuple[float, float, int, float]:
    """The two order statistics that bound the median of `values`, the clusters and the design effect.

    Values equal to the median count as half below it.
    """
    labels = np.unique(labels, return_inverse=True)[1]
    sizes, median = np.bincount(labels), np.median(values)
    below = np.bincount(labels, (values < median) + (values == median) / 2)
    share = clustered_shares(cluster_sums(below, sizes))
    if len(sizes) < _FEWEST_FOR_MEDIAN:
        return np.nan, np.nan, len(sizes), float(share.design_effect[0])
    half_width = float(share.upper[0] - share.lower[0]) / 2
    rank = max(0, int(np.floor(len(values) * (0.5 - half_width))))
    ordered = np.partition(values, [rank, len(values) - 1 - rank])
    return ordered[rank], ordered[len(values) - 1 - rank], len(sizes), float(share.design_effect[0])


def _validated(values: ArrayLike) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"values must be of shape (rows, columns), not {values.shape}")
    return values
