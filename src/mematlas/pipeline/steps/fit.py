"""Predictors of memorization fitted to a study's hidden states: what `mematlas fit` and a step of `mematlas run` do.

STUDY/predictors/<run>/<model>/<sees>/seed-0.safetensors ...   the predictors, with a README.md as model card
STUDY/predictions/<run>/<model>/<sees>-seed-0.parquet ...      what they and their baselines said of rows held out

What was fitted of the same states with the same options is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.errors import StudyError
from mematlas.executors.options import ALONE, WorkerOptions, resolve_workers
from mematlas.executors.pool import enter_folder, map_tasks, raise_failed
from mematlas.io.local_copies import fetch
from mematlas.io.paths import check_shared, delete_folder, translate_os_errors
from mematlas.models.threads import limit_threads
from mematlas.predictors.groups import document_groups
from mematlas.progress import Progress, Silent
from mematlas.registry import nearest
from mematlas.study import Run, Study, fingerprint, open_study, write_table
from mematlas.study.build_stamps import (
    combined_fingerprint,
    features_name,
    forget,
    is_current,
    predictions_name,
    record,
)
from mematlas.study.schemas.predictions import Sees
from mematlas.study.versions import versions

if TYPE_CHECKING:
    from mematlas.predictors.examples import Examples
    from mematlas.predictors.fitting import Fit
    from mematlas.predictors.options import PredictorConfig

FitTask = tuple[str, Sees, int]  # a model's label, what the predictor sees, seed

#: Part of the fingerprint of predictors; raised when a change of the code can change a number.
VERSION: Final = 2


def fit_predictors(
    study: Study | str | Path,
    *,
    models: Sequence[str] = (),
    run: str | None = None,
    progress: Progress | None = None,
    workers: int = 1,
    executor: str = "local",
    address: str | None = None,
    **options: object,
) -> Path:
    """Fit predictors to a study's hidden states and return their folder; the Python twin of `mematlas fit`.

    Args:
        study: an open study or its folder.
        models: labels of the models; all that have hidden states if empty.
        run: the run whose key starts so; the latest by default.
        workers, executor, address: who fits; see `mematlas.executors.options.WorkerOptions`.
        options: see `mematlas.predictors.options.PredictorConfig`: sees, inputs, seeds, layers ...

    Raises:
        OptionError: an option breaks a rule.
        StudyError: no hidden states, an unknown model, or rows that no predictor can be fitted to.
    """
    from mematlas.predictors.options import predictor_config

    crew = resolve_workers("fit", workers=workers, executor=executor, address=address)
    opened = study if isinstance(study, Study) else open_study(study)
    return write_predictors(opened, predictor_config(**options), models, run, progress or Silent(), crew)


def write_predictors(
    study: Study,
    config: "PredictorConfig",
    models: Sequence[str],
    run: str | None,
    watcher: Progress,
    workers: WorkerOptions = ALONE,
) -> Path:
    """Fit what is missing; returns the folder of the predictors. What cannot be fitted is told and left out."""
    work = _Work(study, study.run(run), config)
    names = work.chosen(models)
    tasks = work.tasks(names)
    missing = [task for task in tasks if not work.is_done(*task)]
    refused: list[str] = []
    name, source = predictions_name(work.run), work.source("")

    def on_result(refusal: str | None) -> None:
        watcher.advance(1)
        if refusal is None:
            forget(study.folder, name)  # whatever happens next: findings do not know this one
        elif refusal not in refused:
            refused.append(refusal)
            watcher.say(f"No predictor of {refusal}")

    try:
        watcher.start("fitting predictors", len(tasks), len(tasks) - len(missing), "fits")
        work.fit(missing, workers, on_result, watcher)
    finally:
        watcher.stop()
    if not any(work.is_done(*task) for task in tasks):
        raise StudyError(f"No predictor could be fitted. {refused[0]}")
    if not is_current(study.folder, name, source):
        record(study.folder, name, source)
    return work.predictors


def fits_left(study: Study, config: "PredictorConfig", models: Sequence[str], run: Run) -> int:
    """How many fits `write_predictors` would do; models: labels."""
    work = _Work(study, run, config)
    return sum(not work.is_done(*task) for task in work.tasks(models))


@dataclass(frozen=True, slots=True)
class _Work:
    study: Study
    run: Run
    config: "PredictorConfig"

    @property
    def predictors(self) -> Path:
        return self.study.folder / "predictors" / self.run.key

    def chosen(self, models: Sequence[str]) -> list[str]:
        """The models to fit to, in the order of the run.

        Raises:
            StudyError: one is not in the run, or the run kept no hidden states.
        """
        for model in models:
            if model not in self.run.models:
                raise StudyError(f"The study has no model {model!r}.{nearest(model, list(self.run.models))}")
        if "free" not in self.study.state_kinds(self.run.key):
            raise StudyError(
                f"{self.study.folder} keeps no hidden states to fit predictors to; score with --signals hidden "
                "--signals free --signals truth, or leave predictors out."
            )
        return [model for model in self.run.models if not models or model in models]

    def tasks(self, models: Sequence[str]) -> list[FitTask]:
        """The fits that there are of these models."""
        config = self.config
        return [(model, sees, seed) for model in models for sees in config.sees for seed in range(config.seeds)]

    def source(self, model: str) -> str:
        """The fingerprint of what a model's predictors are made from."""
        options = self.config.model_dump(exclude={"sees", "seeds"})
        features = combined_fingerprint(self.study.folder, [features_name(self.run)])
        models = [self.run.models.get(name or "") for name in (model, self._next(model))]  # it is tested on both
        return fingerprint([VERSION, options, self.run.key, models, features])

    def path(self, model: str, sees: Sees, seed: int) -> Path:
        return self.study.predictions_folder(self.run.key) / self.run.models[model] / f"{sees}-seed-{seed}.parquet"

    def folder(self, model: str, sees: Sees) -> Path:
        return self.predictors / self.run.models[model] / sees

    def is_done(self, model: str, sees: Sees, seed: int) -> bool:
        """Whether it was fitted to these states with these options."""
        there = (self.folder(model, sees) / f"seed-{seed}.safetensors").is_file()
        return there and _source(self.path(model, sees, seed)) == self.source(model)

    def fit(
        self, missing: list[FitTask], workers: WorkerOptions, on_result: Callable[[str | None], None], watcher: Progress
    ) -> None:
        """Carry out fits, in this process or by an executor's workers; `on_result` hears why one could not be made."""
        is_shared = workers.shares(len(missing))
        if is_shared:
            check_shared(self.study.folder)
        with translate_os_errors(self.study.folder):
            for model in dict.fromkeys(model for model, _, _ in missing):
                self._forget_older(model)
        if not is_shared:
            fitter = _Fitter(self)
            for task in missing:
                on_result(fitter(task))
            return
        lost = map_tasks(workers, partial(_fitter, self, Path.cwd()), missing, on_result, watcher.say)
        for folder in dict.fromkeys(self.folder(model, sees) for model, sees, _ in missing):
            self.describe(folder)
        raise_failed(lost, "fits", "all others are kept. Take fewer --workers, and run the same command again.")

    def describe(self, folder: Path) -> None:
        """Write the model card of the predictors in a folder, if there are any."""
        from mematlas.predictors.cards import write_readme

        if any(folder.glob("seed-*.safetensors")):
            write_readme(folder)

    # -------------------------------------------------------------------------------------------------------- one model

    def examples(self, model: str) -> "tuple[Examples, Examples | None]":
        """What a model's predictors are fitted to, and the rows of the next model, if there is one.

        Raises:
            StudyError: there is nothing to be fitted to.
        """
        from mematlas.predictors.examples import read_examples

        later = self._next(model)
        own = read_examples(self.study, model, self.config.inputs, self.run.key)
        return own, read_examples(self.study, later, self.config.inputs, self.run.key) if later else None

    def keep(self, task: FitTask, fit: "Fit", examples: "Examples", others: "Examples | None") -> None:
        """Write a predictor, and what it and its baselines say of rows held out; examples, others: see `examples`."""
        from mematlas.predictors.fitting import predicted

        model, sees, seed = task
        held = examples.take(fit.parts.test | ~examples.train)
        parts = list(predicted(fit, held, model, model, sees, seed))
        later = self._next(model)
        if others is not None and later:
            parts += self._transferred(fit, examples, others, (model, later, sees, seed))
        self._save(fit, examples, held, model, sees, seed)
        write_table(self.path(*task), pa.concat_tables(parts), {"source": self.source(model)})

    def _next(self, model: str) -> str | None:
        """The family member after this one: to which the predictor is transferred."""
        members = [name for name in self.run.models if name not in self.run.question.get("control_models", ())]
        after = members[members.index(model) + 1 :] if model in members else []
        return after[0] if after else None

    def _transferred(
        self, fit: "Fit", examples: "Examples", others: "Examples", names: tuple[str, str, Sees, int]
    ) -> list[pa.Table]:
        """What the fit says of another model's rows, of documents it was not fitted to."""
        from mematlas.predictors.fitting import predicted
        from mematlas.study.schemas.predictions import BY_POSITION, ENTROPY, MAJORITY, SHUFFLED

        used = examples.rows[fit.parts.fit | fit.parts.validation]
        groups = document_groups(self.study, [*used.tolist(), *others.rows.tolist()], self.run.key)
        held = others.take(~np.isin(groups[len(used) :], groups[: len(used)]))
        same = others.states.shape[2] == examples.states.shape[2]
        readable = tuple(fit.methods) if same else (MAJORITY, BY_POSITION, ENTROPY)
        return list(predicted(fit, held, *names, only=tuple(name for name in readable if name != SHUFFLED)))

    def _save(self, fit: "Fit", examples: "Examples", held: "Examples", model: str, sees: Sees, seed: int) -> None:
        from mematlas.predictors.cards import card_of
        from mematlas.predictors.predictor import Predictor, save_predictor

        known = self.study.models(self.run.key).filter(model=model)["fingerprint"].item()
        origin = (model, known or "", self.run.key)
        card = card_of(fit, examples, held, origin, (sees, seed), self.config, versions())
        predictor = Predictor(fit.trained.network, fit.scaling, card)
        save_predictor(predictor, self.folder(model, sees))
        self.describe(self.folder(model, sees))

    def _forget_older(self, model: str) -> None:
        """Predictors and predictions that were made of something else are no part of these."""
        folder, source = self.study.predictions_folder(self.run.key) / self.run.models[model], self.source(model)
        for path in folder.glob("*.parquet"):
            if _source(path) != source:
                path.unlink()
        for path in (self.predictors / self.run.models[model]).glob("*/seed-*.safetensors"):
            if not (folder / f"{path.parent.name}-{path.stem}.parquet").is_file():
                path.unlink()
        for path in (self.predictors / self.run.models[model]).glob("*/README.md"):
            if not any(path.parent.glob("seed-*.safetensors")):
                delete_folder(path.parent)


class _Fitter:
    """Carries fits out, with the states of one model at a time in memory; answers why one could not be, or None."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._held: tuple[str, tuple[Examples, Examples | None]] | None = None

    def __call__(self, task: FitTask) -> str | None:
        from mematlas.predictors.fitting import fit_once

        model, sees, seed = task
        try:
            examples, others = self._of(model)
        except StudyError as error:
            return f"{model}: {error}"
        try:
            fit = fit_once(examples, self._work.config, sees, seed, shuffled=True)
        except StudyError as error:
            return f"{model}, seed {seed}: {error}"
        with translate_os_errors(self._work.study.folder):
            self._work.keep(task, fit, examples, others)
        return None

    def _of(self, model: str) -> "tuple[Examples, Examples | None]":
        if self._held is None or self._held[0] != model:
            self._held = None
            self._held = model, self._work.examples(model)
        return self._held[1]


def _fitter(work: _Work, folder: Path, threads: int) -> _Fitter:
    """A worker that fits, in whatever process it is called; folder: that which relative paths are seen from."""

    enter_folder(folder)
    limit_threads(threads)
    return _Fitter(work)


def _source(path: Path) -> str:
    """What a file of predictions was made from; "" where it is absent or damaged."""
    try:
        return (pq.read_schema(fetch(path)).metadata or {}).get(b"mematlas.source", b"").decode()
    except (OSError, pa.ArrowInvalid):
        return ""
