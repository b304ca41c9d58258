"""Score levels with exact integer edges; M = matches / L is never compared as a float.

P1 groups rows into five levels of 0.2; its edge convention is not published, so [0, .2), [.2, .4), [.4, .6), [.6, .8),
[.8, 1] is our choice.
"""

from typing import Final

import polars as pl

LEVELS: Final = ("very low", "low", "medium", "high", "very high")
RECITED_LEVELS: Final = ("M < 1", "M = 1")  # where M is not graded
LEVEL_RANGES: Final = ("[0, .2)", "[.2, .4)", "[.4, .6)", "[.6, .8)", "[.8, 1]")


def level(matches: str | pl.Expr = "matches", continuation: str | int = "continuation") -> pl.Expr:
    """The number of the level, 0 to 4, of M = matches / L: floor(5 matches / L), with M = 1 in the last."""
    length = pl.lit(continuation) if isinstance(continuation, int) else pl.col(continuation)
    matches = pl.col(matches) if isinstance(matches, str) else matches
    return (5 * matches.cast(pl.Int64) // length).clip(upper_bound=4).cast(pl.Int8)
