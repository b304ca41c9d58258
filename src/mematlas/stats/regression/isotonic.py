"""At which x a quantity that only rises reaches a level: a non-decreasing fit, with an interval over units.

The fit is the isotonic least-squares one (pool adjacent violators), on straight lines between its points. A unit is
what was drawn at random, such as a sequence that was measured several times; the interval is a percentile bootstrap
over units, in which a level that is never reached counts as infinitely far away.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

_RESAMPLES: Final = 500

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the level is reached; None if it is not. low, high: 95 % interval, None where that end is not reached, or
    there are not two units; units: their number."""

    estimate: float | None
    low: float | None
    high: float | None
    units: int
    interval: str = "bootstrap over units 95 %"


def crossing(x: ArrayLike, y: ArrayLike, units: ArrayLike, level: float, seed: int = 0) -> Crossing:
    """Where the rising fit of y against x reaches `level`; x, y, units: one value for each measurement.

    Raises:
        ValueError: there are no measurements, or their numbers differ.
    """
    xs, ys, names = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(units)
    if not len(xs) == len(ys) == len(names) > 0:
        raise ValueError(f"x, y and units have the same length of 1 or more, not {len(xs)}, {len(ys)}, {len(names)}")
    points, at = np.unique(xs, return_inverse=True)
    known, unit = np.unique(names, return_inverse=True)
    sums, counts = np.zeros((len(known), len(points))), np.zeros((len(known), len(points)))
    np.add.at(sums, (unit, at), ys)
    np.add.at(counts, (unit, at), 1.0)
    estimate = _reached(points, sums.sum(axis=0), counts.sum(axis=0), level)
    low, high = (None, None) if len(known) < 2 else _interval(points, sums, counts, level, seed)
    return Crossing(estimate if np.isfinite(estimate) else None, low, high, len(known))


def _interval(points: Floats, sums: Floats, counts: Floats, level: float, seed: int) -> tuple[float | None, ...]:
    count = len(sums)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    found = np.sort([_reached(points, draw @ sums, draw @ counts, level) for draw in weights])
    ends = found[[int(0.025 * _RESAMPLES), int(np.ceil(0.975 * _RESAMPLES)) - 1]]
    return tuple(float(end) if np.isfinite(end) else None for end in ends)


def _reached(points: Floats, sums: Floats, counts: Floats, level: float) -> float:
    """The x at which the fit to the means reaches the level; infinite if it does not."""
    seen = counts > 0
    xs = points[seen]
    fit = isotonic_regression(sums[seen] / counts[seen], weights=counts[seen]).x
    after = int(np.argmax(fit >= level))
    if fit[after] < level:
        return np.inf
    if after == 0:
        return float(xs[0])
    share = (level - fit[after - 1]) / (fit[after] - fit[after - 1])
    return float(xs[after - 1] + share * (xs[after] - xs[after - 1]))
