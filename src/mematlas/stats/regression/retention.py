"""How much of a fact a model takes up from a showing, and how fast it loses that again.

Source: Chang et al. 2024 (K12). With the loss l on a fact's target: effectivity of the i-th showing is l(t_i), right
before it, minus the smallest l within a window after it. Retainability after the last showing is the share that is left
of what was acquired by then, R(t) = (l(t_LAM + t) - l(t_pre)) / (l(t_LAM) - l(t_pre)), where t_LAM is the time of the
smallest loss within the window (local acquisition maximum), and t_pre before the first showing. It is fitted by a line
in log10 t; where that reaches 0, the forgetting period ends.

A minimum over noisy steps lies below the mean of any of them, and a model in training also changes otherwise. Therefore
the same of facts that are never shown is subtracted (our choice); Chang et al. do not.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.regression.curves import fit_log_linear

Floats = NDArray[np.float64]

#: Quartile ranges beyond which values are dropped (Chang et al.).
OUTLIERS: Final = 2.0
_RESAMPLES: Final = 500
#: Periods of so many times the longest time measured are no more than guesses (our choice).
_FARTHEST: Final = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Retention:
    """What is left of what was acquired; None where it is not known, with the reason.

    acquired: gain at t_LAM; times: [times] since t_LAM, from the smallest above 0; left, lower, upper: [times], R and
    its 95 % interval; slope: change of R for ten times the time; period: time at which R reaches 0; low, high: 95 %
    intervals, None where an end is not reached; facts: their number; reason: why there is no R or no period.
    """

    acquired: float
    acquired_bounds: tuple[float, float] | None
    times: Floats
    left: Floats
    lower: Floats
    upper: Floats
    slope: float | None
    slope_bounds: tuple[float, float] | None
    period: float | None
    low: float | None
    high: float | None
    facts: int
    reason: str | None = None


def effectivities(times: ArrayLike, losses: ArrayLike, before: ArrayLike, window: int) -> Floats:
    """The loss right before every showing, minus the smallest one within `window` steps after it: [facts, showings].

    Args:
        times: [times], ascending; losses: [facts, times]; before: [showings], times right before them.

    Raises:
        ValueError: nothing was measured right before a showing, or within the window after it.
    """
    at, values = np.asarray(times), np.asarray(losses, np.float64)
    found = []
    for start in np.asarray(before).tolist():
        inside = (at > start) & (at <= start + window)
        if not inside.any() or start not in at:
            raise ValueError(f"nothing was measured at {start} and up to {window} steps later")
        found.append(values[:, at == start][:, 0] - values[:, inside].min(axis=1))
    return np.stack(found, axis=1)


def retention(
    times: ArrayLike, losses: ArrayLike, never: ArrayLike, last: int, window: int, seed: int = 0
) -> Retention:
    """R of facts after their last showing, over facts never shown; the first time is that before the first showing.

    R is that of the mean over facts; intervals are a percentile bootstrap over facts, of both sides. There is no R
    where what was acquired is not clearly above 0: t_LAM is the best of several steps, so that the level of 2.5 % is
    divided by their number (Bonferroni).

    Args:
        times: [times], ascending; losses: [facts, times]; never: [facts never shown, times]; last: the time right
            before the last showing; window: steps after it in which t_LAM lies.
    """
    at, shown, others = np.asarray(times), np.asarray(losses, np.float64), np.asarray(never, np.float64)
    gains, of_never = shown[:, :1] - shown, others[:, :1] - others
    after = at > last
    clock, inside = at[after].astype(np.float64), at[after] <= last + window
    gains, of_never = gains[:, after], of_never[:, after]
    estimate = gains.mean(axis=0) - of_never.mean(axis=0)
    peak = int(np.argmax(np.where(inside, estimate, -np.inf)))
    since = clock[peak + 1 :] - clock[peak]
    draws = _resampled(gains, seed) - _resampled(of_never, seed + 1)
    has_interval = len(shown) > 1 and np.ptp(draws[:, peak]) > 0
    bounds = _ends(draws[:, peak]) if has_interval else None
    acquired, nothing = float(estimate[peak]), np.full(len(since), np.nan)
    is_clear = not has_interval or np.quantile(draws[:, peak], 0.025 / inside.sum()) > 0  # the best of so many steps
    if acquired <= 0 or not is_clear:
        none = "nothing was clearly acquired, so that there is no share of it"
        empty = (None, None, None, None, None)
        return Retention(acquired, bounds, since, nothing, nothing, nothing, *empty, len(shown), none)
    left = estimate[peak + 1 :] / acquired
    with np.errstate(divide="ignore", invalid="ignore"):
        of_draws = draws[:, peak + 1 :] / draws[:, peak : peak + 1]
    lower, upper = (np.quantile(of_draws, q, axis=0) if has_interval else nothing for q in (0.025, 0.975))
    slope, period, reason = forgetting_line(since, left)
    lines = [forgetting_line(since, draw)[:2] for draw in of_draws] if has_interval and slope is not None else []
    slopes = _ends(np.array([line[0] for line in lines])) if lines else None
    low, high = _period_ends([line[1] for line in lines]) if lines else (None, None)
    fits = (slope, slopes, period, low, high)
    return Retention(acquired, bounds, since, left, lower, upper, *fits, len(shown), reason)


def faithful_retention(times: ArrayLike, losses: ArrayLike, last: int, window: int) -> tuple[Floats, Floats, int]:
    """R as Chang et al. compute it: of every fact, against its own loss before the first showing, and then the mean.

    Facts whose loss did not fall have no R. Of every time, values more than OUTLIERS quartile ranges outside of the
    quartiles are dropped.

    Returns:
        Times since each fact's t_LAM above 0; the mean R at each; the number of facts that have one.
    """
    at, values = np.asarray(times), np.asarray(losses, np.float64)
    inside = np.flatnonzero((at > last) & (at <= last + window))
    found: dict[float, list[float]] = {}
    facts = 0
    for fact in values:
        peak = int(inside[np.argmin(fact[inside])])
        acquired = fact[0] - fact[peak]
        if acquired <= 0:
            continue
        facts += 1
        for time, loss in zip(at[peak + 1 :] - at[peak], fact[peak + 1 :], strict=True):
            found.setdefault(float(time), []).append(float((fact[0] - loss) / acquired))
    clock = np.array(sorted(found))
    return clock, np.array([_without_outliers(found[time]).mean() for time in clock]), facts


def forgetting_line(times: ArrayLike, left: ArrayLike) -> tuple[float | None, float | None, str | None]:
    """The slope of R against log10 of the time since t_LAM, the time at which it reaches 0, and why there is none."""
    at, values = np.asarray(times, np.float64), np.asarray(left, np.float64)
    known = np.isfinite(values) & (at > 0)
    fit = fit_log_linear(at[known], values[known])
    if fit.slope is None or fit.intercept is None:
        return None, None, "a line needs two times after the last showing"
    if fit.slope >= 0:
        return fit.slope, None, "what is left does not fall"
    exponent = -fit.intercept / fit.slope
    if exponent > np.log10(_FARTHEST * at[known].max()):
        return fit.slope, None, "the line reaches 0 only after more than a million times what was measured"
    return fit.slope, float(10**exponent), None


def _without_outliers(values: list[float]) -> Floats:
    known = np.array(values)
    low, high = np.quantile(known, [0.25, 0.75])
    reach = OUTLIERS * (high - low)
    return known[(known >= low - reach) & (known <= high + reach)]


def _resampled(values: Floats, seed: int) -> Floats:
    """Means over rows drawn with replacement: [resamples, columns]."""
    count = len(values)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    return weights @ values / count


def _ends(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _period_ends(periods: list[float | None]) -> tuple[float | None, float | None]:
    """The interval of a time, in which one that is never reached counts as infinitely far away."""
    found = np.sort([np.inf if period is None else period for period in periods])
    ends = found[[int(0.025 * len(found)), int(np.ceil(0.975 * len(found))) - 1]]
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return low, high
