"""Findings from a study's tables: what `mematlas analyze` and `mematlas.analyze()` do. No torch, no corpus.

STUDY/findings/<run>/<analysis>/    one finding, see findings.py
STUDY/findings/<run>/index.json     names of the findings that belong to the run as it is now, in the order of ANALYSES
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

from mematlas.analyses import ANALYSES
from mematlas.errors import MematlasError, StudyError
from mematlas.findings import Finding, findings_folder, read_finding, write_finding
from mematlas.made import forget_made, is_made, note_made, run_fingerprint
from mematlas.store import Run, Study, open_study, write_json

if TYPE_CHECKING:
    from mematlas.analyses.tables import Tables


@dataclass(frozen=True, slots=True)
class Analyzed:
    """What the analyses of a run said. findings: by name, in the order of ANALYSES; failures: name -> what broke."""

    run: Run
    folder: Path
    findings: dict[str, Finding]
    failures: dict[str, str]

    def check(self) -> None:
        """Raise StudyError if an analysis broke."""
        if self.failures:
            broken = "; ".join(f"{name} ({what})" for name, what in self.failures.items())
            raise StudyError(
                f"{len(self.failures)} of {len(self.findings) + len(self.failures)} analyses broke: {broken}. "
                "The others are written; leave these out with --only, and report the error with your manifest.json."
            )


def analyze(study: Study | str | Path, only: Sequence[str] = (), run: str | None = None) -> list[Finding]:
    """Recompute findings and keep them in the study; the Python twin of `mematlas analyze`.

    Args:
        study: an open study or its folder.
        only: names of ANALYSES; all of them if empty.
        run: the run whose key starts so; the latest by default.

    Raises:
        UnknownName: no analysis has this name.
        StudyError: there is no such run, it is not finished, or an analysis broke (the others are written).
    """
    opened = study if isinstance(study, Study) else open_study(study)
    done = analyze_run(opened, only, run, again=True)
    done.check()
    return list(done.findings.values())


def analyze_run(
    study: Study,
    only: Sequence[str] = (),
    run: str | None = None,
    *,
    again: bool = False,
    alone: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Analyzed:
    """`analyze` that keeps findings which are as new as the run, unless `again`, and that tells of each made one.

    alone: the index names only these; else other findings that belong to the run stay in it.
    """
    from mematlas.analyses.tables import read_tables

    names = chosen_analyses(only)
    found = study.run(run)
    folder, source = findings_folder(study.folder, found.key), run_fingerprint(study.folder, found)
    findings: dict[str, Finding] = {}
    failures: dict[str, str] = {}
    tables: Tables | None = None
    for name in names:
        kept = None if again else _kept(study, found, name)
        if kept is None:
            tables = tables or read_tables(study, found.key)
            say(f"analysis {name} ...")
            result = _answer(name, tables)
            if isinstance(result, str):
                failures[name] = result
                forget_made(study.folder, made_name(found, name))
                continue
            write_finding(folder / name, result)
            note_made(study.folder, made_name(found, name), source)
            kept = result
        findings[name] = kept
    write_json(folder / "index.json", [name for name in (names if alone else ANALYSES) if is_fresh(study, found, name)])
    return Analyzed(found, folder, findings, failures)


def chosen_analyses(only: Sequence[str]) -> list[str]:
    """`only` in the order of ANALYSES; all of them if it is empty.

    Raises:
        UnknownName: no analysis has this name.
    """
    for name in only:
        ANALYSES.load(name)
    return [name for name in ANALYSES if not only or name in only]


def made_name(run: Run, name: str) -> str:
    """The finding's name in made.json."""
    return f"findings/{run.key}/{name}"


def is_fresh(study: Study, run: Run, name: str) -> bool:
    """Whether the finding is there and belongs to the run as it is now."""
    there = (findings_folder(study.folder, run.key) / name / "finding.json").is_file()
    return there and is_made(study.folder, made_name(run, name), run_fingerprint(study.folder, run))


def _kept(study: Study, run: Run, name: str) -> Finding | None:
    """The finding that is there already, if it is fresh and whole."""
    if not is_fresh(study, run, name):
        return None
    try:
        return read_finding(findings_folder(study.folder, run.key) / name)
    except StudyError:
        return None


def _answer(name: str, tables: "Tables") -> Finding | str:
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
