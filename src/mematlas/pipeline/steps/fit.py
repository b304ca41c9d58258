"""Predictors of memorization, a step of a study: what `mematlas fit` and `mematlas.fit_predictors()` do.

Predictors fitted to the same states with the same options are kept; see `fit_one` for the files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, Unpack

from mematlas.errors import StudyError
from mematlas.errors.functions import public_function
from mematlas.executors.options import WorkerOptions, resolve_worker_options
from mematlas.io.paths import translate_os_errors
from mematlas.pipeline.step import StepContext, StepStatus, TaskStep, run_tasks
from mematlas.pipeline.steps.fit_one import FitTask, Fitter, PredictorStore, fit_workers
from mematlas.predictors.keywords import FitKeywords
from mematlas.predictors.options import PredictorConfig, predictor_config
from mematlas.progress import Progress, Silent
from mematlas.registry import did_you_mean
from mematlas.study import Run, Study, open_study
from mematlas.study.build_stamps import forget, is_current, predictions_name, record

if TYPE_CHECKING:
    from mematlas.executors.base import FailedTask, WorkerFactory
    from mematlas.pipeline.study_file import StudyFile


@public_function(PredictorConfig)
def fit_predictors(
    study: Study | str | Path,
    *,
    models: str | Sequence[str] = (),
    run: str | None = None,
    progress: Progress | None = None,
    workers: int = 1,
    executor: str = "local",
    address: str | None = None,
    **options: Unpack[FitKeywords],
) -> Path:
    """Fit predictors to a study's hidden states and return their folder; the Python counterpart of `mematlas fit`.

    Args:
        study: an open study or its folder.
        models: labels of the models; all that have hidden states if empty.
        run: the beginning of a run's key; the latest run by default.
        workers, executor, address: the workers that fit; see `mematlas.executors.options.WorkerOptions`.
        options: see `mematlas.predictors.options.PredictorConfig`: sees, inputs, seeds, layers ...

    Raises:
        OptionError: an option breaks a rule.
        StudyError: no hidden states, an unknown model, or rows that no predictor can be fitted to.
    """
    worker_options = resolve_worker_options("fit", workers=workers, executor=executor, address=address)
    opened = study if isinstance(study, Study) else open_study(study)
    labels = [models] if isinstance(models, str) else models
    step = FitStep(opened, opened.run(run), predictor_config(**options), labels)
    step.execute(worker_options, progress or Silent())
    return step.predictors.folder


class FitStep(TaskStep[FitTask, str | None]):
    """Fits predictors, one per model, value of `sees` and seed. Those that cannot be fitted are reported and left out.

    models: labels; all if empty. optional: whether the next steps are run even if nothing can be fitted.
    """

    name: ClassVar[str] = "predictors"
    announcement: ClassVar[str | None] = "Predictors: which tokens will be recited, predicted from hidden states"
    units: ClassVar[str] = "fits"
    remedy: ClassVar[str] = "all others are kept. Use fewer --workers, and run the same command again."

    def __init__(
        self, study: Study, run: Run, config: PredictorConfig, models: Sequence[str], *, optional: bool = False
    ) -> None:
        self.study, self.run, self.models, self.optional = study, run, models, optional
        self.predictors = PredictorStore(study, run, config)
        self._refusals: list[str] = []

    @classmethod
    def from_context(cls, context: StepContext) -> Self:
        models = _models_to_fit(context.file, context.run)
        config = predictor_config(seeds=context.file.predictor_seeds)
        step = cls(context.study, context.run, config, models, optional=True)
        step.enabled = bool(models)
        return step

    @property
    def folder(self) -> Path:
        return self.study.folder

    def tasks(self) -> list[FitTask]:
        return [task for task in self._all_tasks() if not self.predictors.is_current(*task)]

    def is_current(self) -> bool:
        return not self.tasks()

    def execute(self, workers: WorkerOptions, progress: Progress) -> None:
        """Fit the missing predictors.

        Raises:
            StudyError: the run has no hidden states, or nothing could be fitted; not if the step is optional.
        """
        try:
            self._check_models()
            self._fit(workers, progress)
        except StudyError as error:
            if not self.optional:
                raise
            progress.say(str(error))

    def _fit(self, workers: WorkerOptions, progress: Progress) -> None:
        run_tasks(self, workers, progress)
        if not any(self.predictors.is_current(*task) for task in self._all_tasks()):
            raise StudyError(f"No predictor could be fitted. {self._refusals[0]}")
        stamp, source = predictions_name(self.run), self.predictors.source("")
        if not is_current(self.study.folder, stamp, source):
            record(self.study.folder, stamp, source)

    def prepare(self, tasks: list[FitTask]) -> None:
        with translate_os_errors(self.study.folder):
            for model in dict.fromkeys(model for model, _, _ in tasks):
                self.predictors.delete_outdated(model)

    def run_here(self, tasks: list[FitTask], progress: Progress) -> None:
        self._start(len(tasks), progress)
        fitter = Fitter(self.predictors)
        for task in tasks:
            self.store(fitter(task), progress)

    def start_shared(self, tasks: Sequence[FitTask], workers: int, progress: Progress) -> None:
        self._start(len(tasks), progress)

    def worker_factory(self) -> "WorkerFactory[FitTask, str | None]":
        return fit_workers(self.predictors)

    def store(self, result: str | None, progress: Progress) -> None:
        """The worker has written the predictor; the result is None, or the reason why it could not be fitted."""
        progress.advance(1)
        if result is None:
            forget(self.study.folder, predictions_name(self.run))  # findings do not contain this one
        elif result not in self._refusals:
            self._refusals.append(result)
            progress.say(f"No predictor of {result}")

    def handle_failed(self, failed: "list[FailedTask[FitTask]]") -> None:
        for folder in dict.fromkeys(self.predictors.model_folder(model, sees) for model, sees, _ in self._all_tasks()):
            self.predictors.write_card(folder)
        super().handle_failed(failed)

    def status(self, upstream_pending: bool) -> StepStatus:
        fits = len(self.tasks()) if self.enabled and not upstream_pending else 0
        return StepStatus(False, f"{fits} to fit") if fits else super().status(upstream_pending)

    def summary(self) -> str | None:
        if not self.enabled or self.output(self.study, self.run) is None:
            return None
        return f"Predictors of memorization: {self.predictors.folder} (mematlas predict --help)"

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        folder = study.folder / "predictors" / run.key
        return folder if folder.is_dir() else None

    def _all_tasks(self) -> list[FitTask]:
        config = self.predictors.config
        models = [label for label in self.run.models if not self.models or label in self.models]
        return [(model, sees, seed) for model in models for sees in config.sees for seed in range(config.seeds)]

    def _start(self, missing: int, progress: Progress) -> None:
        total = len(self._all_tasks())
        progress.start("fitting predictors", total, total - missing, "fits")

    def _check_models(self) -> None:
        """Check that the run has the models, and hidden states.

        Raises:
            StudyError: a model is not in the run, or the run has no hidden states.
        """
        for model in self.models:
            if model not in self.run.models:
                raise StudyError(f"The study has no model {model!r}.{did_you_mean(model, list(self.run.models))}")
        if "free" not in self.study.state_kinds(self.run.key):
            raise StudyError(
                f"{self.study.folder} contains no hidden states to fit predictors to; score with --signals hidden "
                "--signals free --signals truth, or leave predictors out."
            )


def _models_to_fit(file: "StudyFile", run: Run) -> list[str]:
    """The models for which the file requests predictors; none if it requests no hidden states."""
    labels = list(run.models) if "hidden" in file.signals else []
    return {"all": labels, "last": labels[-1:], "none": []}[file.predictors]
