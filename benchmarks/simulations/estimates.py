"""Intervals of shares, means, medians and their differences in simulated samples: lower, upper and true values."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from mematlas.stats.estimates.averages import FEWEST_COUNTS, means, medians
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.estimates.differences import clustered_difference_of_shares, difference_of_shares
from mematlas.stats.estimates.intervals import wilson_bounds
from mematlas.stats.estimates.mean_scores import (
    MeanEstimate,
    clustered_mean_score,
    mean_score,
    mean_score_difference,
)
from mematlas.stats.estimates.stratified import mean_of_shares
from simulations.designs import Design, Floats, hits_of_documents, luck

#: lower and upper ends, one of each study (NaN: no interval is printed), and the true value
Bounds = tuple[Floats, Floats, float]
Sampler = Callable[[np.random.Generator, Design, int], Bounds]

LENGTH: Final = 10  # tokens of the continuation behind a score M


def collect(pairs: list[tuple[float | None, float | None]], truth: float) -> Bounds:
    """Bounds from those of single studies."""
    ends = np.array([[np.nan if end is None else end for end in pair] for pair in pairs], dtype=np.float64)
    return ends[:, 0], ends[:, 1], truth


# ---------------------------------------------------------------------------------------------------------- shares


def share(random: np.random.Generator, design: Design, studies: int, *, p: float) -> Bounds:
    hits = hits_of_documents(random, design, p, studies)
    return *share_bounds(hits, design), p


def share_of_normal_luck(random: np.random.Generator, design: Design, studies: int, *, p: float) -> Bounds:
    """The luck of documents is normal on the probit scale instead of beta."""
    hits = (luck(random, design, studies) > -ndtri(p)).reshape(design.documents, design.size, studies).sum(1)
    return *share_bounds(hits, design), p


def share_bounds(hits: np.ndarray, design: Design) -> tuple[Floats, Floats]:
    """The printed interval of a share of each column of hits (documents, studies)."""
    if not design.clustered:
        _, lower, upper = wilson_bounds(hits.sum(0), np.full(hits.shape[1], design.rows))
        return lower, upper
    result = clustered_shares(cluster_sums(hits, np.full(hits.shape, design.size)))
    return result.lower, result.upper


def difference_of_documents(
    random: np.random.Generator, design: Design, studies: int, *, p: float, other: float
) -> Bounds:
    """Two groups of `design` documents each, with no document in both."""
    first, second = (hits_of_documents(random, design, each, studies) for each in (p, other))
    if not design.clustered:
        pairs = [
            difference_of_shares((int(a), design.rows), (int(b), design.rows))
            for a, b in zip(first.sum(0), second.sum(0), strict=True)
        ]
    else:
        zero, size = np.zeros(design.documents), np.full(design.documents, design.size)
        rows, other_rows = np.append(size, zero), np.append(zero, size)
        pairs = [
            clustered_difference_of_shares(np.append(a, zero), rows, np.append(zero, b), other_rows)
            for a, b in zip(first.T, second.T, strict=True)
        ]
    return collect([(each.lower, each.upper) for each in pairs], p - other)


def difference_within_documents(
    random: np.random.Generator, design: Design, studies: int, *, p: float, other: float
) -> Bounds:
    """The first half of the rows of every document against the second half."""
    half, shape = design.size // 2, (design.documents, design.size, studies)
    values = luck(random, design, studies).reshape(shape)
    first, second = (values[:, :half] > -ndtri(p)).sum(1), (values[:, half:] > -ndtri(other)).sum(1)
    rows, other_rows = np.full(design.documents, half), np.full(design.documents, design.size - half)
    pairs = [clustered_difference_of_shares(a, rows, b, other_rows) for a, b in zip(first.T, second.T, strict=True)]
    return collect([(each.lower, each.upper) for each in pairs], p - other)


def mean_of_three_shares(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    """Rows of every document are in one of three groups, with shares of 5, 30 and 70 %."""
    shares, group = np.array([0.05, 0.3, 0.7]), np.arange(design.rows) % 3
    hits = luck(random, design, studies) > -ndtri(shares)[group][:, None]
    if design.clustered:
        results = [mean_of_shares(column, np.ones(design.rows), group, design.document) for column in hits.T]
    else:
        counts = np.bincount(group)
        results = [mean_of_shares(np.bincount(group, column), counts) for column in hits.T]
    return collect([(each.lower, each.upper) for each in results], float(shares.mean()))


# --------------------------------------------------------------------------------------------------------- mean M


def matches(values: Floats, p: float) -> Floats:
    """Matches of LENGTH tokens from standard normal luck: all in a share p of rows, 0 to 9 in the others."""
    quantile = ndtr(values)
    return np.where(quantile > 1 - p, LENGTH, np.floor(quantile / (1 - p) * LENGTH))


def true_mean(p: float) -> float:
    return p + (1 - p) * (LENGTH - 1) / 2 / LENGTH


def _mean_score(scores: Floats, design: Design) -> MeanEstimate:
    """The mean of the scores of all rows, shape (rows,)."""
    if not design.clustered:
        return mean_score(scores, np.ones(design.rows, np.int64))
    rows = scores.reshape(design.documents, design.size)
    ones, zeros = (rows == 1).sum(1), (rows == 0).sum(1)
    return clustered_mean_score(np.full(design.documents, design.size), ones, zeros, rows.sum(1))


def _mean_scores(random: np.random.Generator, design: Design, studies: int, p: float) -> list[MeanEstimate]:
    values = matches(luck(random, design, studies), p) / LENGTH
    return [_mean_score(column, design) for column in values.T]


def mean_m(random: np.random.Generator, design: Design, studies: int, *, p: float) -> Bounds:
    results = _mean_scores(random, design, studies, p)
    return collect([(each.lower, each.upper) for each in results], true_mean(p))


def floor_m(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    """Nothing is recited: 60 % of rows have M = 0, the others one or two of ten tokens."""
    results = []
    for column in luck(random, design, studies).T:
        scores = np.digitize(ndtr(column), [0.6, 0.9]) / LENGTH
        results.append(_mean_score(scores, design))
    return collect([(each.lower, each.upper) for each in results], 0.05)


def mean_m_difference(random: np.random.Generator, design: Design, studies: int, *, p: float) -> Bounds:
    """Training rows, a share p of them recited, against as many control rows of other documents, 1 % recited."""
    sides = [_mean_scores(random, design, studies, each) for each in (p, 0.01)]
    results = [mean_score_difference(first, other) for first, other in zip(*sides, strict=True)]
    return collect([(each.lower, each.upper) for each in results], true_mean(p) - true_mean(0.01))


# --------------------------------------------------------------------------------------------- means and medians


def mean(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    result = means(luck(random, design, studies), clusters=design.labels)
    return result.lower, result.upper, 0.0


def mean_of_counts(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    """Log-normal with sigma 2, as raw corpus counts are."""
    values = np.exp(2 * luck(random, design, studies))
    result = means(values, fewest=FEWEST_COUNTS, clusters=design.labels)
    return result.lower, result.upper, float(np.exp(2))


def mean_of_skewed(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    """Log-normal with sigma 1: as skewed as most scores become, without the tail of raw counts."""
    result = means(np.exp(luck(random, design, studies)), clusters=design.labels)
    return result.lower, result.upper, float(np.exp(0.5))


def median(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    result = medians(np.exp(2 * luck(random, design, studies)), design.labels)
    return result.lower, result.upper, 1.0


def median_of_few_values(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    """Whole numbers, a tenth of the rows above and a third below the median."""
    values = np.digitize(ndtr(luck(random, design, studies)), [0.33, 0.66, 0.9]).astype(float)
    result = medians(values, design.labels)
    return result.lower, result.upper, 1.0


# ---------------------------------------------------------------------------------------------------- differences


def welch(
    random: np.random.Generator, design: Design, studies: int, *, by_document: bool, strata: int = 1, sigma: float = 0.0
) -> Bounds:
    """A third of the rows, or of the documents, are members and 1/2 higher; strata differ by 1 each.

    sigma: of log-normal values; 0 for normal ones.
    """
    unit = design.document if by_document else np.arange(design.rows)
    member = unit * 7 % 3 == 0
    stratum = (unit // 3 if by_document else np.arange(design.rows)) % strata
    values = luck(random, design, studies)
    values = np.exp(sigma * values) if sigma else values
    result = stratified_difference(
        values + 0.5 * member[:, None] + stratum[:, None],
        member,
        stratum,
        None if not design.clustered else design.labels,
    )
    return result.lower, result.upper, 0.5


ESTIMATES: Final[dict[str, Sampler]] = {
    "share, 30 %": partial(share, p=0.3),
    "share, 5 %": partial(share, p=0.05),
    "share, 2 %": partial(share, p=0.02),
    "share, 70 %": partial(share, p=0.7),
    "share, 30 %, normal luck": partial(share_of_normal_luck, p=0.3),
    "share, 5 %, normal luck": partial(share_of_normal_luck, p=0.05),
    "mean M, 30 % recited": partial(mean_m, p=0.3),
    "mean M, 5 % recited": partial(mean_m, p=0.05),
    "mean M, nothing recited": floor_m,
    "difference of mean M, 30 % and 1 %": partial(mean_m_difference, p=0.3),
    "difference of shares, 30 % and 15 %": partial(difference_of_documents, p=0.3, other=0.15),
    "difference of shares, 5 % and 2 %": partial(difference_of_documents, p=0.05, other=0.02),
    "difference of shares within documents": partial(difference_within_documents, p=0.4, other=0.25),
    "mean of three shares": mean_of_three_shares,
    "mean, normal": mean,
    "mean, log-normal": mean_of_skewed,
    "mean of counts, log-normal, sigma 2": mean_of_counts,
    "median, log-normal": median,
    "median of whole numbers": median_of_few_values,
    "difference of means, members within documents": partial(welch, by_document=False),
    "difference of means, members by document": partial(welch, by_document=True),
    "difference of means in 4 strata, within documents": partial(welch, by_document=False, strata=4),
    "difference of means in 4 strata, by document": partial(welch, by_document=True, strata=4),
    "difference of log-normal means, by document": partial(welch, by_document=True, sigma=1.0),
}
