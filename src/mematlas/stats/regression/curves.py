"""Laws of a share y against a positive quantity x: one that is straight in log10 x, and one that saturates.

log-linear: y = intercept + slope * log10 x (P9, Figure 1), by least squares. Saturating, our choice:
y = x^b / (k^b + x^b), the Hill curve with ceiling 1, which is the logistic curve in log x. It is bounded by 0 and 1 and
has two parameters as the line has, so that the two are compared on equal terms. P9 fits no alternative.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import leastsq
from scipy.special import expit
from scipy.stats import t as student

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Fit = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], Curve]

POINTS_FOR_INTERVAL: Final = 3
POINTS_FOR_COMPARISON: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """y = intercept + slope * log10 x, fitted to `count` points; None where the points do not determine a number.

    slope: change of y per tenfold of x, with its standard error and 95 % interval of Student's t at count - 2 degrees
    of freedom; r2: explained share of the weighted variance of y; residuals: y - fitted, one a point.
    """

    slope: float | None
    lower: float | None
    upper: float | None
    error: float | None
    intercept: float | None
    r2: float | None
    residuals: NDArray[np.float64] | None
    count: int
    interval: str = "Student's t 95 %"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Root mean squared error of each law on points left out one at a time, in units of y.

    None, with the reason, where there are too few points; better: the law with the smaller error, None for a tie.
    """

    line: float | None
    saturating: float | None
    reason: str | None = None

    @property
    def better(self) -> str | None:
        if self.line is None or self.saturating is None or abs(self.line - self.saturating) < 1e-9:
            return None
        return "log-linear" if self.line < self.saturating else "saturating"


def fit_line(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Line:
    """Least squares of y on log10 x, weighted by `weights` (e.g. rows behind each point; equal by default).

    Interval and error need three points, and points that are not all of one height: without scatter nothing tells how
    far the slope could be off. R2 needs the same. The slope needs two different x.

    Args:
        x: shape (points,), above 0. y: shape (points,). weights: shape (points,), above 0.

    Raises:
        ValueError: shapes differ, or a value is not finite, or x or a weight is not above 0.
    """
    z, y, weights = _checked(x, y, weights)
    if len(np.unique(z)) < 2:
        return Line(None, None, None, None, None, None, None, len(z))
    curve = _straight(z, y, weights)
    residuals = y - curve(z)
    intercept, slope = float(curve(np.zeros(1))[0]), float(np.diff(curve(np.array([0.0, 1.0])))[0])
    total = float(weights @ (y - np.average(y, weights=weights)) ** 2)
    if len(z) < POINTS_FOR_INTERVAL or np.ptp(y) == 0:
        return Line(slope, None, None, None, intercept, None, residuals, len(z))
    left = float(weights @ residuals**2)
    spread = float(weights @ (z - np.average(z, weights=weights)) ** 2)
    error = (left / (len(z) - 2) / spread) ** 0.5
    half = float(student.ppf(0.975, len(z) - 2)) * error
    return Line(slope, slope - half, slope + half, error, intercept, 1 - left / total, residuals, len(z))


def compare(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Comparison:
    """Leave-one-out cross-validated error of the log-linear and of the saturating law (arguments as `fit_line`).

    Our choice: each point is predicted from all of the others; errors are weighted as the points are.
    """
    z, y, weights = _checked(x, y, weights)
    if len(np.unique(z)) < POINTS_FOR_COMPARISON:
        return Comparison(None, None, f"leaving one out needs {POINTS_FOR_COMPARISON} points")
    return Comparison(_left_out_error(_straight, z, y, weights), _left_out_error(_saturating, z, y, weights))


def _left_out_error(fit: Fit, z: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    errors = []
    for at in range(len(z)):
        kept = np.arange(len(z)) != at
        errors.append(y[at] - fit(z[kept], y[kept], weights[kept])(z[at : at + 1])[0])
    return float(np.average(np.square(errors), weights=weights) ** 0.5)


def _straight(z: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> Curve:
    middle, height = np.average(z, weights=weights), np.average(y, weights=weights)
    slope = (weights * (z - middle)) @ (y - height) / (weights @ (z - middle) ** 2)
    return lambda at: height + slope * (at - middle)


def _saturating(z: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> Curve:
    """The logistic curve in z by least squares, from the line through the logits of y kept off 0 and 1 as start."""
    start = _straight(z, np.log(np.clip(y, 0.01, 0.99) / np.clip(1 - y, 0.01, 0.99)), weights)(np.array([0.0, 1.0]))
    root = np.sqrt(weights)

    def left(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return root * (expit(at[0] + at[1] * z) - y)

    # full_output keeps quiet about a steepness that grows without end: a step is what the curve then is
    best = leastsq(left, (start[0], start[1] - start[0]), full_output=True)[0]
    return lambda at: expit(best[0] + best[1] * at)


def _checked(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[NDArray[np.float64], ...]:
    """log10 x, y and the weights, scaled to mean 1."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    if not x.shape == y.shape == weights.shape or x.ndim != 1:
        raise ValueError(f"x, y and weights must be of one shape (points,), not {x.shape}, {y.shape}, {weights.shape}")
    if not all(np.isfinite(values).all() for values in (x, y, weights)) or (x <= 0).any() or (weights <= 0).any():
        raise ValueError("x and weights must be finite and above 0, y finite")
    return np.log10(x), y, weights / weights.mean() if len(weights) else weights
