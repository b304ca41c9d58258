"""How well one label (a row is memorized by an earlier model) forecasts another (it is memorized by a later one).

Source: K1. precision = P(later | earlier), recall = P(earlier | later), F1 = their harmonic mean. Both labels of a row
are booleans, so all of it follows from how many rows carry each label and how many carry both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mematlas.stats.estimates.intervals import Share, wilson


@dataclass(frozen=True, slots=True)
class Forecast:
    """precision and recall with Wilson intervals, F1 with its interval; None where there was nothing to count."""

    precision: Share
    recall: Share
    f1: Share


def forecast(*, earlier: int, later: int, both: int) -> Forecast:
    """Precision, recall and F1 of the earlier label as a forecast of the later one, from three counts of rows.

    F1 = 2 J / (1 + J) grows with the overlap J = both / (rows with either label), and given the latter, `both` is
    binomial: the ends of J's Wilson interval give those of F1 (our choice; K1 gives no intervals). f1.count: rows with
    either label.

    Args:
        earlier, later: rows with that label, whatever the other. both: rows with both.

    Raises:
        ValueError: more rows with both labels than with one.
    """
    if not 0 <= both <= min(earlier, later):
        raise ValueError(f"both must be between 0 and the smaller of earlier and later, not {both}, {earlier}, {later}")
    overlap = wilson(both, earlier + later - both)
    estimate, lower, upper = (_f1(end) for end in (overlap.estimate, overlap.lower, overlap.upper))
    f1 = Share(estimate, lower, upper, overlap.count, "Wilson 95 % of the overlap")
    return Forecast(wilson(both, earlier), wilson(both, later), f1)


def _f1(overlap: float | None) -> float | None:
    return None if overlap is None else 2 * overlap / (1 + overlap)


def joint_counts(labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every pair of columns the number of rows with both labels; on the diagonal those with the one.

    Args:
        labels: shape (rows, models).

    Returns:
        shape (models, models), symmetric.
    """
    numbers = labels.astype(np.float64)  # counts below 2**53 are exact, and only floats multiply fast
    return (numbers.T @ numbers).astype(np.int64)


def correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of every pair of columns, NaN with a column that does not vary; of booleans it is phi.

    Args:
        values: shape (rows, models).

    Returns:
        shape (models, models), symmetric.
    """
    centred = values - (values.mean(axis=0) if len(values) else 0)
    scale = np.sqrt((centred**2).sum(axis=0))
    scale[scale < 1e-9] = np.nan
    return (centred.T @ centred) / np.outer(scale, scale)
