"""Positional profiles of counts: mean and median corpus count of the tokens around the boundary, by class (P1, Fig. 4).

The rows and their alignment are those of profiles.py.
"""

from typing import Any, Final

import numpy as np
import polars as pl
from polars import selectors

from mematlas.analyses.positions.profiles import (
    DIVERGENCE_REACH,
    GROUP_COLUMNS,
    PROFILE_COLUMNS,
    aligned_values,
    row_groups,
)
from mematlas.analyses.positions.shuffles import SHUFFLED, shuffled_rows
from mematlas.analyses.positions.token_windows import CLASS_TYPE, TokenWindows
from mematlas.stats.estimates.averages import FEWEST_COUNTS, ColumnEstimates, medians

_TYPES: Final[dict[str, Any]] = {
    "class": CLASS_TYPE,
    "ngram": pl.Int64,
    "offset": pl.Int64,
    "rows": pl.Int64,
    "clusters": pl.Int64,
    "shown": pl.Boolean,
}
_SCHEMA: Final[dict[str, Any]] = {
    name: pl.String if name in GROUP_COLUMNS else pl.Float64 for name in PROFILE_COLUMNS
} | _TYPES
_NO_MEDIAN: Final = dict.fromkeys(("median", "median_lower", "median_upper"))


def boundary_curves(rows: pl.DataFrame, counts: TokenWindows) -> pl.DataFrame:
    """Mean, median and geometric mean count at each offset, by class; columns PROFILE_COLUMNS.

    The classes are those of P1 and, at divergence points, all rows that diverge.

    Args:
        rows: from `boundary_rows`. counts: from `boundary_counts`.
    """
    parts = [pl.DataFrame(schema=_SCHEMA)]
    groups = row_groups(rows, counts.rows)
    drawn_groups, shuffled = [group for group in groups if group.in_paper_figure], shuffled_rows(groups)
    for ngram, values in counts.counts.items():
        padded = np.pad(values, ((0, 0), (DIVERGENCE_REACH, DIVERGENCE_REACH)), constant_values=np.nan)
        logs = np.log10(1 + padded)
        for group in drawn_groups:
            values_at, log_mean = aligned_values(padded, group), shuffled.means(group, aligned_values(logs, group))
            mean = shuffled.means(group, values_at, fewest=FEWEST_COUNTS)
            first = counts.cell.context if group.at_boundary else DIVERGENCE_REACH
            columns = {
                "offset": np.arange(len(log_mean.count)) - first,
                "rows": log_mean.count,
                "clusters": log_mean.clusters,
                "design_effect": mean.design_effect,
                "ngram": ngram,
                "shown": group.shown,
            }
            columns |= (
                interval_columns("mean", mean)
                | (
                    interval_columns("median", medians(values_at(group.indices, group.origins), group.clusters))
                    if group.key["role"] != SHUFFLED
                    else _NO_MEDIAN
                )
                | interval_columns("log_mean", log_mean)
            )
            columns |= {
                name.replace("log", "geometric"): 10**value
                for name, value in interval_columns("log_mean", log_mean).items()
            }
            columns = {**columns, **group.key}
            parts.append(pl.DataFrame({name: columns[name] for name in PROFILE_COLUMNS}, schema=_SCHEMA))
    return pl.concat(parts).with_columns(selectors.float().fill_nan(None))


def interval_columns(name: str, centers: ColumnEstimates) -> dict[str, Any]:
    """The column `name` and the columns of both ends of its interval."""
    return {name: centers.estimate, f"{name}_lower": centers.lower, f"{name}_upper": centers.upper}
