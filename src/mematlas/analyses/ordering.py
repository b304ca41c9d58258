"""How memorized rows lie in the order of row ids: by chance, in clusters, or more evenly than by chance.

Source: K1 (b), Poisson Q-Q of memorized rows per 512 rows. Row ids are read as the training order.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.tables import Tables
from mematlas.stats.spread import Spread, quantile_points, spread, window_counts, window_size

SPREADS: Final = {
    "model": "label of the model",
    "windows": "windows of consecutive rows",
    "size": "rows a window",
    "events": "memorized rows (M = 1) in them",
    "mean": "memorized rows a window",
    "dispersion": "variance / mean over windows; 1 for a Poisson process",
    "against_chance": "the same / (1 - share): 1 for rows scattered by chance, whatever the share",
    "p_clustered": "chance of so much scatter or more if rows lay by chance (chi-square test)",
    "p_even": "chance of so little scatter or less",
    "verdict": "as by chance, clustered, or evenly, at 5 % (two-sided)",
    "reason": "why a number is null",
}
QUANTILES: Final = {
    "model": "label of the model",
    "chance": "memorized rows a window at this quantile, rows lying by chance (binomial)",
    "poisson": "the same of a Poisson process",
    "observed": "the same as observed",
}


def ordering(
    tables: Tables, models: tuple[str, ...], rows: NDArray[np.int64], recited: NDArray[np.bool_]
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Spread of each model's memorized rows (columns: SPREADS), Q-Q points (QUANTILES), and caveats.

    Where only recited rows were published, windows are of row ids from 0 on, and ids without a line are not memorized;
    else they are of the rows scored.

    Args:
        rows: shape (rows,), ids, ascending. recited: shape (rows, models).
    """
    places = np.arange(len(rows)) if tables.complete else rows
    total = len(rows) if tables.complete else int(rows.max(initial=-1)) + 1
    size = window_size(total)
    lines: list[tuple[Any, ...]] = []
    points: list[tuple[Any, ...]] = []
    for model, hits in zip(models, recited.T, strict=True):
        if size is None:
            reason = f"{total} rows are too few for 20 windows of 5"
            lines.append((model, None, None, int(hits.sum()), *[None] * 6, reason))
            continue
        counts = window_counts(places[hits], total, size)
        lines.append((model, *_numbers(spread(counts, size))))
        points += [(model, *point) for point in quantile_points(counts, size).tolist()] if counts.any() else []
    return _frame(lines, SPREADS), _frame(points, QUANTILES), _caveats(tables)


def _numbers(found: Spread) -> tuple[Any, ...]:
    return tuple(getattr(found, name) for name in SPREADS if name != "model")


def most_repetitions(tables: Tables) -> int:
    """How often the row shown most was shown, as far as known, else 1; more than once is no one place in the order."""
    return tables.rows.filter(role="train").select(pl.col("repetitions").max()).collect().item() or 1


def _caveats(tables: Tables) -> list[str]:
    said = ["Row ids are read as training order: where they are not, the spread only says how rows lie in the file."]
    if tables.question.get("rows", "all") != "all":
        said.append("The rows are a selection: windows of consecutive rows scored are wider than windows of training.")
    if (most := most_repetitions(tables)) > 1:
        said.append(f"Some rows were seen up to {most:,} times and have no one place in training order.")
    if not tables.complete:
        said.append("Rows after the last recited one are unknown and are in no window.")
    return said


def _frame(lines: Sequence[tuple[Any, ...]], columns: dict[str, str]) -> pl.DataFrame:
    texts, counts = ("model", "verdict", "reason"), ("windows", "size", "events", "chance", "poisson", "observed")
    schema = {name: pl.String if name in texts else pl.Int64 if name in counts else pl.Float64 for name in columns}
    return pl.DataFrame(lines, schema=schema, orient="row")
