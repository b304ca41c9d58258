"""Positional profiles of signals by class of rows (P1, Fig. 6), and statistics of each row.

Rows, alignments and shuffled labels are those of positions/profiles.py. Each row has four statistics: the mean over its
context, the mean over its continuation, and both forms of the boundary difference (positions/boundary_step.py).
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from polars import selectors

from mematlas.analyses.positions.boundary_step import (
    ONE_STEP,
    differences_at,
    form_names,
    mean_records,
    row_differences,
    row_means,
    size_slopes,
    to_frame,
    welch_difference,
    window_width,
)
from mematlas.analyses.positions.count_curves import interval_columns
from mematlas.analyses.positions.entropy.signals import MEASURE_MEANING, PATH_MEANING, Signals
from mematlas.analyses.positions.profiles import (
    BOUNDARY,
    CLUSTERS,
    DESIGN_EFFECT,
    DIVERGENCE_REACH,
    GROUP_COLUMNS,
    PROFILE_COLUMNS,
    Group,
    Values,
    aligned_values,
    row_groups,
)
from mematlas.analyses.positions.shuffles import SHUFFLED, shuffled_difference, shuffled_rows
from mematlas.analyses.positions.token_windows import CLASS_TYPE, MEMORIZED, UNMEMORIZED

IN_CONTEXT: Final = "mean over the context"
IN_CONTINUATION: Final = "mean over the continuation"
_SIGNAL_KEY_COLUMNS: Final = {"path": PATH_MEANING, "measure": MEASURE_MEANING}
_STATISTIC_KEY_COLUMNS: Final = {
    "statistic": f"{IN_CONTEXT}, {IN_CONTINUATION}: of the row's tokens; {ONE_STEP}: first token after the border "
    "minus the last before it; window of w: means of w tokens on each side"
}
_INTERVAL: Final = (
    "lower end of its 95 % interval (Student's t); null for one row or document, or rows that are all the same"
)
SIGNAL_PROFILE_COLUMNS: Final = {
    **GROUP_COLUMNS,
    **_SIGNAL_KEY_COLUMNS,
    "offset": "tokens after the border: 0 is the first token to recite, or the first that is not recited",
    "rows": "rows whose value is known and finite",
    "mean": "mean over rows, in the unit of the measure",
    "mean_lower": _INTERVAL,
    "mean_upper": "upper end of it",
    "clusters": CLUSTERS,
    "design_effect": DESIGN_EFFECT.format("the mean"),
    "shown": PROFILE_COLUMNS["shown"],
}
STATISTIC_COLUMNS: Final = {
    "parameters": "number of weights",
    **GROUP_COLUMNS,
    **_SIGNAL_KEY_COLUMNS,
    **_STATISTIC_KEY_COLUMNS,
    "rows": "rows whose statistic is known",
    "value": "mean of the statistic over rows, in the unit of the measure",
    "value_lower": _INTERVAL,
    "value_upper": "upper end of it",
    "clusters": CLUSTERS,
    "design_effect": DESIGN_EFFECT.format("the value"),
    "shown": PROFILE_COLUMNS["shown"],
}
SIGNAL_CONTRAST_COLUMNS: Final = {
    **{name: GROUP_COLUMNS[name] for name in ("model", "role")},
    **_SIGNAL_KEY_COLUMNS,
    **_STATISTIC_KEY_COLUMNS,
    "memorized": "rows with M = 1",
    "unmemorized": "rows with M = 0",
    "difference": "mean of the statistic over memorized rows minus that over unmemorized ones",
    "difference_lower": "lower end of its 95 % interval (Welch); null where a class has one row or document, or "
    "nothing varies",
    "difference_upper": "upper end of it",
    "clusters": CLUSTERS,
}
SIGNAL_SLOPE_COLUMNS: Final = {
    **{name: GROUP_COLUMNS[name] for name in ("role", "class")},
    **_SIGNAL_KEY_COLUMNS,
    **_STATISTIC_KEY_COLUMNS,
    "models": "models of the family, one a size, that have such a value",
    "slope": "change of the value per tenfold of parameters, models weighted by their rows",
    "slope_lower": "lower end of its 95 % interval (Student's t); null for two models",
    "slope_upper": "upper end of it",
}
_TYPES: Final[dict[str, Any]] = {
    "class": CLASS_TYPE,
    **dict.fromkeys(("offset", "rows", "clusters"), pl.Int64),
    "shown": pl.Boolean,
}
_SCHEMA: Final[dict[str, Any]] = {
    name: pl.String if name in GROUP_COLUMNS or name in _SIGNAL_KEY_COLUMNS else pl.Float64
    for name in SIGNAL_PROFILE_COLUMNS
} | _TYPES
_TEXT_COLUMNS: Final = (*_SIGNAL_KEY_COLUMNS, *_STATISTIC_KEY_COLUMNS)


def _signal_matrices(rows: pl.DataFrame, signals: Signals) -> Iterator[tuple[dict[str, str], list[Group], Values]]:
    """For every model, path and measure: its key, the groups of its rows, and the matrix that the groups index."""
    for (model,), model_rows in rows.group_by("model", maintain_order=True):
        for path in signals.records:
            ids = signals.rows(str(model), path)
            groups = row_groups(model_rows.filter(pl.col("row").is_in(ids)), ids)
            for measure in signals.measures(path) if groups else ():
                yield {"path": path, "measure": measure}, groups, signals.values(str(model), path, measure)


def signal_curves(rows: pl.DataFrame, signals: Signals) -> pl.DataFrame:
    """Mean of each measure at each offset, by class; columns SIGNAL_PROFILE_COLUMNS.

    The classes are those of P1 and all rows that diverge; offsets where no row has a value are left out.

    Args:
        rows: from `rows_with_signals`. signals: from `boundary_signals`.
    """
    parts = [pl.DataFrame(schema=_SCHEMA)]
    for signal_key, groups, values in _signal_matrices(rows, signals):
        shuffled = shuffled_rows(groups)
        padded = np.pad(values, ((0, 0), (DIVERGENCE_REACH, DIVERGENCE_REACH)), constant_values=np.nan)
        for group in groups:
            if not group.in_paper_figure:
                continue
            mean = shuffled.means(group, aligned_values(padded, group))
            first = signals.cell.context if group.at_boundary else DIVERGENCE_REACH
            columns = {"offset": np.arange(len(mean.count)) - first, "rows": mean.count, "shown": group.shown}
            columns |= {"clusters": mean.clusters, "design_effect": mean.design_effect}
            columns = {**columns, **interval_columns("mean", mean), **signal_key, **group.key}
            parts.append(pl.DataFrame({name: columns[name] for name in SIGNAL_PROFILE_COLUMNS}, schema=_SCHEMA))
    return pl.concat(parts).with_columns(selectors.float().fill_nan(None)).filter(pl.col("rows") > 0)


# --------------------------------------------------------------------------------------------- statistics of each row


def _statistics(values: Values, signals: Signals) -> Values:
    """The four statistics of each row, shape (rows, 4), NaN where a token they need has no value."""
    context, continuation = signals.cell.context, signals.cell.continuation
    parts = np.stack([row_means(values[:, :context]), row_means(values[:, context:])], axis=1)
    return np.hstack([parts, row_differences(values, context, window_width(context, continuation))])


def _statistic_names(signals: Signals) -> tuple[str, ...]:
    return (IN_CONTEXT, IN_CONTINUATION, *form_names(signals.cell.context, signals.cell.continuation))


def signal_statistics(rows: pl.DataFrame, signals: Signals, models: pl.DataFrame) -> pl.DataFrame:
    """Mean of each statistic over the rows of each group that have it; columns STATISTIC_COLUMNS.

    At divergence points there is only the one-step form, as a window may extend beyond the end of the row.

    Args:
        rows: from `rows_with_signals`. signals: from `boundary_signals`.
        models: one row per model, with its parameters.
    """
    records = []
    for signal_key, groups, values in _signal_matrices(rows, signals):
        at_boundary, shuffled = _statistics(values, signals), shuffled_rows(groups)
        for group in groups:
            mean = shuffled.means(group, differences_at(at_boundary if group.at_boundary else None, values))
            names = _statistic_names(signals) if group.at_boundary else (ONE_STEP,)
            for name, numbers in zip(names, mean_records(mean, "value"), strict=True):
                record = {**group.key, **signal_key, "statistic": name, **numbers, "shown": group.shown}
                records += [record] if numbers["rows"] else []
    frame = to_frame(records, [name for name in STATISTIC_COLUMNS if name != "parameters"], _TEXT_COLUMNS)
    return frame.join(models.select("model", "parameters"), "model", "left", maintain_order="left").select(
        *STATISTIC_COLUMNS
    )


def signal_contrasts(rows: pl.DataFrame, signals: Signals) -> pl.DataFrame:
    """Memorized compared with unmemorized rows of each model and role; columns SIGNAL_CONTRAST_COLUMNS.

    Args:
        rows: from `rows_with_signals`. signals: from `boundary_signals`.
    """
    compared = rows.filter(pl.col("class").is_in([MEMORIZED, UNMEMORIZED]), alignment=BOUNDARY)
    records = []
    for signal_key, groups, values in _signal_matrices(compared, signals):
        group_by_class = {(group.key["role"], group.key["class"]): group for group in groups}
        statistics = _statistics(values, signals)
        for role in dict.fromkeys(role for role, _ in group_by_class):
            role_groups = [group_by_class.get((role, name)) for name in (MEMORIZED, UNMEMORIZED)]
            memorized, unmemorized = role_groups
            if memorized is None or unmemorized is None:
                continue
            for column, name in enumerate(_statistic_names(signals)):
                difference = shuffled_difference if role == SHUFFLED else welch_difference
                contrast = difference(
                    statistics[memorized.indices, column],
                    statistics[unmemorized.indices, column],
                    memorized.clusters,
                    unmemorized.clusters,
                )
                key = (memorized.key["model"], role, *signal_key.values(), name)
                records += [dict(zip(SIGNAL_CONTRAST_COLUMNS, (*key, *contrast), strict=True))] if contrast else []
    return to_frame(records, SIGNAL_CONTRAST_COLUMNS, _TEXT_COLUMNS)


def signal_slopes(statistics: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    """How the `signal_statistics` at the boundary change with model size; columns SIGNAL_SLOPE_COLUMNS.

    Args:
        latest: column model: one model per size. Models of unknown size are left out.
    """
    return to_frame(
        size_slopes(statistics, latest, "value", list(SIGNAL_SLOPE_COLUMNS)[:5]), SIGNAL_SLOPE_COLUMNS, _TEXT_COLUMNS
    )
