"""How memorized rows lie in the order of row ids: by chance, in clusters, or more evenly than by chance.

Source: K1 (b), Poisson Q-Q of memorized rows per 512 rows. Row ids are read as the training order.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.hypotheses.dispersion import Spread, quantile_points, spread, window_counts, window_size

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


_RECIPE: Final = """\
rows = recount.lines(study, role="train", common=True, context={cell.context}, continuation={cell.continuation})
places = rows.sort("row").group_by("model").agg(rows=pl.len(), places=pl.col("recited").arg_true())
answer = recount.{function}(places)"""
_RECITED_RECIPE: Final = """\
rows = recount.lines(study, role="train", context={cell.context}, continuation={cell.continuation})
places = rows.group_by("model").agg(rows=pl.max("row") + 1, places=pl.col("row").filter("recited"))
answer = recount.{function}(places)"""


def ordering_recipe(tables: Tables, function: str) -> str:
    """The recipe of `spreads` or of `spread_quantiles`."""
    return (_RECIPE if tables.complete else _RECITED_RECIPE).format(cell=tables.reference, function=function)


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
    lines = [(model, total, places[hits].tolist()) for model, hits in zip(models, recited.T, strict=True)]
    schema: dict[str, Any] = {"model": pl.String, "rows": pl.Int64, "places": pl.List(pl.Int64)}
    found = pl.DataFrame(lines, schema=schema, orient="row")
    return spreads(found), spread_quantiles(found), _caveats(tables)


def spreads(places: pl.DataFrame) -> pl.DataFrame:
    """How far memorized rows scatter over windows of consecutive rows, one line a model; columns SPREADS.

    Args:
        places: model, rows (how many there are in order), places (list: of memorized rows in that order, from 0).
    """
    lines: list[tuple[Any, ...]] = []
    for model, total, counts, size, events in _windows(places):
        if size is None:
            reason = f"{total} rows are too few for 20 windows of 5"
            lines.append((model, None, None, events, *[None] * 6, reason))
        else:
            lines.append((model, *_numbers(spread(counts, size))))
    return _frame(lines, SPREADS)


def spread_quantiles(places: pl.DataFrame) -> pl.DataFrame:
    """Q-Q points of memorized rows a window, of models that memorize any; columns QUANTILES, `places` as `spreads`."""
    points: list[tuple[Any, ...]] = []
    for model, _, counts, size, _ in _windows(places):
        if size is not None and counts.any():
            points += [(model, *point) for point in quantile_points(counts, size).tolist()]
    return _frame(points, QUANTILES)


def _windows(places: pl.DataFrame) -> Iterator[tuple[str, int, NDArray[np.int64], int | None, int]]:
    """model, rows, memorized rows of each window, rows a window (None: too few), memorized rows."""
    for model, rows, at in places.select("model", "rows", "places").iter_rows():
        size = window_size(rows)
        counts = np.empty(0, np.int64) if size is None else window_counts(np.array(at, np.int64), rows, size)
        yield model, rows, counts, size, len(at)


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
