"""How something falls with time: exponentially to a floor, with the logarithm of time to nothing, or not at all.

    exponential   y = a * exp(-b * t) + c, a >= 0; c is the floor (the "forgetting baseline" of P8, section 5)
    log-time      y = max(0, a - b * log(1 + t)), b >= 0; its floor is 0
    constant      y = c, the control: nothing falls

Source: P8, section 5, which shows that differences decay exponentially and states no fit. The rival, the comparison and
the intervals are our choice: laws are compared by the error at points left out one by one, and everything has an
interval over separate series (blocks of rows), by the jackknife. All series share their points in time, so that the
scatter of points about a curve says too little of how sure it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.jackknife import jackknife_half_width

Floats = NDArray[np.float64]

LAWS: Final = ("exponential", "log-time", "constant")
POINTS_FOR_DECAY: Final = 5
_RATES: Final = 300  # of the grid on which the rate b is fitted, log-spaced: neighbours are 2 to 4 % apart


@dataclass(frozen=True, slots=True)
class Decay:
    """The law of one decay. None where the points do not determine a number, with the reason.

    a, b, c: of the exponential; lower, upper: 95 % interval of c; errors: root mean squared error of every law at
    points that it was not fitted to, in units of y; law: the one whose error is smaller than those of both others by
    more than chance; count: points.
    """

    a: float | None
    b: float | None
    c: float | None
    lower: float | None
    upper: float | None
    errors: dict[str, float]
    law: str | None
    reason: str | None
    count: int
    interval: str = "jackknife over series, Student's t 95 %"


def fit_decay(t: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Decay:
    """Fit the laws to the mean of several series and say which one it follows.

    Args:
        t: shape (points,), ascending, not negative. y: shape (series, points). weights: shape (series,), rows behind
            each series; equal by default.

    Raises:
        ValueError: shapes differ, a value is not finite, t does not ascend from 0 or more, or a weight is not positive.
    """
    t, y, weights = _validated(t, y, weights)
    if len(t) < POINTS_FOR_DECAY:
        return _nothing(f"{len(t)} points from the peak on; comparing laws needs {POINTS_FOR_DECAY}", len(t))
    means = _with_each_left_out(y, weights)
    a, b, c = _exponentials(t, means, np.ones_like(means))
    errors = {law: _held_out_errors(t, means, fit) for law, fit in _FITS.items()}
    whole = {law: float(values[0]) for law, values in errors.items()}
    law, reason = _decide(errors)
    falls = _is_above_chance(errors["constant"] - errors["exponential"])
    floor, floor_reason = _floor(c, is_slowest=b[0] <= _rates(t)[1], law=law, falls=falls)
    return Decay(
        float(a[0]), float(b[0]), floor[0], floor[1], floor[2], whole, law,
        "; ".join(text for text in (reason, floor_reason) if text) or None, len(t),
    )  # fmt: skip


def exponential(t: ArrayLike, a: float, b: float, c: float) -> Floats:
    """The exponential law at points t, to draw it."""
    return np.asarray(a * np.exp(-b * np.asarray(t, float)) + c)


def _floor(
    c: Floats, *, is_slowest: bool, law: str | None, falls: bool | None
) -> tuple[tuple[float | None, ...], str | None]:
    """c with its interval, from c of all series and without each; and why there is none.

    falls: whether the exponential is better than a constant by more than chance; None if that cannot be told.
    """
    if law == "log-time":
        return (None,) * 3, "a fall with the logarithm of time has no floor above 0"
    if falls is False:
        return (None,) * 3, "nothing falls by more than chance, so that there is no floor"
    if is_slowest:
        return (None,) * 3, "still falling at the end, so that the floor is not determined"
    half = jackknife_half_width(c[1:])
    if half is None:
        return (float(c[0]), None, None), "one series, so that the floor has no interval"
    return (float(c[0]), float(c[0]) - half, float(c[0]) + half), None


def _decide(errors: dict[str, Floats]) -> tuple[str | None, str | None]:
    """The law with the smallest error if both others have a larger one, by more than chance; else why there is none."""
    best, *others = sorted(errors, key=lambda law: float(errors[law][0]))
    for other in others:
        is_better = _is_above_chance(errors[other] - errors[best])
        if is_better is None:
            return None, "one series, so that chance cannot be told"
        if not is_better:
            return None, f"{best} and {other} predict points left out equally well, up to chance"
    return best, None


def _is_above_chance(differences: Floats) -> bool | None:
    """Whether the 95 % interval of differences[0] is above 0; None for one series."""
    half = jackknife_half_width(differences[1:])
    return None if half is None else bool(differences[0] > half)


def _with_each_left_out(y: Floats, weights: Floats) -> Floats:
    """The mean series, then those without each series if there are several: [1 or 1 + series, points]."""
    total = weights @ y
    whole = (total / weights.sum())[None]
    if len(y) == 1:
        return whole
    rest = (total - weights[:, None] * y) / (weights.sum() - weights)[:, None]
    return np.concatenate([whole, rest])


Fit = Callable[[Floats, Floats, Floats], Floats]


def _held_out_errors(t: Floats, y: Floats, fit: Fit) -> Floats:
    """Root mean squared error at points left out one by one, of every series [series, points]: [series].

    The first point is always kept: it is the height from which the decay starts.
    """
    errors = []
    for point in range(1, len(t)):
        mask = np.ones_like(y)
        mask[:, point] = 0
        errors.append(y[:, point] - fit(t, y, mask)[:, point])
    return np.asarray(np.sqrt(np.mean(np.square(errors), axis=0)))


def _rates(t: Floats) -> Floats:
    """Rates b, ascending: from one e-fold over all points to three from the first point to the next."""
    return np.geomspace(1 / (t[-1] - t[0]), 3 / np.diff(t).min(), _RATES)


def _exponentials(t: Floats, y: Floats, mask: Floats) -> tuple[Floats, Floats, Floats]:
    """Least squares a, b, c of every series [series, points], each [series]; mask: 1 for points that count."""
    rates = _rates(t)
    basis = np.exp(-rates[:, None] * (t - t[0]))
    n = mask.sum(axis=1, keepdims=True)
    mean_x, mean_y = mask @ basis.T / n, (mask * y).sum(axis=1, keepdims=True) / n
    xx = np.maximum(mask @ np.square(basis).T / n - mean_x**2, 1e-300)
    xy = (mask * y) @ basis.T / n - mean_x * mean_y
    slopes = np.maximum(0, xy / xx)
    best = np.argmax(2 * slopes * xy - slopes**2 * xx, axis=1)  # the variance that each rate explains
    every = np.arange(len(y))
    a, b = slopes[every, best], rates[best]
    return a * np.exp(b * t[0]), b, mean_y[:, 0] - a * mean_x[every, best]


def _exponential_fit(t: Floats, y: Floats, mask: Floats) -> Floats:
    a, b, c = (values[:, None] for values in _exponentials(t, y, mask))
    return np.asarray(a * np.exp(-b * t) + c)


def _log_time_fit(t: Floats, y: Floats, mask: Floats) -> Floats:
    """The line in log(1 + t), cut off at 0: fitted to the first points, of which number the best is taken.

    Later points, on the floor, would bend a line through all of them.
    """
    z = np.log1p(t)
    best, smallest = np.zeros_like(y), np.full(len(y), np.inf)
    for count in range(3, len(t) + 1):
        first = mask * (np.arange(len(t)) < count)
        n = first.sum(axis=1, keepdims=True)
        mean_z, mean_y = (first * z).sum(1, keepdims=True) / n, (first * y).sum(1, keepdims=True) / n
        zz = (first * (z - mean_z) ** 2).sum(1, keepdims=True)
        slope = np.minimum(0, (first * (z - mean_z) * (y - mean_y)).sum(1, keepdims=True) / zz)
        curve = np.maximum(0, mean_y + slope * (z - mean_z))
        squares = (mask * (y - curve) ** 2).sum(1)
        is_better = squares < smallest
        best[is_better], smallest[is_better] = curve[is_better], squares[is_better]
    return best


def _constant_fit(t: Floats, y: Floats, mask: Floats) -> Floats:
    return np.broadcast_to((mask * y).sum(1, keepdims=True) / mask.sum(1, keepdims=True), y.shape)


_FITS: Final[dict[str, Fit]] = dict(zip(LAWS, (_exponential_fit, _log_time_fit, _constant_fit), strict=True))


def _nothing(reason: str, count: int) -> Decay:
    return Decay(None, None, None, None, None, {}, None, reason, count)


def _validated(t: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    times, values = np.asarray(t, float), np.asarray(y, float)
    sizes = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    if values.ndim != 2 or values.shape != (len(sizes), len(times)) or not len(values):
        raise ValueError(
            f"t, y and weights must have shapes (points,), (series, points) and (series,), not {times.shape}, "
            f"{values.shape} and {sizes.shape}"
        )
    if not all(np.isfinite(part).all() for part in (times, values, sizes)) or (sizes <= 0).any():
        raise ValueError("t and y must be finite, weights finite and above 0")
    if (np.diff(times) <= 0).any() or (times < 0).any():
        raise ValueError(f"t must ascend from 0 or more, not {times.tolist()}")
    return times, values, sizes
