"""Corpus counts over the window of a cell, and the class of each row by its M.

Source: P1, section 3: memorized M = 1, half-memorized M = 1/2, unmemorized M = 0; with exact integers, 2 matches = L.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.errors import StudyError
from mematlas.metrics.extractable import extractable
from mematlas.study import Study

MEMORIZED: Final = "memorized"
HALF: Final = "half-memorized"
UNMEMORIZED: Final = "unmemorized"
OTHER: Final = "other"
ALL_ROWS: Final = "all rows"
CLASSES: Final = (MEMORIZED, HALF, UNMEMORIZED)
CLASS_TYPE: Final = pl.Enum([*CLASSES, OTHER, ALL_ROWS])  # in the order to show
CLASS_DESCRIPTION: Final = (
    "memorized: M = 1; half-memorized: M = 1/2; unmemorized: M = 0; other: any other M, or M < 1 and not graded"
)
_NGRAMS: Final = {1: "unigrams", 2: "bigrams"}  # column of the counts table by n


@dataclass(frozen=True, slots=True, eq=False)
class TokenWindows:
    """Counts over the window (context and continuation) of a cell.

    rows: [n], ascending row ids; counts: n of the n-gram -> [n, context + continuation], occurrences in the corpus of
    the n-gram that ends at each token, NaN where unknown (an n-gram length without any known count has no entry);
    kinds: [n, 2], token kinds of the last token of the context and the first of the continuation, as an index into
    study.schemas.features.TOKEN_KINDS, or NaN.
    """

    cell: Cell
    rows: NDArray[np.int64]
    counts: dict[int, NDArray[np.float64]]
    kinds: NDArray[np.float64]

    def indices(self, rows: pl.Series) -> NDArray[np.int64]:
        """Positions in the matrices of the rows with these ids, which must all have counts."""
        return np.searchsorted(self.rows, rows.to_numpy())


def boundary_counts(study: Study, run: str | None = None) -> TokenWindows:
    """The counts over the token windows at the cell nearest to 32 + 32.

    Raises:
        StudyError: the run is not finished, has no row features, or no row was scored.
    """
    tables = read_tables(study, run)
    return window_counts(tables, scored_cell(tables))


def scored_cell(tables: Tables) -> Cell:
    """The cell nearest to 32 + 32 that has scored training rows.

    Raises:
        StudyError: there is no such cell, or the study has no row features.
    """
    cell = nearest_cell(tables)
    if cell is None or "counts" not in tables.features:
        missing = "scored training rows" if cell is None else "row features; `mematlas features STUDY` makes them"
        raise StudyError(f"The study has no {missing}.")
    return cell


def window_counts(tables: Tables, cell: Cell) -> TokenWindows:
    """The counts of all rows that have any. With `--align end` the window starts at token max(C) - C."""
    start = 0 if tables.settings.get("align", "start") == "start" else max(tables.contexts) - cell.context
    window_width = cell.context + cell.continuation
    count_table = tables.features["counts"].filter(pl.col("unigrams").is_not_null()).sort("row")
    rows = count_table.select("row").collect()["row"].to_numpy()
    counts = {ngram: padded_lists(count_table, name, start, window_width) for ngram, name in _NGRAMS.items()}
    known_counts = {ngram: values for ngram, values in counts.items() if not np.isnan(values).all()}
    return TokenWindows(cell, rows, known_counts, padded_lists(count_table, "kinds", start + cell.context - 1, 2))


def padded_lists(frame: pl.LazyFrame, column: str, start: int, width: int) -> NDArray[np.float64]:
    """`width` entries of each list from `start` on, shape (rows, width), NaN beyond the end of a list."""
    entries = (
        pl.col(column).list.slice(start, width).cast(pl.List(pl.Float64)).fill_null(pl.lit([], pl.List(pl.Float64)))
    )
    lists = frame.select(entries).collect()
    if not lists.select((pl.col(column).list.len() == width).all()).item():
        padding = pl.lit([None] * width, pl.List(pl.Float64))
        lists = lists.select(pl.concat_list(column, padding).list.head(width).alias(column))
    return lists[column].explode().to_numpy().reshape(-1, width)


def row_classes(tables: Tables, cell: Cell) -> pl.DataFrame:
    """`classified_rows`, where the rows with known counts are `counted`."""
    return classified_rows(
        tables, cell, tables.features["counts"].filter(pl.col("unigrams").is_not_null()).select("row")
    )


def classified_rows(tables: Tables, cell: Cell, counted_rows: pl.LazyFrame) -> pl.DataFrame:
    """Every scored row of a cell with its class, models in the order given, rows ascending.

    Args:
        counted_rows: column row, or model and row, without duplicates.

    Returns:
        model, latest (last checkpoint of its size, or a control), role, class (CLASS_TYPE), row, cluster (see
        `Tables.clustered_rows`), verbatim (tokens, null where unknown), counted (whether it is in `counted_rows`).
    """
    scores = (
        tables.scores.filter(context=cell.context, continuation=cell.continuation)
        .with_columns(extractable.expression().alias("recited"))
        .filter(pl.col("recited").is_not_null())
        .select("model", "row", "verbatim", _class_column(tables.graded).alias("class"))
        .join(tables.clustered_rows.select("row", "role", "cluster"), on="row")
    )
    role_column = pl.when(pl.col("model").is_in(tables.control_models)).then(pl.lit("control model")).otherwise("role")
    models = pl.LazyFrame({"model": tables.models["model"]}).with_row_index("order")
    return (
        scores.join(counted_rows.with_columns(counted=True), on=counted_rows.collect_schema().names(), how="left")
        .join(models, on="model")
        .with_columns(
            role_column.alias("role"),
            pl.col("counted").fill_null(False),
            pl.col("model").is_in([*tables.by_size, *tables.control_models]).alias("latest"),
        )
        .sort("order", "row")
        .select("model", "latest", "role", "class", "row", "cluster", "verbatim", "counted")
        .collect(engine="streaming")
    )


def _class_column(graded: bool) -> pl.Expr:
    """The class of a row; where M is not graded, only M = 1 is known."""
    matches, continuation = pl.col("matches").cast(pl.Int64), pl.col("continuation")
    is_half, is_zero = pl.lit(graded) & (2 * matches == continuation), pl.lit(graded) & (matches == 0)
    row_class = (
        pl.when("recited")
        .then(pl.lit(MEMORIZED))
        .when(is_half)
        .then(pl.lit(HALF))
        .when(is_zero)
        .then(pl.lit(UNMEMORIZED))
    )
    return row_class.otherwise(pl.lit(OTHER)).cast(CLASS_TYPE)
