"""Two curves of a share y against a positive quantity x, fitted by least squares: log-linear and saturating.

Log-linear: y = intercept + slope * log10 x (P9, Figure 1). Saturating, our choice: y = x^b / (k^b + x^b), the Hill
curve with ceiling 1, which is the logistic curve in log x. It is bounded by 0 and 1 and has two parameters like the
line, so that the comparison is fair. P9 fits no alternative, and does not test whether the points lie on a line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import leastsq
from scipy.special import expit
from scipy.stats import chi2
from scipy.stats import t as student_t

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Fit = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], Curve]

POINTS_FOR_INTERVAL: Final = 3
POINTS_FOR_COMPARISON: Final = 4
_MAX_STEPS: Final = 25  # of the weights of the lack-of-fit test, which settle within a few


@dataclass(frozen=True, slots=True, eq=False)
class LogLinearFit:
    """y = intercept + slope * log10 x, fitted to `count` points; None where the points do not determine a number.

    slope: change of y per tenfold of x, with its standard error and 95 % Student's t interval at count - 2 degrees of
    freedom; r2: explained share of the weighted variance of y; residuals: y - fitted, one per point.
    """

    slope: float | None
    lower: float | None
    upper: float | None
    standard_error: float | None
    intercept: float | None
    r2: float | None
    residuals: NDArray[np.float64] | None
    count: int
    interval: str = "Student's t 95 %"


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """Leave-one-out root mean squared error of each curve, in units of y.

    None, with the reason, where there are too few points; better: the curve with the smaller error, None for a tie.
    """

    log_linear: float | None
    saturating: float | None
    reason: str | None = None

    @property
    def better(self) -> str | None:
        if self.log_linear is None or self.saturating is None or abs(self.log_linear - self.saturating) < 1e-9:
            return None
        return "log-linear" if self.log_linear < self.saturating else "saturating"


def fit_log_linear(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> LogLinearFit:
    """Least squares fit of y on log10 x, weighted by `weights` (e.g. rows behind each point; equal by default).

    Interval, error and R2 need three points with y values that are not all equal: without scatter there is nothing to
    estimate an error from. The slope needs two different x.

    Args:
        x: shape (points,), above 0. y: shape (points,). weights: shape (points,), above 0.

    Raises:
        ValueError: shapes differ, or a value is not finite, or x or a weight is not above 0.
    """
    z, y, weights = _validated(x, y, weights)
    if len(np.unique(z)) < 2:
        return LogLinearFit(None, None, None, None, None, None, None, len(z))
    curve = _fit_straight(z, y, weights)
    residuals = y - curve(z)
    intercept, slope = float(curve(np.zeros(1))[0]), float(np.diff(curve(np.array([0.0, 1.0])))[0])
    total_sum = float(weights @ (y - np.average(y, weights=weights)) ** 2)
    if len(z) < POINTS_FOR_INTERVAL or np.ptp(y) == 0:
        return LogLinearFit(slope, None, None, None, intercept, None, residuals, len(z))
    residual_sum = float(weights @ residuals**2)
    x_sum = float(weights @ (z - np.average(z, weights=weights)) ** 2)
    standard_error = (residual_sum / (len(z) - 2) / x_sum) ** 0.5
    half_width = float(student_t.ppf(0.975, len(z) - 2)) * standard_error
    lower, upper, r2 = slope - half_width, slope + half_width, 1 - residual_sum / total_sum
    return LogLinearFit(slope, lower, upper, standard_error, intercept, r2, residuals, len(z))


def lack_of_fit(x: ArrayLike, shares: ArrayLike, rows: ArrayLike) -> float | None:
    """p of the hypothesis that shares counted in separate rows lie on a line in log10 x, up to chance.

    Pearson's chi-squared of the shares about the line of largest likelihood, points - 2 degrees of freedom; a point has
    the binomial variance of its share on the line, which is kept half a row away from 0 and 1 (our choice). On true
    lines p < .05 is found in 1 to 6 % of samples of 48 or more rows a point. Points that share rows deviate less from
    each other than separate rows would, so that the line is then rejected less often.

    Args:
        x: shape (points,), above 0. shares: shape (points,), 0 to 1. rows: shape (points,), rows behind each; where
            these come in clusters, as many independent rows as they are worth (`estimates.clustered.effective_rows`).

    Returns:
        None for fewer than three different x, which leave nothing to test.

    Raises:
        ValueError: as `fit_log_linear`, or a share is not between 0 and 1.
    """
    z, y, _ = _validated(x, shares, rows)
    n = np.asarray(rows, float)
    if ((y < 0) | (y > 1)).any():
        raise ValueError("shares must be between 0 and 1")
    if len(np.unique(z)) < POINTS_FOR_INTERVAL:
        return None
    margin = np.minimum(0.5, 0.5 / n)
    weights = n
    for _ in range(_MAX_STEPS):
        on_line = np.clip(_fit_straight(z, y, weights)(z), margin, 1 - margin)
        weights = n / (on_line * (1 - on_line))
    return float(chi2.sf(weights @ (y - _fit_straight(z, y, weights)(z)) ** 2, len(z) - 2))


def compare_curves(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> CurveComparison:
    """Leave-one-out cross-validated error of the log-linear and the saturating curve (arguments as `fit_log_linear`).

    Our choice: each point is predicted from all others; errors have the weights of the points.
    """
    z, y, weights = _validated(x, y, weights)
    if len(np.unique(z)) < POINTS_FOR_COMPARISON:
        return CurveComparison(None, None, f"leaving one out needs {POINTS_FOR_COMPARISON} points")
    log_linear, saturating = (_cross_validated_error(fit, z, y, weights) for fit in (_fit_straight, _fit_saturating))
    return CurveComparison(log_linear, saturating)


def _cross_validated_error(
    fit: Fit, z: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    errors = []
    for i in range(len(z)):
        others = np.arange(len(z)) != i
        errors.append(y[i] - fit(z[others], y[others], weights[others])(z[i : i + 1])[0])
    return float(np.average(np.square(errors), weights=weights) ** 0.5)


def _fit_straight(z: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> Curve:
    mean_z, mean_y = np.average(z, weights=weights), np.average(y, weights=weights)
    slope = (weights * (z - mean_z)) @ (y - mean_y) / (weights @ (z - mean_z) ** 2)
    return lambda x: mean_y + slope * (x - mean_z)


def _fit_saturating(z: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> Curve:
    """Least squares fit of the logistic curve in z, starting from a line through the logits of the clipped y."""
    start = _fit_straight(z, np.log(np.clip(y, 0.01, 0.99) / np.clip(1 - y, 0.01, 0.99)), weights)(np.array([0.0, 1.0]))
    root_weights = np.sqrt(weights)

    def residuals(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return root_weights * (expit(parameters[0] + parameters[1] * z) - y)

    # full_output silences the warning of a steepness that diverges: the curve is then a step function
    best = leastsq(residuals, (start[0], start[1] - start[0]), full_output=True)[0]
    return lambda x: expit(best[0] + best[1] * x)


def _validated(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[NDArray[np.float64], ...]:
    """log10 x, y and the weights, scaled to mean 1."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    if not x.shape == y.shape == weights.shape or x.ndim != 1:
        raise ValueError(
            f"x, y and weights must be of the same shape (points,), not {x.shape}, {y.shape}, {weights.shape}"
        )
    if not all(np.isfinite(values).all() for values in (x, y, weights)) or (x <= 0).any() or (weights <= 0).any():
        raise ValueError("x and weights must be finite and above 0, y finite")
    return np.log10(x), y, weights / weights.mean() if len(weights) else weights
