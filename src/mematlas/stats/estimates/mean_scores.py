"""Means of scores between 0 and 1 with 95 % intervals that also hold where high scores are rare.

A leak is rare and far above all other scores: a sample that has none by chance shows no variation that resampling or
Student's interval could build on. The mean is therefore split by the rows of score 1 and, among the others, those of
score 0:

    mean = p + (1 - p) r,  r = (1 - q) s

with p the share of rows of score 1, r the mean of the others, q the share of score 0 among these, and s the mean of the
scores between. p and q have Wilson's intervals, s Student's (0 to 1 for fewer than two such rows). The distances of
each part from its bounds, times its weight, are added in squares (MOVER: Newcombe 1998, method 10; Zou, Huang and Zhang
2009); splitting the mean in this way is our choice. A difference of two means is joined in the same way. Wilson's upper
end for no row of score 1 allows for leaks that were not seen, so that the interval of rows without any leak is wider
than it would have to be: it covers 98 to 99.9 %.

Where rows come in clusters, all parts have clustered intervals (`clustered`), and the parts of one document are alike,
which the sum of squares does not allow for. The interval is then the hull of this one and Student's interval of the
mean over clusters.

Coverage is measured in tests/stats/estimates/test_mean_scores.py and benchmarks/interval_coverage.py.
"""

from dataclasses import dataclass
from math import hypot, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson

#: Fewer rows have no interval: it would cover 91 to 93 % where a few rows in a hundred, or one in three, have score 1.
MIN_ROWS: Final = 12
INTERVAL: Final = "Wilson and Student 95 %, joined (MOVER)"


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean with its 95 % interval and sample size; None where there was nothing to count.

    The interval is also None below MIN_ROWS clusters; reason says so. clusters: the rows, where these are independent.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    interval: str = INTERVAL
    reason: str | None = None
    clusters: int = 0


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A mean minus the mean of other, independent rows, with its 95 % interval and both sample sizes.

    The estimate is None if either group is empty, the interval also if either has fewer than MIN_ROWS rows.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    count: int
    other_count: int
    interval: str = INTERVAL
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """A number with its bounds."""

    estimate: float
    lower: float
    upper: float


def mean_score(scores: ArrayLike, counts: ArrayLike) -> MeanEstimate:
    """The mean of a score over independent rows, where `counts[i]` rows have the score `scores[i]`.

    Args:
        scores, counts: shape (k,), in any order; scores between 0 and 1, which may repeat; counts are not negative.

    Raises:
        ValueError: the shapes differ, a score is not between 0 and 1, or a count is negative or not a whole number.
    """
    distinct, totals = _distinct_scores(scores, counts)
    count = int(totals.sum())
    if count == 0:
        return MeanEstimate(None, None, None, 0)
    return _estimate(_mean(distinct, totals), count, count, "rows")


def clustered_mean_score(rows: ArrayLike, ones: ArrayLike, zeros: ArrayLike, total: ArrayLike) -> MeanEstimate:
    """The mean of a score over rows that come in clusters.

    Args:
        rows, ones, zeros, total: of each cluster, shape (clusters,): its rows, those of score 1 and of score 0, and the
            sum of the scores of all.
    """
    sums = _ClusterSums(*(np.asarray(values, np.float64) for values in (rows, ones, zeros, total)))
    count = int(sums.rows.sum())
    if count == 0:
        return MeanEstimate(None, None, None, 0)
    return _estimate(_clustered_mean(sums), count, int((sums.rows > 0).sum()), "documents")


def mean_score_of_rows(scores: ArrayLike, clusters: ArrayLike | None = None) -> MeanEstimate:
    """The mean of a score, with clusters over rows that come in these.

    Args:
        scores: of each row, 0 to 1, shape (rows,).
        clusters: the cluster of each row, any numbers; None: rows are independent.
    """
    values = np.asarray(scores, np.float64)
    distinct = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    if distinct is None or int(distinct.max(initial=-1)) + 1 == len(values):
        return mean_score(*np.unique(values, return_counts=True))
    parts = (np.ones(len(values)), values == 1, values == 0, values)
    return clustered_mean_score(*(np.bincount(distinct, weights=part) for part in parts))


def _estimate(mean: "_Part", count: int, clusters: int, unit: str) -> MeanEstimate:
    """The estimate with its interval, or without one where clusters are too few."""
    if clusters < MIN_ROWS:
        reason = f"an interval needs {MIN_ROWS} {unit}, there are {clusters}"
        return MeanEstimate(mean.estimate, None, None, count, reason=reason, clusters=clusters)
    return MeanEstimate(mean.estimate, mean.lower, mean.upper, count, clusters=clusters)


def mean_score_difference(first: MeanEstimate, other: MeanEstimate) -> MeanDifference:
    """The mean score of some rows minus that of other rows, e.g. training rows minus control rows; of two independent
    groups."""
    sizes = first.count, other.count
    if first.estimate is None or other.estimate is None:
        return MeanDifference(None, None, None, *sizes)
    estimate = first.estimate - other.estimate
    if first.lower is None or first.upper is None or other.lower is None or other.upper is None:
        reason = first.reason or f"the control: {other.reason}"
        return MeanDifference(estimate, None, None, *sizes, reason=reason)
    lower = estimate - hypot(first.estimate - first.lower, other.upper - other.estimate)
    upper = estimate + hypot(first.upper - first.estimate, other.estimate - other.lower)
    return MeanDifference(estimate, lower, upper, *sizes)


def _mean(scores: NDArray[np.float64], counts: NDArray[np.int64]) -> _Part:
    """The mean with its bounds; see the module's docstring."""
    count = int(counts.sum())
    ones, zeros = int(counts[scores == 1].sum()), int(counts[scores == 0].sum())
    between = (scores > 0) & (scores < 1)
    rest = _mixture(_share(zeros, count - ones), 0.0, _student(scores[between], counts[between]))
    mean = _mixture(_share(ones, count), 1.0, rest)
    return _Part(float(scores @ counts / count), max(0.0, mean.lower), min(1.0, mean.upper))


def _mixture(share: _Part, extreme: float, rest: _Part) -> _Part:
    """The mean of rows of which `share` have the score `extreme` (0 or 1) and the others the mean `rest`."""
    weight, distance = 1 - share.estimate, abs(extreme - rest.estimate)
    toward = distance * (share.upper - share.estimate)  # more rows of the extreme score
    away = distance * (share.estimate - share.lower)
    below, above = (away, toward) if extreme == 1 else (toward, away)
    estimate = share.estimate * extreme + weight * rest.estimate
    return _Part(
        estimate,
        estimate - hypot(below, weight * (rest.estimate - rest.lower)),
        estimate + hypot(above, weight * (rest.upper - rest.estimate)),
    )


def _share(hits: int, count: int) -> _Part:
    """A share with Wilson's interval; anything from 0 to 1 for an empty group."""
    share = wilson(hits, count)
    if share.estimate is None or share.lower is None or share.upper is None:
        return _Part(0.0, 0.0, 1.0)
    return _Part(share.estimate, share.lower, share.upper)


def _student(scores: NDArray[np.float64], counts: NDArray[np.int64]) -> _Part:
    """A mean with Student's interval within 0 and 1; anything from 0 to 1 for fewer than two rows."""
    count = int(counts.sum())
    mean = float(scores @ counts / count) if count else 0.5
    if count < 2:
        return _Part(mean, 0.0, 1.0)
    variance = float(counts @ (scores - mean) ** 2) / (count - 1)
    half_width = float(student_t.ppf(0.975, count - 1)) * sqrt(variance / count)
    return _Part(mean, max(0.0, mean - half_width), min(1.0, mean + half_width))


@dataclass(frozen=True, slots=True, eq=False)
class _ClusterSums:
    """Of each cluster [m]: rows, those of score 1 and of score 0, and the sum of all scores."""

    rows: NDArray[np.float64]
    ones: NDArray[np.float64]
    zeros: NDArray[np.float64]
    total: NDArray[np.float64]


def _clustered_mean(sums: _ClusterSums) -> _Part:
    """The mean with its bounds, where rows come in clusters; see the module's docstring."""
    rest = sums.rows - sums.ones
    between = rest - sums.zeros
    inner = _clustered_student(sums.total - sums.ones, between)
    mean = _mixture(
        _clustered_share(sums.ones, sums.rows), 1.0, _mixture(_clustered_share(sums.zeros, rest), 0.0, inner)
    )
    whole = _clustered_student(sums.total, sums.rows)
    lower, upper = min(mean.lower, whole.lower), max(mean.upper, whole.upper)
    return _Part(whole.estimate, max(0.0, lower), min(1.0, upper))


def _clustered_share(hits: NDArray[np.float64], rows: NDArray[np.float64]) -> _Part:
    if not rows.sum():
        return _Part(0.0, 0.0, 1.0)
    share = clustered_shares(cluster_sums(hits, rows))
    lower, upper = (bound if np.isfinite(bound) else end for bound, end in ((share.lower[0], 0), (share.upper[0], 1)))
    return _Part(float(share.estimate[0]), float(lower), float(upper))


def _clustered_student(totals: NDArray[np.float64], rows: NDArray[np.float64]) -> _Part:
    """The mean of rows with Student's interval over clusters within 0 and 1; anything for fewer than two clusters."""
    totals, rows = totals[rows > 0], rows[rows > 0]
    clusters = len(rows)
    mean = float(totals.sum() / rows.sum()) if clusters else 0.5
    if clusters < 2:
        return _Part(mean, 0.0, 1.0)
    variance = clusters / (clusters - 1) * float(((totals - mean * rows) ** 2).sum()) / float(rows.sum()) ** 2
    half_width = float(student_t.ppf(0.975, clusters - 1)) * sqrt(variance)
    return _Part(mean, max(0.0, mean - half_width), min(1.0, mean + half_width))


def _distinct_scores(scores: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distinct scores that have rows, ascending, and their counts."""
    distinct, totals = np.asarray(scores, dtype=np.float64), np.asarray(counts)
    if distinct.shape != totals.shape or distinct.ndim != 1:
        raise ValueError(f"scores and counts must have the same shape (k,), not {distinct.shape} and {totals.shape}")
    if (totals < 0).any() or (totals != np.floor(totals)).any():
        raise ValueError("counts must be whole numbers, 0 or above")
    if not ((distinct >= 0) & (distinct <= 1)).all():
        raise ValueError("scores must be between 0 and 1")
    has_rows = totals > 0
    distinct, index = np.unique(distinct[has_rows], return_inverse=True)
    return distinct, np.bincount(index, weights=totals[has_rows], minlength=len(distinct)).astype(np.int64)
