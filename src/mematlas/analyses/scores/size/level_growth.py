"""Whether the number of fully memorized rows grows more than that of any other score level.

Source: P1 (c): the fully memorized count grows fastest with model size. P1 does not publish how it compares; we compare
the rows gained from the smallest to the largest model, with M = 1 separate from the five levels.
"""

from typing import Final

import polars as pl
from scipy.stats import t as student_t

from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend
from mematlas.metrics.levels import LEVEL_RANGES, level
from mematlas.stats.estimates.averages import means

FASTEST_GROWTH_TREND: Final = "fully-memorized-rows-grow-fastest"
_FULL: Final = "= 1"


def fastest_growth_trend(tables: Tables, smallest: str, largest: str, cell: Cell) -> Trend:
    """The verdict on P1's trend from two models of the family, on rows that both scored."""
    if not tables.graded:
        return Trend(FASTEST_GROWTH_TREND, "cannot tell", "M was not graded: only M = 1 is known")
    wide = tables.side_by_side((smallest, largest), cell)
    levels = (*LEVEL_RANGES, _FULL)
    changes = wide.select(
        _gained(name, number, smallest, largest, cell).alias(name) for number, name in enumerate(levels)
    )
    by_cluster = tables.with_cluster(pl.concat([wide.select("row"), changes], how="horizontal"))
    leads = [_lead(by_cluster, pl.col(_FULL) - pl.col(name)) for name in LEVEL_RANGES]
    others = ", ".join(f"{changes[name].sum():+,} in {name}" for name in LEVEL_RANGES)
    test = (
        f"rows gained from {smallest} to {largest}, of {wide.height:,}: {changes[_FULL].sum():+,} with M {_FULL}. "
        f"Other levels: {others}. Shown if M = 1 gains more than every other level (95 % intervals of the "
        "differences, row by row). Contradicted if one gains more (99 % intervals, since "
        f"{len(LEVEL_RANGES)} are compared)"
    )
    if all(lower > 0 for lower, _ in leads) and changes[_FULL].sum() > 0:
        return Trend(FASTEST_GROWTH_TREND, "shows", test)
    verdict: Verdict = "contradicts" if any(upper < 0 for _, upper in leads) else "cannot tell"
    return Trend(FASTEST_GROWTH_TREND, verdict, test)


def _gained(name: str, number: int, smallest: str, largest: str, cell: Cell) -> pl.Expr:
    """+1 for a row that is at this level only in the larger model, -1 for one that is only in the smaller model."""

    def is_at_level(model: str) -> pl.Expr:
        full = pl.col(model) == cell.continuation
        return full if name == _FULL else (level(model, cell.continuation) == number) & ~full

    return is_at_level(largest).cast(pl.Int64) - is_at_level(smallest).cast(pl.Int64)


def _lead(rows: pl.DataFrame, change: pl.Expr) -> tuple[float, float]:
    """The sum of `change` over rows: the lower end of its 95 % interval, and the upper end of its 99 % interval.

    By Student's t over clusters, or over rows where these are independent; the second is Bonferroni's for five levels.
    """
    values = rows.select(change.alias("change"))["change"].to_numpy().astype(float)[:, None]
    mean = means(values, clusters=rows["cluster"].to_numpy() if "cluster" in rows.columns else None)
    freedom = max(1, int(mean.clusters[0]) - 1)
    half_width = float(mean.upper[0] - mean.estimate[0])
    wider = half_width * float(student_t.ppf(1 - 0.025 / len(LEVEL_RANGES), freedom) / student_t.ppf(0.975, freedom))
    return float(mean.lower[0]) * len(values), float(mean.estimate[0] + wider) * len(values)
