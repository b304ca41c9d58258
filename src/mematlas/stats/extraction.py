"""(n, p)-discoverable extraction: how many samples a row needs until its continuation is drawn, in closed form.

Source: K3 (a). A row whose whole continuation is drawn with probability p_z is (n, p)-discoverable iff
1 - (1 - p_z)^n >= p, that is n >= log(1 - p) / log(1 - p_z). Probabilities are given as log p_z,
because small p_z underflow to 0 in floating point.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.clustered import ClusterSums, cluster_sums, dense_labels, independent_sums, stacked_sums

_LOG_HALF: Final = -np.log(2.0)
_MIN_LOG: Final = -700.0  # log of a number whose reciprocal is still finite
_TOLERANCE: Final = 1e-12  # relative; a row that needs exactly n samples must not need n + 1 by rounding


def samples_needed(log_probability: ArrayLike, p: float) -> NDArray[np.float64]:
    """The smallest whole n >= 1 for which a row is (n, p)-discoverable; shape as the input.

    Infinite where no number suffices (p_z = 0) or where n exceeds the largest float; NaN where log p_z is NaN.

    Args:
        log_probability: log p_z in nats: the sum of the log-probabilities of the continuation's tokens; -inf where
            p_z = 0. Values above 0, due to rounding, count as 0.
        p: required probability of drawing the continuation at least once, between 0 and 1, both excluded.

    Raises:
        ValueError: p is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must be between 0 and 1, both excluded, not {p}")
    log_p = np.minimum(np.asarray(log_probability, dtype=np.float64), 0.0)
    required = -np.log1p(-p)
    with np.errstate(over="ignore", divide="ignore"):
        # where p_z is tiny, -log(1 - p_z) = p_z, and 1 / p_z may overflow
        closed_form = required / -_log_complement(np.maximum(log_p, _MIN_LOG))
        needed = np.where(log_p < _MIN_LOG, np.exp(np.log(required) - log_p), closed_form)
    return np.asarray(np.maximum(1.0, np.ceil(needed * (1 - _TOLERANCE))))


def _log_complement(log_probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 - p_z): with log1p where p_z is small, with expm1 where 1 - p_z is small."""
    with np.errstate(divide="ignore"):
        return np.where(
            log_probability < _LOG_HALF, np.log1p(-np.exp(log_probability)), np.log(-np.expm1(log_probability))
        )


def extraction_probability(log_probability: ArrayLike, n: float) -> NDArray[np.float64]:
    """Probability that n samples draw the continuation at least once, 1 - (1 - p_z)^n; shape as the input.

    Args:
        log_probability: as `samples_needed`.
        n: number of samples, 0 or more.
    """
    log_p = np.minimum(np.asarray(log_probability, dtype=np.float64), 0.0)
    # n = 0 and p_z = 1 would give 0 * -inf
    return np.asarray(-np.expm1(n * _log_complement(log_p))) if n else np.zeros_like(log_p)


def count_discoverable(log_probability: ArrayLike, n: ArrayLike, p: float) -> NDArray[np.int64]:
    """Number of rows that are (n, p)-discoverable, for each n; shape (len(n),).

    Args:
        log_probability: shape (rows,), as `samples_needed`; none missing.
        n: numbers of samples, one-dimensional.
        p: as `samples_needed`.

    Raises:
        ValueError: p is not between 0 and 1, or a log-probability is NaN.
    """
    needed = np.sort(samples_needed(log_probability, p))
    if np.isnan(needed).any():
        raise ValueError("log_probability must not contain NaN: leave out the rows where it is missing")
    finite = needed[np.isfinite(needed)]
    return np.searchsorted(finite, np.asarray(n, dtype=np.float64), side="right").astype(np.int64)


def discoverable_sums(
    log_probability: ArrayLike, n: ArrayLike, p: float, clusters: ArrayLike | None = None
) -> ClusterSums:
    """The sums over clusters that give the share of (n, p)-discoverable rows an interval, for each n; shape (len(n),).

    Args:
        log_probability, n, p: as `count_discoverable`.
        clusters: shape (rows,), any numbers; rows of one number are not independent. None: all rows are.

    Raises:
        ValueError: as `count_discoverable`; clusters are not as many as rows.
    """
    counts = count_discoverable(log_probability, n, p)
    needed = samples_needed(log_probability, p)
    labels = dense_labels(clusters, len(needed))
    if labels is None:
        return independent_sums(counts, np.full(len(counts), len(needed)))
    sizes = np.bincount(labels)
    parts: list[ClusterSums] = []
    # one n at a time: the hits of a million clusters at all n would not fit in memory
    for position, most in enumerate(np.asarray(n)):
        if position and counts[position] == counts[position - 1]:  # then they are the same rows
            parts.append(parts[-1])
        else:
            parts.append(cluster_sums(np.bincount(labels, needed <= most), sizes))
    return stacked_sums(parts)
