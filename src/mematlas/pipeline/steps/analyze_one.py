"""One analysis asked of a study's tables: here, or by a worker that opens the study itself. Nothing is written."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Final

from mematlas.analyses import ANALYSES
from mematlas.errors import MematlasError
from mematlas.executors.pool import enter_folder
from mematlas.findings.finding import Finding
from mematlas.study import Run, Study

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mematlas.analyses.frames.study_tables import Tables
    from mematlas.executors.base import MakeWorker

#: Those that take long come first, so that no worker waits for another in the end: of the demo's 126 s on one core they
#: took 81 (maps), 26, 7 and 3, and no other more than 2.
LONGEST: Final = ("embedding", "predict", "entropy", "approximate")


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """What an analysis said, or what broke."""

    name: str
    said: Finding | str


def run_analysis(name: str, tables: "Tables") -> Finding | str:
    """The finding, or what broke: one analysis must not keep the others from being written."""
    from polars.exceptions import PolarsError

    try:
        finding: Finding = ANALYSES.load(name).find(tables)
    except MematlasError as error:
        return str(error)
    except (PolarsError, ArithmeticError, LookupError, TypeError, ValueError) as error:  # what odd tables can raise
        place = extract_tb(error.__traceback__)[-1]
        first = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {first} [{Path(place.filename).name}, line {place.lineno}]"
    return finding


def longest_first(names: "Iterable[str]") -> list[str]:
    """The order in which workers take them."""
    return sorted(names, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))


def analysis_workers(study: Study, run: Run) -> "MakeWorker[str, AnalysisResult]":
    """From a number of threads to a worker that answers the names of analyses, in whatever process it is called."""
    return partial(_Analyst, study.folder, run.key, Path.cwd())


class _Analyst:
    """Asks analyses of one run, whose tables it reads once."""

    def __init__(self, study: Path, run: str, folder: Path, threads: int) -> None:
        from mematlas.analyses.frames.study_tables import read_tables

        enter_folder(folder)
        self._tables = read_tables(Study(study), run)

    def __call__(self, name: str) -> AnalysisResult:
        return AnalysisResult(name, run_analysis(name, self._tables))
