"""How well one label of a row (memorized by an earlier model) forecasts another (memorized by a later model).

Source: K1. precision = P(later | earlier), recall = P(earlier | later), F1 = their harmonic mean. The
labels are Boolean, so everything follows from the number of rows with each label and with both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mematlas.stats.estimates.intervals import Share, wilson


@dataclass(frozen=True, slots=True)
class ForecastScores:
    """Precision and recall with Wilson intervals, and F1 with its interval; None where there was nothing to count."""

    precision: Share
    recall: Share
    f1: Share


def forecast_scores(*, earlier: int, later: int, both: int) -> ForecastScores:
    """Precision, recall and F1 of the earlier label as a forecast of the later one, from three counts of rows.

    F1 = 2 J / (1 + J) grows with the overlap J = both / (rows with either label). Given the denominator, `both` is
    binomial: the bounds of J's Wilson interval give those of F1 (our choice; K1 gives no intervals). f1.count: rows
    with either label.

    Args:
        earlier, later: rows with that label, with or without the other. both: rows with both labels.

    Raises:
        ValueError: more rows with both labels than with one.
    """
    if not 0 <= both <= min(earlier, later):
        raise ValueError(f"both must be between 0 and the smaller of earlier and later, not {both}, {earlier}, {later}")
    overlap = wilson(both, earlier + later - both)
    estimate, lower, upper = (_f1(bound) for bound in (overlap.estimate, overlap.lower, overlap.upper))
    f1 = Share(estimate, lower, upper, overlap.count, "Wilson 95 % of the overlap")
    return ForecastScores(wilson(both, earlier), wilson(both, later), f1)


def _f1(overlap: float | None) -> float | None:
    return None if overlap is None else 2 * overlap / (1 + overlap)


def joint_counts(labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of rows with both labels, for every pair of columns; on the diagonal, the rows with that label.

    Args:
        labels: shape (rows, models).

    Returns:
        shape (models, models), symmetric.
    """
    indicators = labels.astype(np.float64)  # counts below 2**53 are exact, and matrix products are fast for floats only
    return (indicators.T @ indicators).astype(np.int64)


def correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of every pair of columns (phi for Booleans); NaN where a column is constant.

    Args:
        values: shape (rows, models).

    Returns:
        shape (models, models), symmetric.
    """
    centered = values - (values.mean(axis=0) if len(values) else 0)
    scale = np.sqrt((centered**2).sum(axis=0))
    scale[scale < 1e-9] = np.nan
    return (centered.T @ centered) / np.outer(scale, scale)
