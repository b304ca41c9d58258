"""Correlation of two columns with a bootstrap interval and a permutation test.

p = (1 + permutations at least as far from 0) / (1 + permutations), which is never 0 and keeps its level (Phipson and
Smyth 2010). The interval has the middle 95 % of resampled pairs (percentile bootstrap, Efron 1979). Spearman's
coefficient is Pearson's of mean ranks, so that ties are handled as in scipy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Kind = Literal["pearson", "spearman"]
PERMUTATIONS: Final = 9_999
RESAMPLES: Final = 999
_MAX_RANDOM_NUMBERS: Final = 2_000_000  # random numbers in memory at once
FEWEST: Final = 4  # pairs; of three, p cannot be below 1/3
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Correlation:
    """A coefficient of `count` pairs with its 95 % interval and two-sided p-value; None where it is not defined.

    reason: why it is not.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    p: float | None
    count: int
    reason: str | None = None
    interval: str = "bootstrap 95 %"


def correlation(
    x: ArrayLike, y: ArrayLike, kind: Kind, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> Correlation:
    """The correlation of pairs x, y, each of shape (pairs,), none missing.

    Raises:
        ValueError: the shapes differ, or a value is missing.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x and y must be of the same shape (pairs,), with no value missing")
    reason = _undefined(x, y)
    if reason is not None:
        return Correlation(None, None, None, None, len(x), reason)
    transform: Callable[[Floats], Floats] = _ranks if kind == "spearman" else _unchanged
    first, second = transform(x[None]), transform(y[None])
    estimate = float(_pearson(first, second)[0])
    generator = np.random.default_rng(seed)
    batch, far = max(1, _MAX_RANDOM_NUMBERS // len(x)), 0
    for start in range(0, permutations, batch):
        orders = generator.random((min(batch, permutations - start), len(x))).argsort(1)
        far += int((np.abs(_pearson(first, second[0][orders])) >= abs(estimate) - 1e-12).sum())
    values = []
    for start in range(0, RESAMPLES, batch):
        drawn = generator.integers(0, len(x), (min(batch, RESAMPLES - start), len(x)))
        values.append(_pearson(transform(x[drawn]), transform(y[drawn])))
    resampled = np.concatenate(values)
    known = resampled[np.isfinite(resampled)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (estimate, estimate)
    return Correlation(estimate, float(low), float(high), (1 + far) / (1 + permutations), len(x))


def _undefined(x: Floats, y: Floats) -> str | None:
    if len(x) < FEWEST:
        return f"fewer than {FEWEST} pairs"
    return "one side does not vary" if np.ptp(x) == 0 or np.ptp(y) == 0 else None


def _unchanged(values: Floats) -> Floats:
    return values


def _ranks(values: Floats) -> Floats:
    return np.asarray(rankdata(values, axis=1), np.float64)


def _pearson(x: Floats, y: Floats) -> Floats:
    """The coefficient of each pair of rows, [rows, pairs]; NaN where one does not vary."""
    a, b = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return result
