"""One fit of a predictor, in this process or in a worker, and the files that store it.

STUDY/predictors/<run>/<model>/<sees>/seed-0.safetensors ...   the predictors, with a README.md as model card
STUDY/predictions/<run>/<model>/<sees>-seed-0.parquet ...      the predictions on held-out rows, baselines included
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.errors import StudyError
from mematlas.executors.pool import enter_folder
from mematlas.io.local_copies import fetch
from mematlas.io.paths import delete_folder, translate_os_errors
from mematlas.models.threads import limit_threads
from mematlas.predictors.groups import document_groups
from mematlas.study import Run, Study, fingerprint, write_table
from mematlas.study.build_stamps import combined_fingerprint, features_name, near_name
from mematlas.study.schemas.predictions import Sees
from mematlas.study.versions import versions

if TYPE_CHECKING:
    from mematlas.executors.base import WorkerFactory
    from mematlas.predictors.examples import Examples
    from mematlas.predictors.fitting import Fit
    from mematlas.predictors.options import PredictorConfig

FitTask = tuple[str, Sees, int]  # a model's label, what the predictor sees, seed

#: Part of the fingerprint of predictors; raised when a change of the code can change a number.
VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class PredictorStore:
    """Where the predictors of a run are stored, and what each was fitted to."""

    study: Study
    run: Run
    config: "PredictorConfig"

    @property
    def folder(self) -> Path:
        return self.study.folder / "predictors" / self.run.key

    def model_folder(self, model: str, sees: Sees) -> Path:
        return self.folder / self.run.models[model] / sees

    def predictions_path(self, model: str, sees: Sees, seed: int) -> Path:
        return self.study.predictions_folder(self.run.key) / self.run.models[model] / f"{sees}-seed-{seed}.parquet"

    def source(self, model: str) -> str:
        """The fingerprint of what a model's predictors are fitted to and tested on; "" for what is common to all."""
        options = self.config.model_dump(exclude={"sees", "seeds"})
        names = [features_name(self.run)]
        if "near" in self.study.feature_kinds(self.run.key):  # they say what is held out together
            names.append(near_name(self.run))
        features = combined_fingerprint(self.study.folder, names)
        models = [self.run.models.get(label or "") for label in (model, self.next_model(model))]
        return fingerprint([VERSION, options, self.run.key, models, features])

    def is_current(self, model: str, sees: Sees, seed: int) -> bool:
        """Whether the predictor exists and was fitted to these states with these options."""
        exists = (self.model_folder(model, sees) / f"seed-{seed}.safetensors").is_file()
        return exists and _stored_source(self.predictions_path(model, sees, seed)) == self.source(model)

    def next_model(self, model: str) -> str | None:
        """The family member after this one, to which the predictor is transferred."""
        members = [label for label in self.run.models if label not in self.run.settings.get("control_models", ())]
        after = members[members.index(model) + 1 :] if model in members else []
        return after[0] if after else None

    def read_examples(self, model: str) -> "tuple[Examples, Examples | None]":
        """What a model's predictors are fitted to, and the rows of the next model, if there is one.

        Raises:
            StudyError: there is nothing to fit to.
        """
        from mematlas.predictors.examples import read_examples

        following = self.next_model(model)
        own = read_examples(self.study, model, self.config.inputs, self.run.key)
        return own, read_examples(self.study, following, self.config.inputs, self.run.key) if following else None

    def write(self, task: FitTask, fit: "Fit", examples: "Examples", transfer: "Examples | None") -> None:
        """Write a predictor, and its and its baselines' predictions on held-out rows; see `read_examples`."""
        from mematlas.predictors.fitting import prediction_tables

        model, sees, seed = task
        held_out = examples.take(fit.parts.test | ~examples.train)
        tables = list(prediction_tables(fit, held_out, model, model, sees, seed))
        following = self.next_model(model)
        if transfer is not None and following:
            tables += self._transfer_predictions(fit, examples, transfer, (model, following, sees, seed))
        self._write_predictor(fit, examples, held_out, task)
        write_table(self.predictions_path(*task), pa.concat_tables(tables), {"source": self.source(model)})

    def write_card(self, folder: Path) -> None:
        """Write the model card of the predictors in a folder, if there are any."""
        from mematlas.predictors.cards import write_readme

        if any(folder.glob("seed-*.safetensors")):
            write_readme(folder)

    def delete_outdated(self, model: str) -> None:
        """Delete predictors and predictions that were computed from other inputs."""
        folder, source = self.study.predictions_folder(self.run.key) / self.run.models[model], self.source(model)
        for path in folder.glob("*.parquet"):
            if _stored_source(path) != source:
                path.unlink()
        for path in (self.folder / self.run.models[model]).glob("*/seed-*.safetensors"):
            if not (folder / f"{path.parent.name}-{path.stem}.parquet").is_file():
                path.unlink()
        for path in (self.folder / self.run.models[model]).glob("*/README.md"):
            if not any(path.parent.glob("seed-*.safetensors")):
                delete_folder(path.parent)

    def _transfer_predictions(
        self, fit: "Fit", examples: "Examples", transfer: "Examples", names: tuple[str, str, Sees, int]
    ) -> list[pa.Table]:
        """Predictions on another model's rows, of documents that the predictor was not fitted to."""
        from mematlas.predictors.fitting import prediction_tables
        from mematlas.study.schemas.predictions import BY_POSITION, ENTROPY, MAJORITY, SHUFFLED

        used = examples.rows[fit.parts.fit | fit.parts.validation]
        groups = document_groups(self.study, [*used.tolist(), *transfer.rows.tolist()], self.run.key)
        held_out = transfer.take(~np.isin(groups[len(used) :], groups[: len(used)]))
        same_width = transfer.states.shape[2] == examples.states.shape[2]
        methods = tuple(fit.methods) if same_width else (MAJORITY, BY_POSITION, ENTROPY)
        return list(prediction_tables(fit, held_out, *names, only=tuple(name for name in methods if name != SHUFFLED)))

    def _write_predictor(self, fit: "Fit", examples: "Examples", held_out: "Examples", task: FitTask) -> None:
        from mematlas.predictors.cards import build_card
        from mematlas.predictors.predictor import Predictor, save_predictor

        model, sees, seed = task
        fingerprint_of_model = self.study.models(self.run.key).filter(model=model)["fingerprint"].item()
        origin = (model, fingerprint_of_model or "", self.run.key)
        card = build_card(fit, examples, held_out, origin, (sees, seed), self.config, versions())
        folder = self.model_folder(model, sees)
        save_predictor(Predictor(fit.trained.network, fit.scaling, card), folder)
        self.write_card(folder)


class Fitter:
    """Fits predictors, with the states of one model at a time in memory.

    Called with a task, it returns None, or the reason why nothing could be fitted.
    """

    def __init__(self, store: PredictorStore) -> None:
        self._store = store
        self._loaded: tuple[str, tuple[Examples, Examples | None]] | None = None

    def __call__(self, task: FitTask) -> str | None:
        from mematlas.predictors.fitting import fit_once

        model, sees, seed = task
        try:
            examples, transfer = self._examples(model)
        except StudyError as error:
            return f"{model}: {error}"
        try:
            fit = fit_once(examples, self._store.config, sees, seed, shuffled=True)
        except StudyError as error:
            return f"{model}, seed {seed}: {error}"
        with translate_os_errors(self._store.study.folder):
            self._store.write(task, fit, examples, transfer)
        return None

    def _examples(self, model: str) -> "tuple[Examples, Examples | None]":
        if self._loaded is None or self._loaded[0] != model:
            self._loaded = None
            self._loaded = model, self._store.read_examples(model)
        return self._loaded[1]


def fit_workers(store: PredictorStore) -> "WorkerFactory[FitTask, str | None]":
    """A picklable factory of workers that fit; relative paths are resolved against the current folder."""
    return partial(_fitter, store, Path.cwd())


def _fitter(store: PredictorStore, folder: Path, threads: int) -> Fitter:
    enter_folder(folder)
    limit_threads(threads)
    return Fitter(store)


def _stored_source(path: Path) -> str:
    """The fingerprint of what a file of predictions was computed from; "" if it is absent or damaged."""
    try:
        return (pq.read_schema(fetch(path)).metadata or {}).get(b"mematlas.source", b"").decode()
    except (OSError, pa.ArrowInvalid):
        return ""
