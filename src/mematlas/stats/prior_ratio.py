"""How much more probable a text is after its own prompt than after others (K10).

    r = log P(s | p) - log v        v = (1 / c) sum over j of P(s | q_j)        for c prompts q_j of other rows

v estimates the text's probability without its prompt. On the scale of logs few prompts carry the sum, which the
effective sample (sum w)^2 / sum w^2 says, w_j = P(s | q_j) (Kish 1965): below 2 there is no interval (our choice). With
logs averaged instead, r_bar = log P(s | p) - mean log P(s | q_j) is at least r (Jensen).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

#: Fewest prompts that must carry the mean for an interval.
FEWEST_EFFECTIVE: Final = 2.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PriorRatio:
    """All of shape (rows,), in nats; NaN where there is none.

    log_prior: log v; log_ratio: r, with the ends of its 95 % interval (Student's t, linearized); mean_log_ratio: r_bar;
    effective: prompts that carry the mean, 1 to c.
    """

    log_prior: Floats
    log_ratio: Floats
    lower: Floats
    upper: Floats
    mean_log_ratio: Floats
    effective: Floats


def prior_ratio(log_probability: ArrayLike, after_others: ArrayLike) -> PriorRatio:
    """The ratio of each text.

    Args:
        log_probability: log P(s | p), shape (rows,).
        after_others: log P(s | q_j), shape (rows, c), -inf where it is 0.

    Raises:
        ValueError: the shapes do not fit, or there are fewer than 2 other prompts.
    """
    own, others = np.asarray(log_probability, np.float64), np.asarray(after_others, np.float64)
    if others.ndim != 2 or own.shape != (len(others),) or others.shape[1] < 2:
        raise ValueError(f"shapes (rows,) and (rows, 2 or more) are needed, not {own.shape} and {others.shape}")
    count = others.shape[1]
    largest = others.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.exp(others - largest[:, None])  # of equal logs exactly 1, so that their ratio is exactly 0
        log_prior = largest + np.log(weights.mean(axis=1))
        effective = weights.sum(axis=1) ** 2 / np.square(weights).sum(axis=1)
        ratio, mean_ratio = own - log_prior, own - others.mean(axis=1)
        error = np.sqrt(np.maximum(count / effective - 1, 0) / (count - 1))  # of log v, by linearization
    half_width = student_t.ppf(0.975, count - 1) * np.where(effective >= FEWEST_EFFECTIVE, error, np.nan)
    return PriorRatio(
        _finite(log_prior), _finite(ratio), _finite(ratio - half_width), _finite(ratio + half_width),
        _finite(mean_ratio), _finite(effective),
    )  # fmt: skip


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)
