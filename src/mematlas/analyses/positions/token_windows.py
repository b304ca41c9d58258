"""Corpus counts over the window of a cell, and the class of each row by its M: what the analyses of the input share.

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
EVERY: Final = "all rows"
CLASSES: Final = (MEMORIZED, HALF, UNMEMORIZED)
CLASS: Final = pl.Enum([*CLASSES, OTHER, EVERY])  # in the order to show
CLASS_MEANING: Final = (
    "memorized: M = 1; half-memorized: M = 1/2; unmemorized: M = 0; other: any other M, or M < 1 and not graded"
)
_NGRAMS: Final = {1: "unigrams", 2: "bigrams"}  # column of the counts table by n


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Counts over the window (context and continuation) of a cell.

    rows: [n], ids of the rows, ascending; counts: n of the n-gram -> [n, context + continuation], how often the n-gram
    that ends there stands in the corpus, NaN where it is not known; an n of which nothing is known is left out; kinds:
    [n, 2], of the last token of the context and the first to recite, index into features.schema.TOKEN_KINDS or NaN.
    """

    cell: Cell
    rows: NDArray[np.int64]
    counts: dict[int, NDArray[np.float64]]
    kinds: NDArray[np.float64]

    def places(self, rows: pl.Series) -> NDArray[np.int64]:
        """Where the rows of these ids, which all have counts, stand."""
        return np.searchsorted(self.rows, rows.to_numpy())


def boundary_counts(study: Study, run: str | None = None) -> Windows:
    """The counts over the windows that the findings on the input speak of, at the cell nearest to 32 + 32.

    Raises:
        StudyError: the run is not finished, has no row features, or no row was scored.
    """
    tables = read_tables(study, run)
    return window_counts(tables, scored_cell(tables))


def scored_cell(tables: Tables) -> Cell:
    """The cell nearest to 32 + 32 with scored training rows, of a study that has counts.

    Raises:
        StudyError: there is none, or the study has no row features.
    """
    cell = nearest_cell(tables)
    if cell is None or "counts" not in tables.features:
        lacking = "scored training rows" if cell is None else "row features; `mematlas features STUDY` makes them"
        raise StudyError(f"The study has no {lacking}.")
    return cell


def window_counts(tables: Tables, cell: Cell) -> Windows:
    """The counts of all rows that have some; where continuations are aligned the window begins after max(C) - C."""
    start = 0 if tables.question.get("align", "start") == "start" else max(tables.contexts) - cell.context
    width = cell.context + cell.continuation
    counted = tables.features["counts"].filter(pl.col("unigrams").is_not_null()).sort("row")
    rows = counted.select("row").collect()["row"].to_numpy()
    counts = {ngram: padded_lists(counted, column, start, width) for ngram, column in _NGRAMS.items()}
    known = {ngram: values for ngram, values in counts.items() if not np.isnan(values).all()}
    return Windows(cell, rows, known, padded_lists(counted, "kinds", start + cell.context - 1, 2))


def padded_lists(frame: pl.LazyFrame, column: str, start: int, width: int) -> NDArray[np.float64]:
    """The `width` entries of a column of lists from `start` on, [lines, width], NaN where there are none."""
    entries = (
        pl.col(column).list.slice(start, width).cast(pl.List(pl.Float64)).fill_null(pl.lit([], pl.List(pl.Float64)))
    )
    lists = frame.select(entries).collect()
    if not lists.select((pl.col(column).list.len() == width).all()).item():
        gap = pl.lit([None] * width, pl.List(pl.Float64))
        lists = lists.select(pl.concat_list(column, gap).list.head(width).alias(column))
    return lists[column].explode().to_numpy().reshape(-1, width)


def row_classes(tables: Tables, cell: Cell) -> pl.DataFrame:
    """`classed` with the rows whose counts are known."""
    return classed(tables, cell, tables.features["counts"].filter(pl.col("unigrams").is_not_null()).select("row"))


def classed(tables: Tables, cell: Cell, known: pl.LazyFrame) -> pl.DataFrame:
    """Every scored row of a cell: model, latest (last checkpoint of its size, or a control), role, class (CLASS), row,
    verbatim (tokens, null where unknown), counted (whether `known` has a line of it); models as given, rows ascending.

    known: column row, or model and row, no two lines alike.
    """
    scored = (
        tables.scores.filter(context=cell.context, continuation=cell.continuation)
        .with_columns(extractable.expression().alias("recited"))
        .filter(pl.col("recited").is_not_null())
        .select("model", "row", "verbatim", _class(tables.graded).alias("class"))
        .join(tables.rows.select("row", "role"), on="row")
    )
    role = pl.when(pl.col("model").is_in(tables.control_models)).then(pl.lit("control model")).otherwise("role")
    models = pl.LazyFrame({"model": tables.models["model"]}).with_row_index("order")
    return (
        scored.join(known.with_columns(counted=True), on=known.collect_schema().names(), how="left")
        .join(models, on="model")
        .with_columns(
            role.alias("role"),
            pl.col("counted").fill_null(False),
            pl.col("model").is_in([*tables.by_size, *tables.control_models]).alias("latest"),
        )
        .sort("order", "row")
        .select("model", "latest", "role", "class", "row", "verbatim", "counted")
        .collect(engine="streaming")
    )


def _class(graded: bool) -> pl.Expr:
    """Where M is not graded, only M = 1 is known."""
    matches, length = pl.col("matches").cast(pl.Int64), pl.col("continuation")
    half, none = pl.lit(graded) & (2 * matches == length), pl.lit(graded) & (matches == 0)
    found = (
        pl.when("recited").then(pl.lit(MEMORIZED)).when(half).then(pl.lit(HALF)).when(none).then(pl.lit(UNMEMORIZED))
    )
    return found.otherwise(pl.lit(OTHER)).cast(CLASS)
