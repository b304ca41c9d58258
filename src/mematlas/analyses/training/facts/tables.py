"""What a showing brings, and what is left of it: effectivity, retainability and forgetting period of every group."""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.training.facts.losses import (
    CONTROL_MODEL,
    KEYS,
    TREATMENT,
    Curves,
    group_curves,
    ordered,
)
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.regression.retention import effectivities, faithful_retention, forgetting_line, retention

_BOOTSTRAP: Final = "of its 95 % interval (bootstrap over facts)"
_GAIN: Final = {
    "facts": "facts, each with the mean over its questions and over seeds",
    "effectivity": "loss right before a showing - smallest loss in the window after it, nats per token (Chang et al.)",
    "never": "the same of facts never shown, in the same steps: what the minimum over noisy steps brings alone",
    "corrected": "effectivity - never",
    "corrected_lower": "lower end of its 95 % interval (Welch's t over facts)",
    "corrected_upper": "upper end of the same",
}
EFFECTIVITY_COLUMNS: Final = {
    **KEYS,
    "arm": "treatment, or control model: the same facts in the twin that was shown none",
    **_GAIN,
}
SHOWING_COLUMNS: Final = {**KEYS, "showing": "number of the showing", **_GAIN}
RETENTION_COLUMNS: Final = {
    **KEYS,
    "t": "steps since the smallest loss after the last showing",
    "R": "share that is left of what was acquired, over facts never shown",
    "R_lower": f"lower end {_BOOTSTRAP}",
    "R_upper": f"upper end {_BOOTSTRAP}",
    "R_chang": "mean of each fact's own share, without outliers, without regard to facts never shown (Chang et al.)",
    "reason": "why there is no R",
}
FORGETTING_COLUMNS: Final = {
    **KEYS,
    "facts": "facts of the group",
    "acquired": "fall of the loss from before the first to after the last showing, over facts never shown, nats",
    "acquired_lower": f"lower end {_BOOTSTRAP}",
    "acquired_upper": f"upper end {_BOOTSTRAP}",
    "slope": "change of R for ten times the steps",
    "slope_lower": f"lower end {_BOOTSTRAP}",
    "slope_upper": f"upper end {_BOOTSTRAP}",
    "period": "steps after which the line of R in log10 t reaches 0 (forgetting period)",
    "period_low": f"lower end {_BOOTSTRAP}; null if it is never reached",
    "period_high": "upper end of the same; null if it is never reached",
    "slope_chang": "slope of R_chang",
    "period_chang": "period of R_chang",
    "facts_chang": "facts whose own loss fell, of which R_chang is the mean",
    "reason": "why there is no R, or no period",
}


def fact_effectivity(facts: pl.DataFrame) -> pl.DataFrame:
    """What a showing brings, mean over all showings; columns EFFECTIVITY_COLUMNS. facts: from `fact_losses`."""
    records = [
        {**curves.key, "arm": arm, **_gain(curves, shown, never)}
        for arm in (TREATMENT, CONTROL_MODEL)
        for curves in group_curves(facts, arm)
        for shown, never in [_gains(curves)]
    ]
    return ordered(_frame(records, EFFECTIVITY_COLUMNS), "arm")


def fact_showings(facts: pl.DataFrame) -> pl.DataFrame:
    """What each showing brings in the treatment; columns SHOWING_COLUMNS. facts: from `fact_losses`."""
    records = [
        {**curves.key, "showing": at + 1, **_gain(curves, shown[:, at : at + 1], never[:, at : at + 1])}
        for curves in group_curves(facts)
        for shown, never in [_gains(curves)]
        for at in range(shown.shape[1])
    ]
    return ordered(_frame(records, SHOWING_COLUMNS), "showing")


def fact_retention(facts: pl.DataFrame) -> pl.DataFrame:
    """What is left after the last showing; columns RETENTION_COLUMNS. facts: from `fact_losses`."""
    records: list[dict[str, Any]] = []
    for curves in group_curves(facts):
        found = retention(curves.times, curves.losses, curves.never, curves.before[-1], curves.window)
        clock, values, _ = faithful_retention(curves.times, curves.losses, curves.before[-1], curves.window)
        of_chang = dict(zip(clock.tolist(), values.tolist(), strict=True))
        columns = (found.times, found.left, found.lower, found.upper)
        own = {time: numbers for time, *numbers in zip(*(column.tolist() for column in columns), strict=True)}
        for time in sorted({*own, *of_chang}):
            left, lower, upper = own.get(time, [None] * 3)
            measured = found.reason if left is None or np.isnan(left) else None
            reason = measured or (None if time in own else "the group's own smallest loss was at another step")
            numbers = {"R": left, **_bounds("R", left, lower, upper), "R_chang": of_chang.get(time)}
            records.append({**curves.key, "t": int(time), **numbers, "reason": reason})
    return ordered(_frame(records, RETENTION_COLUMNS), "t")


def fact_forgetting(facts: pl.DataFrame) -> pl.DataFrame:
    """Slope of what is left, and forgetting period; columns FORGETTING_COLUMNS. facts: from `fact_losses`."""
    records = []
    for curves in group_curves(facts):
        found = retention(curves.times, curves.losses, curves.never, curves.before[-1], curves.window)
        clock, values, count = faithful_retention(curves.times, curves.losses, curves.before[-1], curves.window)
        slope, period, _ = forgetting_line(clock, values)
        records.append(
            {
                **curves.key,
                "facts": found.facts,
                "acquired": found.acquired,
                **_bounds("acquired", found.acquired, *(found.acquired_bounds or (None, None))),
                "slope": found.slope,
                **_bounds("slope", found.slope, *(found.slope_bounds or (None, None))),
                "period": found.period,
                "period_low": found.low,
                "period_high": found.high,
                "slope_chang": slope,
                "period_chang": period,
                "facts_chang": count,
                "reason": found.reason,
            }
        )
    return ordered(_frame(records, FORGETTING_COLUMNS))


def _gains(curves: Curves) -> tuple[NDArray[np.float64], ...]:
    """Effectivity of every showing, of facts of the group and of facts never shown: [facts, showings] each."""
    return tuple(
        effectivities(curves.times, values, curves.before, curves.window) for values in (curves.losses, curves.never)
    )


def _gain(curves: Curves, shown: NDArray[np.float64], never: NDArray[np.float64]) -> dict[str, Any]:
    """The columns of _GAIN, of the mean over showings of every fact."""
    of_facts, of_never = shown.mean(axis=1), never.mean(axis=1)
    is_shown = np.repeat([True, False], [len(of_facts), len(of_never)])
    values = np.concatenate([of_facts, of_never])[:, None]
    found = stratified_difference(values, is_shown)
    corrected = float(of_facts.mean() - of_never.mean())
    return {
        "facts": len(curves.losses),
        "effectivity": float(of_facts.mean()),
        "never": float(of_never.mean()),
        "corrected": corrected,
        **_bounds("corrected", corrected, float(found.lower[0]), float(found.upper[0])),
    }


def _bounds(name: str, estimate: float | None, lower: float | None, upper: float | None) -> dict[str, float | None]:
    """Both ends of an interval, which holds its estimate; null where one is not known."""
    if estimate is None or lower is None or upper is None or np.isnan([estimate, lower, upper]).any():
        return {f"{name}_lower": None, f"{name}_upper": None}
    return {f"{name}_lower": min(lower, estimate), f"{name}_upper": max(upper, estimate)}


def _frame(records: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    texts, counts = ("model", "group", "question", "arm", "reason"), ("parameters", "showing", "t", "facts")
    types = {
        name: pl.String if name in texts else pl.Int64 if name in (*counts, "facts_chang") else pl.Float64
        for name in columns
    }
    return pl.DataFrame(records, schema=types, orient="row").fill_nan(None)
