"""Per-token signals over the window of a cell, one matrix a model, path and measure, and the rows behind each curve.

Free-running signals are those of the greedy text, teacher-forced ones those of the true text; the two are never mixed.
Both stand in one window, so that rows are aligned on the border and on divergence points as in curves.py: free-running
signals have no value in the context.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.analyses.positions.profiles import Values, aligned_rows
from mematlas.analyses.positions.token_windows import classed, padded_lists
from mematlas.errors import StudyError
from mematlas.study import Study

FREE: Final = "free"
TRUTH: Final = "truth"
PATHS: Final = (FREE, TRUTH)
PATH_MEANING: Final = "free: fed its own greedy text (free-running); truth: fed the true text (teacher-forced)"
LOG_RANK: Final = "log10_rank"
_COLUMNS: Final = {
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
    """Signals cut to a cell. lines: path -> one line a (model, row), see `Tables.signals_of`; nothing is read yet."""

    cell: Cell
    lines: dict[str, pl.LazyFrame]

    def rows(self, model: str, path: str) -> NDArray[np.int64]:
        """Ids of the model's rows, ascending: the lines of `values`."""
        return self.lines[path].filter(model=model).select("row").collect()["row"].sort().to_numpy()

    def measures(self, path: str) -> list[str]:
        """What was recorded along the path."""
        there = self.lines[path].collect_schema().names()
        return [name for name, column in _COLUMNS.items() if column in there]

    def values(self, model: str, path: str, measure: str) -> Values:
        """One measure, [rows, context + continuation], column 0 the first token of the context. NaN where it was not
        recorded or is not finite (a forbidden token has log-probability -inf), and of free-running in the context."""
        column, cell = _COLUMNS[measure], self.cell
        lists = self.lines[path].filter(model=model).select("row", column).collect().sort("row").lazy()
        if path == FREE:
            found = padded_lists(lists, column, 0, cell.continuation)
            found = np.pad(found, ((0, 0), (cell.context, 0)), constant_values=np.nan)
        else:
            found = padded_lists(lists, column, 0, cell.context + cell.continuation)
        found = np.where(np.isfinite(found), found, np.nan)
        return np.log10(found) if measure == LOG_RANK else found


def has_signals(tables: Tables) -> bool:
    """Whether signals of some path were recorded."""
    return any(path in tables.signals for path in PATHS)


def signals_at(tables: Tables, cell: Cell) -> Signals:
    """The signals of both paths, as far as they were recorded."""
    return Signals(cell, {path: tables.signals_of(path, cell) for path in PATHS if path in tables.signals})


def rows_at(tables: Tables, signals: Signals) -> pl.DataFrame:
    """The rows behind each curve, those of which the model's signals were recorded along some path; see
    `rows_with_signals`."""
    known = pl.concat(lines.select("model", "row") for lines in signals.lines.values()).unique()
    return aligned_rows(tables, classed(tables, signals.cell, known), signals.cell.context)


def boundary_signals(study: Study, run: str | None = None) -> Signals:
    """The signals that the finding `entropy` speaks of, at the cell nearest to 32 + 32.

    Raises:
        StudyError: the run is not finished, has no signals, or no row was scored.
    """
    tables = read_tables(study, run)
    cell = nearest_cell(tables)
    if cell is None or not has_signals(tables):
        lacking = "scored training rows" if cell is None else "per-token signals; score with --signals truth"
        raise StudyError(f"The study has no {lacking}.")
    return signals_at(tables, cell)


def rows_with_signals(study: Study, run: str | None = None) -> pl.DataFrame:
    """The rows behind each curve of `entropy`, columns as those of `curves.boundary_rows`.

    Raises:
        StudyError: as `boundary_signals`.
    """
    return rows_at(read_tables(study, run), boundary_signals(study, run))
