"""One analysis of a study's tables, in this process or in a worker that opens the study itself. Nothing is written."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Final

from mematlas.analyses import ANALYSES
from mematlas.errors import MematlasError
from mematlas.errors.libraries import is_own_module, missing_library
from mematlas.executors.pool import enter_folder
from mematlas.findings.finding import Finding
from mematlas.study import Run, Study

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mematlas.analyses.frames.study_tables import Tables
    from mematlas.executors.base import WorkerFactory

#: Those that take long come first, so that at the end no worker waits for another: of the demo's 126 s on one core they
#: took 81 (the maps of states), 26, 7 and 3, and no other took more than 2.
LONGEST: Final = ("embedding", "predict", "entropy", "approximate")


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """The finding of an analysis, or the text of the error if it failed."""

    name: str
    finding: Finding | str


def run_analysis(name: str, tables: "Tables") -> Finding | str:
    """The finding, or the text of the error: one analysis that fails must not keep the others from being written."""
    from polars.exceptions import PolarsError

    try:
        finding: Finding = ANALYSES.load(name).find(tables)
    except MematlasError as error:
        return str(error)
    except ImportError as error:
        if is_own_module(error):
            raise
        return f"it {missing_library(error)}"
    except (PolarsError, ArithmeticError, LookupError, TypeError, ValueError) as error:  # what odd tables can raise
        frame = extract_tb(error.__traceback__)[-1]
        first_line = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {first_line} [{Path(frame.filename).name}, line {frame.lineno}]"
    return finding


def longest_first(names: "Iterable[str]") -> list[str]:
    """The names in the order in which workers take them."""
    return sorted(names, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))


def analysis_workers(study: Study, run: Run) -> "WorkerFactory[str, AnalysisResult]":
    """A picklable factory of workers that run analyses by name."""
    return partial(_AnalysisWorker, study.folder, run.key, Path.cwd())


class _AnalysisWorker:
    """Runs analyses of one run, whose tables it reads once."""

    def __init__(self, study: Path, run: str, folder: Path, threads: int) -> None:
        from mematlas.analyses.frames.study_tables import read_tables

        enter_folder(folder)
        self._tables = read_tables(Study(study), run)

    def __call__(self, name: str) -> AnalysisResult:
        return AnalysisResult(name, run_analysis(name, self._tables))
