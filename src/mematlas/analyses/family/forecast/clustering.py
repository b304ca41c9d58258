"""Clustering of memorized rows in the order of row ids: as by chance, clustered, or more even than by chance.

Source: K1 (b), Poisson Q-Q of memorized rows per 512 rows. Row ids are taken as the training order. Rows of one
document stand together and are memorized together, which says nothing of training order; where rows come in clusters
(documents, or copies) only the first row of each is taken.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.study_tables import Tables
from mematlas.stats.hypotheses.dispersion import (
    DispersionTest,
    dispersion_test,
    quantile_points,
    window_counts,
    window_size,
)

SPREAD_COLUMNS: Final = {
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
QUANTILE_COLUMNS: Final = {
    "model": "label of the model",
    "chance": "memorized rows a window at this quantile, rows lying by chance (binomial)",
    "poisson": "the same of a Poisson process",
    "observed": "the same as observed",
}


_RECIPE: Final = """\
rows = recount.lines(study, role="train", common=True, context={cell.context}, continuation={cell.continuation})
first = rows.sort("row").unique(["model", "cluster"], keep="first", maintain_order=True).group_by("model")
answer = recount.{function}(first.agg(rows=pl.len(), places=pl.col("recited").arg_true()))"""
_RECITED_RECIPE: Final = """\
rows = recount.lines(study, role="train", context={cell.context}, continuation={cell.continuation})
first = rows.sort("row").unique(["model", "cluster"], keep="first", maintain_order=True).group_by("model")
answer = recount.{function}(first.agg(rows=pl.max("row") + 1, places=pl.col("row").filter("recited")))"""


def clustering_recipe(tables: Tables, function: str) -> str:
    """The recipe of `spreads` or of `spread_quantiles`."""
    return (_RECIPE if tables.complete else _RECITED_RECIPE).format(cell=tables.reference, function=function)


def clustering(
    tables: Tables,
    models: tuple[str, ...],
    rows: NDArray[np.int64],
    recited: NDArray[np.bool_],
    clusters: NDArray[np.int64] | None,
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """The spread of each model's memorized rows (columns SPREAD_COLUMNS), Q-Q points (QUANTILE_COLUMNS), and caveats.

    Windows are of consecutive scored rows, of which the first of each cluster is taken. Where only recited rows were
    published, they are of row ids from 0 on, and ids without a record are not memorized.

    Args:
        rows: shape (rows,), ids, ascending.
        recited: shape (rows, models). clusters: shape (rows,); None where all rows are independent.
    """
    count = len(rows)
    if clusters is not None:
        first = np.sort(np.unique(clusters, return_index=True)[1])
        rows, recited = rows[first], recited[first]
    positions = np.arange(len(rows)) if tables.complete else rows
    total = len(rows) if tables.complete else int(rows.max(initial=-1)) + 1
    records = [(model, total, positions[hits].tolist()) for model, hits in zip(models, recited.T, strict=True)]
    schema: dict[str, Any] = {"model": pl.String, "rows": pl.Int64, "places": pl.List(pl.Int64)}
    places = pl.DataFrame(records, schema=schema, orient="row")
    return spreads(places), spread_quantiles(places), _caveats(tables, len(rows), count)


def spreads(places: pl.DataFrame) -> pl.DataFrame:
    """Test how memorized rows spread over windows of consecutive rows, one record per model; columns SPREAD_COLUMNS.

    Args:
        places: model, rows (the number of rows in order), places (list: positions of memorized rows in it, from 0).
    """
    records: list[tuple[Any, ...]] = []
    for model, total, counts, size, events in _windows(places):
        if size is None:
            reason = f"{total} rows are too few for 20 windows of 5"
            records.append((model, None, None, events, *[None] * 6, reason))
        else:
            records.append((model, *_numbers(dispersion_test(counts, size))))
    return _frame(records, SPREAD_COLUMNS)


def spread_quantiles(places: pl.DataFrame) -> pl.DataFrame:
    """Q-Q points of memorized rows per window, for models that memorize any; columns QUANTILE_COLUMNS.

    Args:
        places: as for `spreads`.
    """
    points: list[tuple[Any, ...]] = []
    for model, _, counts, size, _ in _windows(places):
        if size is not None and counts.any():
            points += [(model, *point) for point in quantile_points(counts, size).tolist()]
    return _frame(points, QUANTILE_COLUMNS)


def _windows(places: pl.DataFrame) -> Iterator[tuple[str, int, NDArray[np.int64], int | None, int]]:
    """model, rows, memorized rows in each window, rows per window (None: too few rows), memorized rows."""
    for model, rows, positions in places.select("model", "rows", "places").iter_rows():
        size = window_size(rows)
        counts = np.empty(0, np.int64) if size is None else window_counts(np.array(positions, np.int64), rows, size)
        yield model, rows, counts, size, len(positions)


def _numbers(test: DispersionTest) -> tuple[Any, ...]:
    return tuple(getattr(test, name) for name in SPREAD_COLUMNS if name != "model")


def max_repetitions(tables: Tables) -> int:
    """The highest known number of repetitions of a training row, else 1; repeated rows have no single position."""
    return tables.rows.filter(role="train").select(pl.col("repetitions").max()).collect().item() or 1


def _caveats(tables: Tables, used: int, count: int) -> list[str]:
    caveats = ["Row ids are read as training order: where they are not, the spread only says how rows lie in the file."]
    if used < count:
        caveats.append(
            "Rows of one document stand together: their spread through the order of rows is that of the first row of "
            f"each document, {used:,} of {count:,} rows."
        )
    if tables.settings.get("rows", "all") != "all":
        caveats.append(
            "The rows are a selection: windows of consecutive rows scored are wider than windows of training."
        )
    if (max_seen := max_repetitions(tables)) > 1:
        caveats.append(f"Some rows were seen up to {max_seen:,} times and have no one place in training order.")
    if not tables.complete:
        caveats.append("Rows after the last recited one are unknown and are in no window.")
    return caveats


def _frame(records: Sequence[tuple[Any, ...]], columns: dict[str, str]) -> pl.DataFrame:
    texts, counts = ("model", "verdict", "reason"), ("windows", "size", "events", "chance", "poisson", "observed")
    schema = {name: pl.String if name in texts else pl.Int64 if name in counts else pl.Float64 for name in columns}
    return pl.DataFrame(records, schema=schema, orient="row")
