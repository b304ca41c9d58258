"""Findings from a study's tables, a step of a study: what `mematlas analyze` and `mematlas.analyze()` do.

Needs neither torch nor the corpus.

STUDY/findings/<run>/<analysis>/    one finding, see `mematlas.findings.finding`
STUDY/findings/<run>/index.json     names of the findings that belong to the run as it is now, in the order of ANALYSES
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar, Unpack

from mematlas.analyses import ANALYSES
from mematlas.errors import StudyError
from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerKeywords, WorkerOptions, resolve_worker_options
from mematlas.findings.finding import Finding, findings_folder, read_finding, write_finding
from mematlas.pipeline.step import StepContext, StepStatus, TaskStep, run_tasks
from mematlas.pipeline.steps.analyze_one import AnalysisResult, analysis_workers, longest_first, run_analysis
from mematlas.progress import Progress, Silent
from mematlas.study import Run, Study, open_study, write_json
from mematlas.study.build_stamps import forget, is_current, record, run_fingerprint
from mematlas.types import as_list

if TYPE_CHECKING:
    from mematlas.executors.base import FailedTask, WorkerFactory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AnalysisOutcome:
    """The results of a run's analyses. findings: by name, in the order of ANALYSES; failures: name -> the error."""

    run: Run
    folder: Path
    findings: dict[str, Finding]
    failures: dict[str, str]

    def check(self) -> None:
        """Check that no analysis failed.

        Raises:
            StudyError: an analysis failed.
        """
        if self.failures:
            failed = "; ".join(f"{name} ({error})" for name, error in self.failures.items())
            is_of_the_machine = all("pip install" in error for error in self.failures.values())
            remedy = "install that" if is_of_the_machine else "report the error with your manifest.json"
            raise StudyError(
                f"{len(self.failures)} of {len(self.findings) + len(self.failures)} analyses failed: {failed}. "
                f"The others are written; leave these out with --only, and {remedy}."
            )


@public_function(WorkerOptions)
def analyze(
    study: Study | str | Path,
    only: str | Sequence[str] = (),
    run: str | None = None,
    **workers: Unpack[WorkerKeywords],
) -> list[Finding]:
    """Recompute findings and store them in the study; the Python counterpart of `mematlas analyze`.

    Args:
        study: an open study or its folder.
        only: names of ANALYSES, or one of them; all if empty.
        run: the beginning of a run's key; the latest run by default.
        workers: options of the workers (workers=4, executor="ray", address="auto"); they do not change the findings.

    Raises:
        UnknownName: no analysis has this name.
        OptionError: an option of `workers` breaks a rule.
        StudyError: there is no such run, it is not finished, or an analysis failed (the others are written).
    """
    options = resolve_worker_options("analyze", **workers)
    opened = study if isinstance(study, Study) else open_study(study)
    outcome = recompute_findings(opened, only, run, workers=options)
    outcome.check()
    return list(outcome.findings.values())


def recompute_findings(
    study: Study,
    only: str | Sequence[str] = (),
    run: str | None = None,
    *,
    progress: Progress | None = None,
    workers: WorkerOptions = SINGLE_PROCESS,
) -> AnalysisOutcome:
    """`analyze` with checked options, which returns failures instead of raising an error."""
    step = AnalyzeStep(study, study.run(run), only, recompute=True)
    step.execute(workers, progress or Silent())
    return step.outcome


class AnalyzeStep(TaskStep[str, AnalysisResult]):
    """Runs analyses; a task is the name of one. An analysis that fails is in `outcome`, and does not stop others.

    recompute: also findings that are current; exclusive: the index lists these analyses only; otherwise other findings
    that belong to the run stay in it.
    """

    name: ClassVar[str] = "analyses"
    units: ClassVar[str] = "analyses"

    def __init__(
        self,
        study: Study,
        run: Run,
        only: str | Sequence[str] = (),
        *,
        recompute: bool = False,
        exclusive: bool = False,
    ) -> None:
        self.study, self.run, self.names, self.exclusive = study, run, chosen_analyses(only), exclusive
        self._recompute = recompute
        self._findings: dict[str, Finding] = {}
        self._failures: dict[str, str] = {}
        self._source = ""

    @classmethod
    def from_context(cls, context: StepContext) -> Self:
        return cls(context.study, context.run, context.file.only, exclusive=True)

    @property
    def folder(self) -> Path:
        return self.study.folder

    @property
    def outcome(self) -> AnalysisOutcome:
        """The results, after `execute`."""
        folder = findings_folder(self.study.folder, self.run.key)
        return AnalysisOutcome(self.run, folder, self._ordered(self._findings), self._ordered(self._failures))

    def tasks(self) -> list[str]:
        return [name for name in self.names if name not in self._findings]

    def split(self, tasks: list[str]) -> list[str]:
        return longest_first(tasks)

    def is_current(self) -> bool:
        return all(is_finding_current(self.study, self.run, name) for name in self.names)

    def execute(self, workers: WorkerOptions, progress: Progress) -> None:
        self._findings = {} if self._recompute else self._read_current()
        self._source = run_fingerprint(self.study.folder, self.run)
        run_tasks(self, workers, progress)
        listed = self.names if self.exclusive else ANALYSES
        folder = findings_folder(self.study.folder, self.run.key)
        write_json(folder / "index.json", [name for name in listed if is_finding_current(self.study, self.run, name)])

    def run_here(self, tasks: list[str], progress: Progress) -> None:
        from mematlas.analyses.frames.study_tables import read_tables

        tables = read_tables(self.study, self.run.key) if tasks else None
        for name in tasks:
            progress.say(f"analysis {name} ...")
            assert tables is not None
            self._keep(AnalysisResult(name, run_analysis(name, tables)))

    def start_shared(self, tasks: Sequence[str], workers: int, progress: Progress) -> None:
        progress.say(f"{len(tasks)} analyses, {workers} workers ...")

    def worker_factory(self) -> "WorkerFactory[str, AnalysisResult]":
        return analysis_workers(self.study, self.run)

    def store(self, result: AnalysisResult, progress: Progress) -> None:
        progress.say(f"analysis {result.name}: {'failed' if isinstance(result.finding, str) else 'done'}")
        self._keep(result)

    def handle_failed(self, failed: "list[FailedTask[str]]") -> None:
        """An analysis whose workers died counts as failed."""
        for task in failed:
            text = f"{task.attempts} workers died while running it (the last one: {task.reason}); use fewer --workers"
            self._keep(AnalysisResult(task.task, text))

    def status(self, upstream_pending: bool) -> StepStatus:
        current = 0 if upstream_pending else sum(is_finding_current(self.study, self.run, name) for name in self.names)
        missing = len(self.names) - current
        return StepStatus(not missing, f"{missing} of {len(self.names)} to do" if missing else "done")

    def summary(self) -> str:
        folder = findings_folder(self.study.folder, self.run.key)
        export = command_line("analyze", self.study.folder, "--export", "csv,latex")
        return f"{len(self._findings)} findings: {folder} ({export})"

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        folder = findings_folder(study.folder, run.key)
        return folder if (folder / "index.json").is_file() else None

    def _keep(self, result: AnalysisResult) -> None:
        stamp = stamp_name(self.run, result.name)
        if isinstance(result.finding, str):
            self._failures[result.name] = result.finding
            forget(self.study.folder, stamp)
            return
        write_finding(findings_folder(self.study.folder, self.run.key) / result.name, result.finding)
        record(self.study.folder, stamp, self._source)
        self._findings[result.name] = result.finding

    def _read_current(self) -> dict[str, Finding]:
        """The findings that exist, are current and undamaged."""
        found = {name: read_current_finding(self.study, self.run, name) for name in self.names}
        return {name: finding for name, finding in found.items() if finding is not None}

    def _ordered(self, results: Mapping[str, T]) -> dict[str, T]:
        """The entries in the order of ANALYSES, in whatever order they were added."""
        return {name: results[name] for name in self.names if name in results}


def chosen_analyses(only: str | Sequence[str]) -> list[str]:
    """`only`, in which commas separate names, in the order of ANALYSES; all of them if it is empty.

    Raises:
        UnknownName: no analysis has this name.
    """
    names = [str(name) for name in as_list(only)]
    for name in names:
        ANALYSES.load(name)
    return [name for name in ANALYSES if not names or name in names]


def stamp_name(run: Run, name: str) -> str:
    """The name of a finding's build stamp."""
    return f"findings/{run.key}/{name}"


def is_finding_current(study: Study, run: Run, name: str) -> bool:
    """Whether the finding exists and belongs to the run as it is now."""
    stamped = is_current(study.folder, stamp_name(run, name), run_fingerprint(study.folder, run))
    return stamped and (findings_folder(study.folder, run.key) / name / "finding.json").is_file()


def read_current_finding(study: Study, run: Run, name: str) -> Finding | None:
    """The finding, if it is current and undamaged."""
    if not is_finding_current(study, run, name):
        return None
    try:
        return read_finding(findings_folder(study.folder, run.key) / name)
    except StudyError:
        return None
