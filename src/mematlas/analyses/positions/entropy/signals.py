"""Per-token signals over the window of a cell, one matrix per model, path and measure, and the rows of each profile.

Free-running signals are those of the greedy text, teacher-forced ones those of the true text; the two are never mixed.
Both use the same window, so that rows are aligned on the boundary and on divergence points as in positions/profiles.py;
free-running signals have no values in the context.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.analyses.positions.profiles import Values, aligned_rows
from mematlas.analyses.positions.token_windows import classified_rows, padded_lists
from mematlas.errors import StudyError
from mematlas.study import Study

FREE: Final = "free"
TRUTH: Final = "truth"
PATHS: Final = (FREE, TRUTH)
PATH_MEANING: Final = "free: fed its own greedy text (free-running); truth: fed the true text (teacher-forced)"
LOG_RANK: Final = "log10_rank"
_SIGNAL_COLUMNS: Final = {
    "entropy": "entropy",
    "log_probability": "log_probability",
    LOG_RANK: "rank",
    "margin": "margin",
}  # column by measure
MEASURE_MEANING: Final = (
    "entropy: of the next token's distribution, nats; log_probability: of the next token of the path, nats; "
    "log10_rank: of the rank of the true token (1: most probable); margin: largest minus second largest logit"
)


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Signals cut to a cell.

    records: path -> one record per model and row, see `Tables.cell_signals`; lazy, read on demand.
    """

    cell: Cell
    records: dict[str, pl.LazyFrame]

    def rows(self, model: str, path: str) -> NDArray[np.int64]:
        """Ascending ids of the model's rows, in the order of the rows of `values`."""
        return self.records[path].filter(model=model).select("row").collect()["row"].sort().to_numpy()

    def measures(self, path: str) -> list[str]:
        """The measures recorded along the path."""
        available = self.records[path].collect_schema().names()
        return [name for name, column in _SIGNAL_COLUMNS.items() if column in available]

    def values(self, model: str, path: str, measure: str) -> Values:
        """One measure, shape (rows, context + continuation); column 0 is the first token of the context.

        NaN where it was not recorded or is not finite (a forbidden token has log-probability -inf), and in the context
        of free-running signals.
        """
        column, cell = _SIGNAL_COLUMNS[measure], self.cell
        lists = self.records[path].filter(model=model).select("row", column).collect().sort("row").lazy()
        if path == FREE:
            values = padded_lists(lists, column, 0, cell.continuation)
            values = np.pad(values, ((0, 0), (cell.context, 0)), constant_values=np.nan)
        else:
            values = padded_lists(lists, column, 0, cell.context + cell.continuation)
        values = np.where(np.isfinite(values), values, np.nan)
        return np.log10(values) if measure == LOG_RANK else values


def has_signals(tables: Tables) -> bool:
    """Whether signals were recorded along any path."""
    return any(path in tables.signals for path in PATHS)


def cell_signals(tables: Tables, cell: Cell) -> Signals:
    """The signals of every recorded path, cut to the cell."""
    return Signals(cell, {path: tables.cell_signals(path, cell) for path in PATHS if path in tables.signals})


def rows_of_signals(tables: Tables, signals: Signals) -> pl.DataFrame:
    """The rows behind each profile whose signals were recorded along any path; see `rows_with_signals`."""
    recorded = pl.concat(records.select("model", "row") for records in signals.records.values()).unique()
    return aligned_rows(tables, classified_rows(tables, signals.cell, recorded), signals.cell.context)


def boundary_signals(study: Study, run: str | None = None) -> Signals:
    """The signals that the finding `entropy` is about, at the cell nearest to 32 + 32.

    Raises:
        StudyError: the run is not finished, has no signals, or no row was scored.
    """
    tables = read_tables(study, run)
    cell = nearest_cell(tables)
    if cell is None or not has_signals(tables):
        missing = "scored training rows" if cell is None else "per-token signals; score with --signals truth"
        raise StudyError(f"The study has no {missing}.")
    return cell_signals(tables, cell)


def rows_with_signals(study: Study, run: str | None = None) -> pl.DataFrame:
    """The rows behind each profile of `entropy`, with the columns of `boundary_rows`.

    Raises:
        StudyError: as `boundary_signals`.
    """
    return rows_of_signals(read_tables(study, run), boundary_signals(study, run))
