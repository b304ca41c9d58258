"""Whether the number of fully memorized rows grows more than that of any other score level.

Source: P1 (c): the fully memorized count grows fastest with model size. P1 does not publish how it compares; we compare
the rows gained from the smallest to the largest model, with M = 1 separate from the five levels.
"""

from math import sqrt
from typing import Final

import polars as pl

from mematlas.analyses.frames.levels import LEVEL_RANGES, level
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Trend

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
    leads = {name: _interval(changes[_FULL] - changes[name]) for name in LEVEL_RANGES}
    gains = ", ".join(f"{changes[name].sum():+,} with M {name}" for name in levels)
    test = (
        f"rows gained from {smallest} to {largest} at {cell} tokens, of {wide.height:,}: {gains}; shown if M = 1 gains "
        "more than every other level (95 % intervals of the differences, row by row), contradicted if one gains more"
    )
    if all(lower > 0 for lower, _ in leads.values()) and changes[_FULL].sum() > 0:
        return Trend(FASTEST_GROWTH_TREND, "shows", test)
    return Trend(
        FASTEST_GROWTH_TREND, "contradicts" if any(upper < 0 for _, upper in leads.values()) else "cannot tell", test
    )


def _gained(name: str, number: int, smallest: str, largest: str, cell: Cell) -> pl.Expr:
    """+1 for a row that is at this level only in the larger model, -1 for one that is only in the smaller model."""

    def is_at_level(model: str) -> pl.Expr:
        full = pl.col(model) == cell.continuation
        return full if name == _FULL else (level(model, cell.continuation) == number) & ~full

    return is_at_level(largest).cast(pl.Int64) - is_at_level(smallest).cast(pl.Int64)


def _interval(changes: pl.Series) -> tuple[float, float]:
    """The 95 % interval of the sum over rows, from the normal distribution."""
    total, squares = float(changes.sum()), float((changes**2).sum())
    half_width = 1.96 * sqrt(max(0.0, squares - total * total / max(1, len(changes))))
    return total - half_width, total + half_width
