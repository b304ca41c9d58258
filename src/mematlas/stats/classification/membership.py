"""Membership inference: was a text in the training data? Scores from token log-probabilities, and their evaluation.

Sources: Yeom et al. 2018 (loss); Carlini et al. 2021, 2012.07805 (zlib, reference model); Shi et al. 2023, 2310.16789
(Min-K%); Zhang et al. 2024, 2404.02936 (Min-K%++); Carlini et al. 2019, 1802.08232 (exposure). All scores are
higher for members. A token whose value is NaN or infinite counts as missing and is ignored.
"""

from dataclasses import dataclass, replace
from math import ceil, floor, hypot
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom
from scipy.stats import t as student_t

from mematlas.stats.estimates.averages import ColumnEstimates, means
from mematlas.stats.estimates.clustered import (
    ClusteredShares,
    cluster_sums,
    clustered_shares,
    dense_labels,
    independent_sums,
)
from mematlas.stats.estimates.intervals import Share

Floats = NDArray[np.float64]
_TOLERANCE: Final = 1e-9  # 0.01 * 300 is not exactly 3
_UNSEEN_REFERENCES: Final = 0.2  # above all rows, counted beside the references of an exposure; our choice
_EXPOSURE_INTERVAL: Final = "Welch's t 95 %, over rows and references"


def mean_log_probability(log_probabilities: ArrayLike) -> Floats:
    """Mean log-probability of each row's tokens, that is minus the loss; missing tokens are ignored.

    Args:
        log_probabilities: shape (rows, tokens), nats.

    Returns:
        shape (rows,), nats; NaN where all tokens are missing.

    Raises:
        ValueError: there are not two dimensions.
    """
    values = _finite_or_nan(log_probabilities)
    count = np.isfinite(values).sum(1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def min_k_mean(values: ArrayLike, share: float) -> Floats:
    """Min-K%: mean of the lowest int(share * tokens) values of each row; missing tokens are ignored.

    At least one token is used (our choice: the authors' code gives no number if int() is 0). With share 1 it is the
    mean; applied to `token_z_scores` it is Min-K%++.

    Args:
        values: shape (rows, tokens). share: above 0, at most 1.

    Returns:
        shape (rows,), in the unit of the values; NaN where all tokens are missing.

    Raises:
        ValueError: share is out of range, or there are not two dimensions.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, not {share}")
    values = np.sort(_finite_or_nan(values), axis=1)  # NaN comes last
    count = np.isfinite(values).sum(1)
    used = np.maximum(1, np.floor(count * share + _TOLERANCE).astype(int))
    lowest = np.where(np.arange(values.shape[1]) < used[:, None], values, 0.0)
    return np.where(count > 0, np.nansum(lowest, axis=1) / used, np.nan)


def token_z_scores(log_probabilities: ArrayLike, means: ArrayLike, variances: ArrayLike) -> Floats:
    """(log p - mean) / standard deviation, where both are those of log p over the vocabulary, weighted by p (Min-K%++).

    NaN where the variance is 0, as for a uniform model.

    Args:
        all of shape (rows, tokens); nats, and nats squared.

    Raises:
        ValueError: the shapes differ.
    """
    values, means, variances = _finite_or_nan(log_probabilities), _finite_or_nan(means), _finite_or_nan(variances)
    if not values.shape == means.shape == variances.shape:
        raise ValueError(f"shapes must be the same, not {values.shape}, {means.shape} and {variances.shape}")
    deviations = np.sqrt(np.where(variances > 0, variances, np.nan))
    return (values - means) / deviations


def zlib_ratio(mean_log_probabilities: ArrayLike, compressed_bytes: ArrayLike) -> Floats:
    """Mean log-probability / bytes of the zlib-compressed text, both of shape (rows,); NaN where there are no bytes.

    Raises:
        ValueError: the shapes differ.
    """
    means, sizes = np.asarray(mean_log_probabilities, float), np.asarray(compressed_bytes, float)
    if means.shape != sizes.shape:
        raise ValueError(f"shapes must be the same, not {means.shape} and {sizes.shape}")
    return means / np.where(sizes > 0, sizes, np.nan)


# ------------------------------------------------------------------------------------------- evaluation of the scores


def controls_needed(level: float) -> int:
    """Number of control rows needed to measure a false positive rate of `level`: the smallest n with 1 / n <= level."""
    return ceil(1 / level - _TOLERANCE)


def true_positive_rate(
    members: ArrayLike,
    controls: ArrayLike,
    level: float,
    clusters: ArrayLike | None = None,
    control_clusters: ArrayLike | None = None,
) -> Share | None:
    """True positive rate at a false positive rate of at most `level`; None if there are fewer than `controls_needed`.

    The share of members above the lowest threshold that at most `level` of the controls exceed. The interval counts
    both sides: the members (Wilson), and the controls that set the threshold, whose true value lies between two of
    their order statistics (David and Nagaraja 2003, section 7.1); both are joined in squares (Newcombe 1998, method
    10; joining them is our choice). It covers 96 to 99 %, a bootstrap of both sides 70 to 96 %. With few controls the
    rate is too high on average, by up to a fifth for 100 controls at 1 %. With clusters the first interval is
    clustered, and the order statistics are those of as many independent controls as theirs are worth: their number /
    the design effect of the share above the threshold.

    Args:
        members, controls: scores, shape (rows,), none missing. level: above 0, below 1.
        clusters, control_clusters: of the members and of the controls, any numbers; None: all rows are independent.
    """
    member_scores, control_scores = np.asarray(members, float), np.sort(np.asarray(controls, float))[::-1]
    count = len(control_scores)
    if count < controls_needed(level) or not len(member_scores):
        return None

    def above(threshold: float) -> float:
        return float((member_scores > threshold).mean())

    threshold = control_scores[floor(level * count + _TOLERANCE)]
    share = _clustered_share(member_scores > threshold, clusters)
    if np.isnan(share.lower[0]):
        return Share(float(share.estimate[0]), None, None, len(member_scores), "95 %, not known for one cluster")
    order = np.argsort(-np.asarray(controls, float), kind="stable")
    ordered_clusters = None if control_clusters is None else np.asarray(control_clusters)[order]
    exceeding = _clustered_share(control_scores >= threshold, ordered_clusters)
    design_effect = float(np.nan_to_num(exceeding.design_effect[0], nan=count))
    # so large a share of controls exceeds the true threshold, in 95 % of samples
    worth = max(1, round(count / design_effect))
    fewest, most = (round(float(binom.ppf(end, worth, level)) * count / worth) for end in (0.025, 0.975))
    lowest = above(control_scores[fewest - 1]) if fewest else 0.0
    highest = above(control_scores[most]) if most < count else 1.0
    estimate = float(share.estimate[0])
    lower = estimate - hypot(estimate - float(share.lower[0]), estimate - lowest)
    upper = estimate + hypot(float(share.upper[0]) - estimate, highest - estimate)
    interval = "95 %, Wilson and order statistics of the threshold"
    return Share(estimate, max(0.0, lower), min(1.0, upper), len(member_scores), interval)


def _clustered_share(hits: NDArray[np.bool_], clusters: ArrayLike | None) -> ClusteredShares:
    """The share of rows that are hits; with clusters its interval is clustered."""
    labels = dense_labels(clusters, len(hits))
    if labels is None:
        return clustered_shares(independent_sums(int(hits.sum()), len(hits)))
    return clustered_shares(cluster_sums(np.bincount(labels, hits), np.bincount(labels)))


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """Exposure of rows, in bits.

    bits: [rows]; tied: [rows], whether a reference has the same score; maximum: the highest exposure that this number
    of references allows; chance: mean exposure of a row drawn from the same distribution as the references.
    """

    bits: Floats
    tied: NDArray[np.bool_]
    maximum: float
    chance: float


def exposures(scores: ArrayLike, references: ArrayLike) -> Exposures:
    """Exposure: log2(candidates) - log2(rank) of each row among itself and the references (Carlini 2019, section 4).

    Rank 1 is the highest score; a row ranks in the middle of the references it ties with (our choice: the authors count
    only those above, so that a constant score would expose every row). With many references, a row that was not in the
    training data has 1 / ln 2 = 1.44 bits on average.

    Args:
        scores: shape (rows,). references: shape (references,), of texts outside the training data. None missing.
    """
    values, sorted_references = np.asarray(scores, float), np.sort(np.asarray(references, float))
    not_above = np.searchsorted(sorted_references, values, side="right")
    above = len(sorted_references) - not_above
    ties = not_above - np.searchsorted(sorted_references, values, side="left")
    candidates = len(sorted_references) + 1
    maximum = float(np.log2(candidates))
    chance = maximum - float(np.log2(np.arange(1, candidates + 1)).mean())
    return Exposures(maximum - np.log2(1 + above + ties / 2), ties > 0, maximum, chance)


def mean_exposure(
    scores: ArrayLike,
    references: ArrayLike,
    clusters: ArrayLike | None = None,
    reference_clusters: ArrayLike | None = None,
) -> ColumnEstimates:
    """Mean exposure of the rows, in bits, with a 95 % interval that counts both sides; one column.

    The variance is that of the rows' mean, plus that of the references (Welch's t). A reference has as much influence
    as the mean falls, per reference above a row, by 1 / (ln 2 * rank) bits; rows above all references have none of
    them, so a fifth of the influence of one reference above all counts as well (our choice). The interval is within 0
    and the highest exposure that the references allow. It covers 92 to 97 % where rows are exposed by up to half of
    these bits, and more above. NaN as for `means`, and for fewer than two (clusters of) references.

    Args:
        scores, references: as `exposures`. clusters, reference_clusters: of the rows and of the references, any
            numbers; None: all rows are independent.
    """
    values, sorted_references = np.asarray(scores, float), np.asarray(references, float)
    result = exposures(values, sorted_references)
    mean = means(result.bits[:, None], clusters=clusters)
    influences, above_all = _reference_influences(values, sorted_references, result)
    labels = dense_labels(reference_clusters, len(influences))
    sums = influences if labels is None else np.bincount(labels, influences)
    units = len(sums)
    if units < 2:
        nothing = np.full(1, np.nan)
        return replace(mean, lower=nothing, upper=nothing, interval=_EXPOSURE_INTERVAL)
    freedom = np.maximum(mean.clusters - 1, 1)
    variance = ((mean.upper - mean.estimate) / student_t.ppf(0.975, freedom)) ** 2
    reference_variance = units / (units - 1) * float(sums @ sums) + _UNSEEN_REFERENCES * above_all**2
    total = variance + reference_variance
    freedom = total**2 / (variance**2 / freedom + reference_variance**2 / (units - 1))
    half_width = student_t.ppf(0.975, freedom) * np.sqrt(total)
    lower, upper = mean.estimate - half_width, mean.estimate + half_width
    return replace(
        mean, lower=np.maximum(lower, 0.0), upper=np.minimum(upper, result.maximum), interval=_EXPOSURE_INTERVAL
    )


def _reference_influences(values: Floats, references: Floats, result: Exposures) -> tuple[Floats, float]:
    """What each reference contributes to the deviation of the mean exposure from its expectation, [references], and
    what one above all rows would contribute."""
    order = np.argsort(values)
    falls = -(2 ** (result.bits - result.maximum)) / (np.log(2) * len(values))  # 1 / rank, of each row
    below = np.concatenate([[0.0], np.cumsum(falls[order])])  # of the rows up to the first, second ...
    first, last = (np.searchsorted(values[order], references, side) for side in ("left", "right"))
    influences = (below[first] + below[last]) / 2
    center = (influences.sum() + below[-1]) / (len(references) + 1)
    return influences - center, float(below[-1] - center)


def _finite_or_nan(values: ArrayLike) -> Floats:
    """The values as [rows, tokens], with NaN in place of infinities."""
    array = np.asarray(values, float)
    if array.ndim != 2:
        raise ValueError(f"values must be of shape (rows, tokens), not {array.shape}")
    return np.where(np.isfinite(array), array, np.nan)
