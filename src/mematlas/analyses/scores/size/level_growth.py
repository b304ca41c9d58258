"""Whether the number of fully memorized rows grows more than that of any other score level.

Source: P1 (c): the fully memorized count grows fastest with model size. How P1 compares is not published; we compare
rows gained from the smallest to the largest model, M = 1 apart from the five levels.
"""

from math import sqrt
from typing import Final

import polars as pl

from mematlas.analyses.frames.levels import LEVEL_RANGES, level
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Trend

TREND: Final = "fully-memorized-rows-grow-fastest"
_WHOLE: Final = "= 1"


def fastest_trend(tables: Tables, smallest: str, largest: str, cell: Cell) -> Trend:
    """What two models of the family, on rows that both scored, say of P1's trend."""
    if not tables.graded:
        return Trend(TREND, "cannot tell", "M was not graded: only M = 1 is known")
    wide = tables.side_by_side((smallest, largest), cell)
    gained = {name: _gained(name, place, smallest, largest, cell) for place, name in enumerate((*LEVEL_RANGES, _WHOLE))}
    changes = wide.select(change.alias(name) for name, change in gained.items())
    ahead = {name: _interval(changes[_WHOLE] - changes[name]) for name in LEVEL_RANGES}
    told = ", ".join(f"{changes[name].sum():+,} with M {name}" for name in gained)
    test = (
        f"rows gained from {smallest} to {largest} at {cell} tokens, of {wide.height:,}: {told}; shown if M = 1 gains "
        "more than every other level (95 % intervals of the differences, row by row), contradicted if one gains more"
    )
    if all(lower > 0 for lower, _ in ahead.values()) and changes[_WHOLE].sum() > 0:
        return Trend(TREND, "shows", test)
    return Trend(TREND, "contradicts" if any(upper < 0 for _, upper in ahead.values()) else "cannot tell", test)


def _gained(name: str, place: int, smallest: str, largest: str, cell: Cell) -> pl.Expr:
    """+1 for a row that the larger model has at this level and the smaller has not, -1 for the reverse."""

    def there(model: str) -> pl.Expr:
        whole = pl.col(model) == cell.continuation
        return whole if name == _WHOLE else (level(model, cell.continuation) == place) & ~whole

    return there(largest).cast(pl.Int64) - there(smallest).cast(pl.Int64)


def _interval(changes: pl.Series) -> tuple[float, float]:
    """95 % of the normal distribution around the sum over rows."""
    total, squares = float(changes.sum()), float((changes**2).sum())
    half = 1.96 * sqrt(max(0.0, squares - total * total / max(1, len(changes))))
    return total - half, total + half
