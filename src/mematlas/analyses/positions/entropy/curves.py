"""Mean signals around a border by class of rows: P1's Fig. 6, with intervals, a control, and numbers of each row.

Rows, borders and shuffled labels are those of curves.py. What a row does is told by four statistics: the mean over its
context and over its continuation, and both forms of the boundary difference (border.py).
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from polars import selectors

from mematlas.analyses.positions.boundary_step import (
    STEP,
    apart,
    forms,
    framed,
    row_differences,
    row_means,
    size_slopes,
    width,
)
from mematlas.analyses.positions.entropy.signals import MEASURE_MEANING, PATH_MEANING, Signals
from mematlas.analyses.positions.profiles import BORDER, CURVES, GROUP, REACH, Group, Values, around, groups, named
from mematlas.analyses.positions.token_windows import CLASS, MEMORIZED, UNMEMORIZED
from mematlas.stats.estimates.averages import means

IN_CONTEXT: Final = "mean over the context"
IN_CONTINUATION: Final = "mean over the continuation"
_TOLD: Final = {"path": PATH_MEANING, "measure": MEASURE_MEANING}
_STATISTIC: Final = {
    "statistic": f"{IN_CONTEXT}, {IN_CONTINUATION}: of the row's tokens; {STEP}: first token after the border minus "
    "the last before it; window of w: means of w tokens on each side"
}
_INTERVAL: Final = "lower end of its 95 % interval (Student's t); null for one row, or rows that are all the same"
SIGNAL_CURVES: Final = {
    **GROUP,
    **_TOLD,
    "offset": "tokens after the border: 0 is the first token to recite, or the first that is not recited",
    "rows": "rows whose value is known and finite",
    "mean": "mean over rows, in the unit of the measure",
    "mean_lower": _INTERVAL,
    "mean_upper": "upper end of it",
    "shown": CURVES["shown"],
}
STATISTICS: Final = {
    "parameters": "number of weights",
    **GROUP,
    **_TOLD,
    **_STATISTIC,
    "rows": "rows whose statistic is known",
    "value": "mean of the statistic over rows, in the unit of the measure",
    "value_lower": _INTERVAL,
    "value_upper": "upper end of it",
    "shown": CURVES["shown"],
}
SIGNAL_CONTRASTS: Final = {
    **{name: GROUP[name] for name in ("model", "role")},
    **_TOLD,
    **_STATISTIC,
    "memorized": "rows with M = 1",
    "unmemorized": "rows with M = 0",
    "difference": "mean of the statistic over memorized rows minus that over unmemorized ones",
    "difference_lower": "lower end of its 95 % interval (Welch); null where a class has one row or nothing varies",
    "difference_upper": "upper end of it",
}
SIGNAL_SLOPES: Final = {
    **{name: GROUP[name] for name in ("role", "class")},
    **_TOLD,
    **_STATISTIC,
    "models": "models of the family, one a size, that have such a value",
    "slope": "change of the value per tenfold of parameters, models weighted by their rows",
    "slope_lower": "lower end of its 95 % interval (Student's t); null for two models",
    "slope_upper": "upper end of it",
}
_TYPES: Final[dict[str, Any]] = {"class": CLASS, "offset": pl.Int64, "rows": pl.Int64, "shown": pl.Boolean}
_SCHEMA: Final[dict[str, Any]] = {
    name: pl.String if name in GROUP or name in _TOLD else pl.Float64 for name in SIGNAL_CURVES
} | _TYPES
_TEXTS: Final = (*_TOLD, *_STATISTIC)


def _measured(rows: pl.DataFrame, signals: Signals) -> Iterator[tuple[dict[str, str], list[Group], Values]]:
    """Every path and measure of every model: the groups of its rows, and the matrix they point into, one at a time."""
    for (model,), mine in rows.group_by("model", maintain_order=True):
        for path in signals.lines:
            ids = signals.rows(str(model), path)
            listed = groups(mine.filter(pl.col("row").is_in(ids)), ids)
            for measure in signals.measures(path) if listed else ():
                yield {"path": path, "measure": measure}, listed, signals.values(str(model), path, measure)


def signal_curves(rows: pl.DataFrame, signals: Signals) -> pl.DataFrame:
    """Mean of each measure at each offset at which a row has a value, of the classes of P1 and of all rows that
    diverge; columns SIGNAL_CURVES.

    Args:
        rows: as `signal_lines.rows_with_signals`. signals: as `signal_lines.boundary_signals`.
    """
    parts = [pl.DataFrame(schema=_SCHEMA)]
    for told, listed, values in _measured(rows, signals):
        padded = np.pad(values, ((0, 0), (REACH, REACH)), constant_values=np.nan)
        for group in listed:
            if not group.of_paper:
                continue
            here = means(around(padded, group))
            first = signals.cell.context if group.at_border else REACH
            found = {"offset": np.arange(len(here.count)) - first, "rows": here.count, "shown": group.shown}
            columns = {**found, **named("mean", here), **told, **group.place}
            parts.append(pl.DataFrame({name: columns[name] for name in SIGNAL_CURVES}, schema=_SCHEMA))
    return pl.concat(parts).with_columns(selectors.float().fill_nan(None)).filter(pl.col("rows") > 0)


# ----------------------------------------------------------------------------------------------------- of each row


def _statistics(values: Values, signals: Signals) -> Values:
    """The four statistics of each row, [rows, 4], NaN where a token they need has no value."""
    at, length = signals.cell.context, signals.cell.continuation
    parts = np.stack([row_means(values[:, :at]), row_means(values[:, at:])], axis=1)
    return np.hstack([parts, row_differences(values, at, width(at, length))])


def _names(signals: Signals) -> tuple[str, ...]:
    return (IN_CONTEXT, IN_CONTINUATION, *forms(signals.cell.context, signals.cell.continuation))


def signal_statistics(rows: pl.DataFrame, signals: Signals, models: pl.DataFrame) -> pl.DataFrame:
    """Mean of each statistic over the rows of each group, where a row has one; columns STATISTICS.

    rows, signals: as `signal_curves`; models: one line a model, with parameters. At divergence points one step alone,
    as windows may end there.
    """
    lines = []
    for told, listed, values in _measured(rows, signals):
        at_border = _statistics(values, signals)
        for group in listed:
            mine, at = group.places, group.at
            step = (values[mine, at] - values[mine, at - 1])[:, None]
            here = means(at_border[mine] if group.at_border else step)
            names = _names(signals) if group.at_border else (STEP,)
            for name, count, *numbers in zip(names, here.count, here.estimate, here.lower, here.upper, strict=True):
                ends = dict(zip(("value", "value_lower", "value_upper"), numbers, strict=True))
                line = {**group.place, **told, "statistic": name, "rows": count, **ends, "shown": group.shown}
                lines += [line] if count else []
    found = framed(lines, [name for name in STATISTICS if name != "parameters"], _TEXTS)
    return found.join(models.select("model", "parameters"), "model", "left", maintain_order="left").select(*STATISTICS)


def signal_contrasts(rows: pl.DataFrame, signals: Signals) -> pl.DataFrame:
    """Memorized beside unmemorized rows of each model and role; columns SIGNAL_CONTRASTS. Arguments: as the curves."""
    both = rows.filter(pl.col("class").is_in([MEMORIZED, UNMEMORIZED]), alignment=BORDER)
    lines = []
    for told, listed, values in _measured(both, signals):
        of = {(group.place["role"], group.place["class"]): group for group in listed}
        statistics = _statistics(values, signals)
        for role in dict.fromkeys(role for role, _ in of):
            pair = [of.get((role, name)) for name in (MEMORIZED, UNMEMORIZED)]
            first, second = pair
            if first is None or second is None:
                continue
            for at, name in enumerate(_names(signals)):
                numbers = apart(statistics[first.places, at], statistics[second.places, at])
                key = (first.place["model"], role, *told.values(), name)
                lines += [dict(zip(SIGNAL_CONTRASTS, (*key, *numbers), strict=True))] if numbers else []
    return framed(lines, SIGNAL_CONTRASTS, _TEXTS)


def signal_slopes(statistics: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    """How the `signal_statistics` at the border change with size; columns SIGNAL_SLOPES.

    latest: column model, the models that stand for a size; those of unknown size are left out.
    """
    return framed(size_slopes(statistics, latest, "value", list(SIGNAL_SLOPES)[:5]), SIGNAL_SLOPES, _TEXTS)
