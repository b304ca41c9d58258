"""The report, the last step of a study: all findings on one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from mematlas.errors import MissingExtra
from mematlas.errors.libraries import is_own_module, missing_library
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.pipeline.step import Step, StepContext
from mematlas.pipeline.steps.analyze import chosen_analyses, stamp_name
from mematlas.progress import Progress
from mematlas.study import Run, Study
from mematlas.study.build_stamps import combined_fingerprint, is_current, record


class ReportStep(Step):
    """Writes STUDY/report.html. names: the analyses whose findings are on it."""

    name: ClassVar[str] = "report"
    announcement: ClassVar[str | None] = "Report: all findings on one page"

    def __init__(self, study: Study, run: Run, names: Sequence[str]) -> None:
        self.study, self.run, self.names = study, run, names

    @classmethod
    def from_context(cls, context: StepContext) -> Self:
        step = cls(context.study, context.run, chosen_analyses(context.file.only))
        step.enabled = context.file.report
        return step

    @property
    def source(self) -> str:
        """The fingerprint of what the report is made from: the findings and the gallery."""
        stamps = [*(stamp_name(self.run, name) for name in self.names), "gallery"]
        return combined_fingerprint(self.study.folder, stamps) + f"-{self.run.key}"

    def is_current(self) -> bool:
        exists = self.output(self.study, self.run) is not None
        return exists and is_current(self.study.folder, self.name, self.source)

    def execute(self, workers: WorkerOptions, progress: Progress) -> None:
        """Write the report if it is missing or outdated.

        Raises:
            MissingExtra: the libraries that draw charts are not installed.
        """
        if not self.is_current():
            _write_report(self.study.folder, workers if workers.executor == "local" else SINGLE_PROCESS)
            record(self.study.folder, self.name, self.source)

    def summary(self) -> str:
        if not self.enabled:
            return f"The report is off; write it with: {command_line('report', self.study.folder)}"
        return f"The report: open {self.output(self.study, self.run)}"

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        path = study.folder / "report.html"
        return path if path.is_file() else None


def _write_report(folder: Path, workers: WorkerOptions) -> None:
    try:
        from mematlas.report.page import write_report
    except ImportError as error:
        if is_own_module(error):
            raise
        raise MissingExtra(
            f"The report {missing_library(error, 'report')}, or leave it out with `report: false`; all else is done."
        ) from error
    write_report(folder, workers=workers)
