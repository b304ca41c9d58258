"""Is a text among those a model was trained on? Scores of its tokens' log-probabilities, and how they tell members.

Sources: Yeom et al. 2018 (loss); Carlini et al. 2021, 2012.07805 (zlib, reference model); Shi et al. 2023, 2310.16789
(Min-K%); Zhang et al. 2024, 2404.02936 (Min-K%++); Carlini et al. 2019, 1802.08232 (exposure). Every score here is
higher for a member. A token whose value is NaN or infinite is not known and is left out of its row.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.intervals import Share, wilson

Floats = NDArray[np.float64]
_ROUNDING: Final = 1e-9  # 0.01 * 300 is no whole number


def mean_log_probability(log_probabilities: ArrayLike) -> Floats:
    """Minus the loss: the mean over each row's known tokens.

    Args:
        log_probabilities: shape (rows, tokens), nats.

    Returns:
        shape (rows,), nats; NaN where no token is known.

    Raises:
        ValueError: there are not two dimensions.
    """
    values = _known(log_probabilities)
    count = np.isfinite(values).sum(1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def lowest_mean(values: ArrayLike, share: float) -> Floats:
    """Min-K%: the mean of the lowest `share` of each row's known tokens, int(share * tokens) of them.

    At least one token (our choice: the authors' code has no number where that is 0). At 1 it is the mean; of
    `token_z_scores` it is Min-K%++.

    Args:
        values: shape (rows, tokens). share: above 0, at most 1.

    Returns:
        shape (rows,), in the unit of the values; NaN where no token is known.

    Raises:
        ValueError: the share is outside, or there are not two dimensions.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, not {share}")
    values = np.sort(_known(values), axis=1)  # NaN comes last
    known = np.isfinite(values).sum(1)
    taken = np.maximum(1, np.floor(known * share + _ROUNDING).astype(int))
    lowest = np.where(np.arange(values.shape[1]) < taken[:, None], values, 0.0)
    return np.where(known > 0, np.nansum(lowest, axis=1) / taken, np.nan)


def token_z_scores(log_probabilities: ArrayLike, means: ArrayLike, variances: ArrayLike) -> Floats:
    """(log p - mean) / standard deviation, both of log p under p over the vocabulary, as Min-K%++ has it.

    NaN where the variance is 0: a uniform model gives no z at all.

    Args:
        all of shape (rows, tokens); nats, and nats squared.

    Raises:
        ValueError: the shapes differ.
    """
    values, means, variances = _known(log_probabilities), _known(means), _known(variances)
    if not values.shape == means.shape == variances.shape:
        raise ValueError(f"shapes must be the same, not {values.shape}, {means.shape} and {variances.shape}")
    spread = np.sqrt(np.where(variances > 0, variances, np.nan))
    return (values - means) / spread


def zlib_ratio(mean_log_probabilities: ArrayLike, compressed_bytes: ArrayLike) -> Floats:
    """Mean log-probability / bytes of the text compressed with zlib, both of shape (rows,); NaN where there are none.

    Raises:
        ValueError: the shapes differ.
    """
    means, sizes = np.asarray(mean_log_probabilities, float), np.asarray(compressed_bytes, float)
    if means.shape != sizes.shape:
        raise ValueError(f"shapes must be the same, not {means.shape} and {sizes.shape}")
    return means / np.where(sizes > 0, sizes, np.nan)


# ------------------------------------------------------------------------------------------------------ telling members


def controls_needed(level: float) -> int:
    """How many control rows a false positive rate of `level` needs: of fewer, one is more than that."""
    return ceil(1 / level - _ROUNDING)


def true_positive_rate(members: ArrayLike, controls: ArrayLike, level: float) -> Share | None:
    """Share of members above the lowest threshold that at most `level` of the controls exceed; None where a single
    control row would be more than that.

    The Wilson interval takes the threshold as given (our choice): it is too narrow where control rows are few.

    Args:
        members, controls: shape (rows,), all known. level: above 0, below 1.
    """
    hits, misses = np.asarray(members, float), np.sort(np.asarray(controls, float))[::-1]
    if len(misses) < controls_needed(level) or not len(hits):
        return None
    threshold = misses[floor(level * len(misses) + _ROUNDING)]
    return wilson(int((hits > threshold).sum()), len(hits))


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """bits: [rows], of each row; tied: [rows], whether a reference has the same score; most: the highest that so many
    references allow, in bits; chance: what a row drawn like the references has on average, in bits."""

    bits: Floats
    tied: NDArray[np.bool_]
    most: float
    chance: float


def exposures(scores: ArrayLike, references: ArrayLike) -> Exposures:
    """log2(candidates) - log2(rank) of each row among the references and itself (Carlini et al. 2019, section 4).

    Rank 1 is the highest score; a row ranks in the middle of the references it ties with (our choice: the authors count
    those above alone, by which a model that knows nothing would expose all rows). With many references a row never seen
    has 1 / ln 2 = 1.44 bits on average.

    Args:
        scores: shape (rows,). references: shape (references,), of texts the model never saw. All known.
    """
    values, others = np.asarray(scores, float), np.sort(np.asarray(references, float))
    above = len(others) - np.searchsorted(others, values, side="right")
    ties = np.searchsorted(others, values, side="right") - np.searchsorted(others, values, side="left")
    candidates = len(others) + 1
    most = float(np.log2(candidates))
    chance = most - float(np.log2(np.arange(1, candidates + 1)).mean())
    return Exposures(most - np.log2(1 + above + ties / 2), ties > 0, most, chance)


def _known(values: ArrayLike) -> Floats:
    found = np.asarray(values, float)
    if found.ndim != 2:
        raise ValueError(f"values must be of shape (rows, tokens), not {found.shape}")
    return np.where(np.isfinite(found), found, np.nan)
