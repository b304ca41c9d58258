"""A study file, run step by step: what `mematlas run` and `mematlas.run()` do. Nothing is done twice."""

from dataclasses import dataclass
from pathlib import Path

from mematlas.errors.functions import public_function
from mematlas.pipeline.step import Step, StepContext, run_steps
from mematlas.pipeline.steps import STEPS
from mematlas.pipeline.steps.analyze import AnalysisOutcome, AnalyzeStep
from mematlas.pipeline.steps.score import worker_options
from mematlas.pipeline.study_file import StudyFile, read_study_file
from mematlas.progress import Progress, Silent
from mematlas.scoring.job import resolve_job
from mematlas.scoring.row_checks import row_remarks
from mematlas.study import Study


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The study that a file was run into, and its steps, in their order."""

    study: Study
    steps: tuple[Step, ...]

    @property
    def analyses(self) -> AnalysisOutcome:
        """The findings, and the analyses that failed."""
        return next(step.outcome for step in self.steps if isinstance(step, AnalyzeStep))

    def output(self, name: str) -> Path | None:
        """The path of the output of the step called `name`; None if there is none, or the step is disabled."""
        step = next(step for step in self.steps if step.name == name)
        return step.output(self.study, self.analyses.run) if step.enabled else None


@public_function()
def run(path: str | Path, progress: Progress | None = None) -> Study:
    """Run the study file at `path`; the Python counterpart of `mematlas run`.

    Raises:
        MematlasError: one line with value, rule and remedy; what is finished is kept.
    """
    outcome = run_file(read_study_file(Path(path)), progress or Silent())
    outcome.analyses.check()
    return outcome.study


def run_file(file: StudyFile, progress: Progress) -> RunOutcome:
    """Execute all steps of a study file: each only as far as its output is missing or outdated.

    An analysis that fails is recorded in the outcome's `analyses`, and does not stop the steps after it.
    """
    job = resolve_job(file.models, file.config, extend=False)
    progress.say(f"Scoring {len(job.sources)} models into {file.study}")
    for remark in (*job.model_remarks, *row_remarks(job.run.settings)):
        progress.say(remark)
    steps = build_steps(StepContext(file, job))
    run_steps(steps, worker_options(file), progress)
    outcome = RunOutcome(Study(file.study), steps)
    progress.say(f"{len(outcome.analyses.findings)} findings are in {outcome.analyses.folder}")
    return outcome


def build_steps(context: StepContext) -> tuple[Step, ...]:
    """All steps of STEPS as the study file configures them, in their order."""
    return tuple(STEPS.load(name).from_context(context) for name in STEPS)
