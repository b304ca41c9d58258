"""Findings from a study's tables: what `mematlas analyze` and `mematlas.analyze()` do. No torch, no corpus.

STUDY/findings/<run>/<analysis>/    one finding, see findings.py
STUDY/findings/<run>/index.json     names of the findings that belong to the run as it is now, in the order of ANALYSES
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mematlas.analyses import ANALYSES
from mematlas.errors import StudyError
from mematlas.executors.options import ALONE, WorkerOptions, resolve_workers
from mematlas.executors.pool import map_tasks
from mematlas.findings.finding import Finding, findings_folder, read_finding, write_finding
from mematlas.io.paths import check_shared
from mematlas.pipeline.steps.analyze_one import AnalysisResult, analysis_workers, longest_first, run_analysis
from mematlas.study import Run, Study, open_study, write_json
from mematlas.study.build_stamps import forget, is_current, record, run_fingerprint

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AnalysisOutcome:
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


def analyze(
    study: Study | str | Path, only: Sequence[str] = (), run: str | None = None, **workers: object
) -> list[Finding]:
    """Recompute findings and keep them in the study; the Python twin of `mematlas analyze`.

    Args:
        study: an open study or its folder.
        only: names of ANALYSES; all of them if empty.
        run: the run whose key starts so; the latest by default.
        workers: workers=4, executor="ray", address="auto": who analyses; the findings are the same.

    Raises:
        UnknownName: no analysis has this name.
        OptionError: an option of `workers` breaks a rule.
        StudyError: there is no such run, it is not finished, or an analysis broke (the others are written).
    """
    crew = resolve_workers("analyze", **workers)
    opened = study if isinstance(study, Study) else open_study(study)
    done = analyze_run(opened, only, run, again=True, workers=crew)
    done.check()
    return list(done.findings.values())


def analyze_run(
    study: Study,
    only: Sequence[str] = (),
    run: str | None = None,
    *,
    again: bool = False,
    alone: bool = False,
    say: Say = lambda text: None,
    workers: WorkerOptions = ALONE,
) -> AnalysisOutcome:
    """`analyze` that keeps findings which are as new as the run, unless `again`, and that tells of each made one.

    alone: the index names only these; else other findings that belong to the run stay in it.
    """
    names = chosen_analyses(only)
    found = study.run(run)
    folder, source = findings_folder(study.folder, found.key), run_fingerprint(study.folder, found)
    kept = {} if again else {name: finding for name in names if (finding := _kept(study, found, name))}
    failures: dict[str, str] = {}

    def on_answer(told: AnalysisResult) -> None:
        if isinstance(told.said, str):
            failures[told.name] = told.said
            forget(study.folder, stamp_name(found, told.name))
            return
        write_finding(folder / told.name, told.said)
        record(study.folder, stamp_name(found, told.name), source)
        kept[told.name] = told.said

    _ask(study, found, [name for name in names if name not in kept], on_answer, say, workers)
    write_json(
        folder / "index.json",
        [name for name in (names if alone else ANALYSES) if is_finding_current(study, found, name)],
    )
    return AnalysisOutcome(found, folder, _in_order(names, kept), _in_order(names, failures))


def _in_order(names: Sequence[str], of: Mapping[str, T]) -> dict[str, T]:
    """The entries as `names` has them, in whatever order they came."""
    return {name: of[name] for name in names if name in of}


def _ask(
    study: Study,
    run: Run,
    names: list[str],
    on_answer: Callable[[AnalysisResult], None],
    say: Say,
    workers: WorkerOptions,
) -> None:
    """Ask the analyses, in this process or by an executor's workers; `on_answer` hears of each that has answered."""
    from mematlas.analyses.frames.study_tables import read_tables

    if workers.shares(len(names)):
        check_shared(study.folder)
        say(f"{len(names)} analyses, {min(workers.workers, len(names))} workers ...")

        def on_result(told: AnalysisResult) -> None:
            say(f"analysis {told.name}: {'broke' if isinstance(told.said, str) else 'done'}")
            on_answer(told)

        for lost in map_tasks(workers, analysis_workers(study, run), longest_first(names), on_result, say):
            on_answer(
                AnalysisResult(
                    lost.task, f"{lost.tries} workers died of it (the last one: {lost.how}); take fewer --workers"
                )
            )
    elif names:
        tables = read_tables(study, run.key)
        for name in names:
            say(f"analysis {name} ...")
            on_answer(AnalysisResult(name, run_analysis(name, tables)))


def chosen_analyses(only: Sequence[str]) -> list[str]:
    """`only` in the order of ANALYSES; all of them if it is empty.

    Raises:
        UnknownName: no analysis has this name.
    """
    for name in only:
        ANALYSES.load(name)
    return [name for name in ANALYSES if not only or name in only]


def stamp_name(run: Run, name: str) -> str:
    """The finding's name in made.json."""
    return f"findings/{run.key}/{name}"


def is_finding_current(study: Study, run: Run, name: str) -> bool:
    """Whether the finding is there and belongs to the run as it is now."""
    made = is_current(study.folder, stamp_name(run, name), run_fingerprint(study.folder, run))
    return made and (findings_folder(study.folder, run.key) / name / "finding.json").is_file()


def _kept(study: Study, run: Run, name: str) -> Finding | None:
    """The finding that is there already, if it is fresh and whole."""
    if not is_finding_current(study, run, name):
        return None
    try:
        return read_finding(findings_folder(study.folder, run.key) / name)
    except StudyError:
        return None
