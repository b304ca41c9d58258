"""Opens a study for reading: its runs, and its tables as polars frames."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mematlas.errors import StudyError
from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.io.local_copies import fetch_all
from mematlas.io.paths import check_reachable, study_path
from mematlas.registry import import_target
from mematlas.study.notebook import study_html
from mematlas.study.row import Row
from mematlas.study.runs import Run, read_json, read_run
from mematlas.study.schemas.models import MODELS
from mematlas.study.shards import finished_shards, missing_shards, shard_name
from mematlas.study.signals import HiddenStates, cut_signals, read_states

if TYPE_CHECKING:
    import polars as pl


#: Named and not imported: tokenizers are in a room above this one.
_READ_ROW: Final = "mematlas.rows.reading:read_row"


class Study:
    """A study, for reading; its tables are polars frames.

    Args:
        folder: path of the study, or its URL in an object store.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = study_path(folder)

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        runs = self.runs()
        if not runs:
            return study_html(self.folder, None)
        done = {label: self.done(runs[-1], label) for label in runs[-1].models}
        return study_html(self.folder, runs[-1], done, self.feature_kinds(runs[-1].key), len(runs) - 1)

    def runs(self) -> list[Run]:
        """All runs, in the order in which they were requested."""
        runs = [read_run(path) for path in sorted((self.folder / "runs").glob("*.json"))]
        return sorted(runs, key=lambda run: run.requested_at)

    def run(self, key: str | None = None) -> Run:
        """The run whose key starts with `key`, or the latest.

        Raises:
            StudyError: there is no such run.
        """
        runs = [run for run in self.runs() if key is None or run.key.startswith(key)]
        if not runs:
            if key is None:
                raise StudyError(f"{self.folder} has no run; `mematlas score ... --study STUDY` creates one.")
            show = command_line("show", self.folder)
            raise StudyError(f"{self.folder} has no run {key}; `{show}` prints those it has.")
        return runs[-1]

    def manifest(self) -> dict[str, Any]:
        """The manifest; {} before the first command has finished."""
        return read_json(self.folder / "manifest.json", "delete it and run the same command again") or {}

    def done(self, run: Run, label: str) -> int:
        """The number of finished shards of a model."""
        return run.shards - len(self.missing(run, label))

    def missing(self, run: Run, label: str) -> list[int]:
        """The numbers of the shards of a model that are not finished."""
        return missing_shards(self.folder / "scores" / run.key / run.models[label], run.shards)

    def _is_complete(self, run: Run) -> bool:
        return all(self.done(run, label) == run.shards for label in run.models)

    def scores(self, run: str | None = None, *, partial: bool = False) -> "pl.DataFrame":
        """The scores of a run (the latest by default): one row per (model, row, context, continuation).

        Raises:
            StudyError: shards are missing and `partial` is false.
        """
        return self.scan_scores(run, partial=partial).collect()

    def scan_scores(self, run: str | None = None, *, partial: bool = False) -> "pl.LazyFrame":
        """As `scores`, but lazy: for tables larger than memory."""
        selected = self.run(run)
        return self._scan_models(selected, Path("scores") / selected.key, partial)

    def signals(
        self,
        kind: str,
        run: str | None = None,
        *,
        context: int | None = None,
        continuation: int | None = None,
        partial: bool = False,
    ) -> "pl.DataFrame":
        """Per-token signals of `kind` ("truth" or "free"), one row per (model, row, context).

        With `context` and `continuation` they are cut to that cell: the lists of free-running signals to the
        continuation, those of teacher-forced ones to context + continuation.
        """
        return self.scan_signals(kind, run, context=context, continuation=continuation, partial=partial).collect()

    def scan_signals(
        self,
        kind: str,
        run: str | None = None,
        *,
        context: int | None = None,
        continuation: int | None = None,
        partial: bool = False,
    ) -> "pl.LazyFrame":
        """As `signals`, but lazy."""
        selected = self.run(run)
        if kind not in selected.settings["signals"]:
            raise StudyError(
                f"Run {selected.key} of {self.folder} has no signals {kind!r}, only "
                f"{selected.settings['signals'] or 'scores'}; score with --signals {kind}."
            )
        frame = self._scan_models(selected, Path("signals") / selected.key / kind, partial)
        if context is None or continuation is None:
            return frame
        return cut_signals(frame, kind, selected.settings["align"], context, continuation)

    def states(self, model: str, kind: str = "free", run: str | None = None) -> HiddenStates:
        """A model's hidden states on a sample of rows, along its own text ("free") or the true one ("truth").

        Raises:
            StudyError: the run has none, or is not finished.
        """
        selected = self.run(run)
        folder = self.folder / "states" / selected.key / kind / selected.models.get(model, model)
        if model not in selected.models or not folder.is_dir():
            raise StudyError(
                f"Run {selected.key} of {self.folder} has no hidden states {kind!r} of {model!r}; score with --signals "
                f"hidden{' --signals truth' if kind == 'truth' else ''}."
            )
        if self.done(selected, model) < selected.shards:
            raise StudyError(f"Run {selected.key} of {self.folder} is not finished: run the same command again.")
        names = [shard_name(index, selected.shards) for index in range(selected.shards)]
        return read_states([folder / f"{name}.safetensors" for name in names])

    def state_kinds(self, run: str | None = None) -> list[str]:
        """The kinds of hidden states that the run has: "free", "truth", or none."""
        folder = self.folder / "states" / self.run(run).key
        return sorted(path.name for path in folder.glob("*") if path.is_dir())

    def predictions_folder(self, run: str | None = None) -> Path:
        """The folder of the predictions on held-out rows, one folder per model (`study.schemas.predictions`)."""
        return self.folder / "predictions" / self.run(run).key

    def has_predictions(self, run: str | None = None) -> bool:
        return any(self.predictions_folder(run).glob("*/*.parquet"))

    def scan_predictions(self, run: str | None = None) -> "pl.LazyFrame":
        """The predictions on held-out rows, one row per predictor, seed and row, as a lazy frame.

        Raises:
            StudyError: no predictor was fitted yet.
        """
        import polars as pl

        paths = sorted(self.predictions_folder(run).glob("*/*.parquet"))
        if not paths:
            fit = command_line("fit", self.folder)
            raise StudyError(f"{self.folder} has no predictors yet; `{fit}` fits them.")
        return pl.scan_parquet(fetch_all(paths))

    def has_probes(self) -> bool:
        return any((self.folder / "probes").glob("*.parquet"))

    def scan_probes(self) -> "pl.LazyFrame":
        """What was measured while the models were trained (`study.schemas.probes`), as a lazy frame; of all runs.

        Raises:
            StudyError: nothing was.
        """
        import polars as pl

        paths = sorted((self.folder / "probes").glob("*.parquet"))
        if not paths:
            raise StudyError(
                f"{self.folder} has no measurements taken in training; `mematlas experiment NAME FILE.yaml` writes "
                "studies that have them."
            )
        return pl.scan_parquet(fetch_all(paths))

    def has_exposures(self) -> bool:
        return any((self.folder / "exposures").glob("*.parquet"))

    def scan_exposures(self) -> "pl.LazyFrame":
        """Which models were trained on which rows (`study.schemas.exposures`), as a lazy frame; of all runs.

        Raises:
            StudyError: it is not known.
        """
        import polars as pl

        paths = sorted((self.folder / "exposures").glob("*.parquet"))
        if not paths:
            command = command_line("import", "exposures", "FILE", "--study", self.folder)
            raise StudyError(
                f"{self.folder} does not say which models were trained on which rows; studies of `mematlas experiment "
                f"NAME FILE.yaml` do, and `{command}` says it."
            )
        return pl.scan_parquet(fetch_all(paths))

    def rows(self, run: str | None = None) -> "pl.DataFrame":
        """One row per scored row: row, role (train or control), repetitions, document, source."""
        return self.scan_rows(run).collect()

    def scan_rows(self, run: str | None = None) -> "pl.LazyFrame":
        """As `rows`, but lazy."""
        selected = self.run(run)
        expected_shards = selected.shards if self._is_complete(selected) else None
        return self._scan([self.folder / "rows" / selected.rows_key], expected_shards)

    def row(
        self,
        row: int,
        *,
        context: int | None = None,
        continuation: int | None = None,
        run: str | None = None,
        tokenizer: str | None = None,
    ) -> Row:
        """One row in full: its text, and what each model recites of it; a notebook shows it with hits marked.

        Args:
            row: its id; context, continuation: a cell of the grid, by default that nearest to 32 + 32.
            tokenizer: folder or hub id of a tokenizer, instead of the models' own.

        Raises:
            StudyError: there is no such row; OptionError: the grid has no such cell.
        """
        found: Row = import_target(_READ_ROW)(self, row, context, continuation, run, tokenizer)
        return found

    def features_folder(self, run: str | None = None) -> Path:
        """The folder of a run's row features; facts.json in it is written last."""
        return self.folder / "features" / self.run(run).key

    def feature_facts(self, run: str | None = None) -> dict[str, Any] | None:
        """What the row features were computed from (scope, tokens of the corpus ...); None until they are complete."""
        path = self.features_folder(run) / "facts.json"
        return read_json(path, f"delete it; `{command_line('features', self.folder)}` writes it again")

    def features(self, kind: str, run: str | None = None) -> "pl.DataFrame":
        """Row features of `kind` ("counts", "copies", "texts", "tokens", "tags", "near", "places"): see
        `study.schemas.features`.

        Raises:
            StudyError: they were not computed yet, or there is no such kind.
        """
        return self.scan_features(kind, run).collect()

    def feature_kinds(self, run: str | None = None) -> list[str]:
        """The kinds of row features that exist; none until they are complete."""
        folder = self.features_folder(run)
        if self.feature_facts(run) is None:
            return []
        return sorted({path.parent.name for path in folder.glob("*/*.done")})

    def scan_features(self, kind: str, run: str | None = None) -> "pl.LazyFrame":
        """As `features`, but lazy."""
        folder = self.features_folder(run)
        if self.feature_facts(run) is None:
            features = command_line("features", self.folder)
            raise StudyError(f"{self.folder} has no row features yet; `{features}` computes them.")
        if kind not in self.feature_kinds(run):
            kinds = ", ".join(self.feature_kinds(run))
            raise StudyError(f"{self.folder} has no features {kind!r}; there are {kinds}.")
        return self._scan([folder / kind])

    def models(self, run: str | None = None) -> "pl.DataFrame":
        """One row per model of the run, in the requested order; of one that was not begun only the label."""
        import polars as pl

        models = self.run(run).models
        paths = {label: self.folder / "models" / f"{name}.parquet" for label, name in models.items()}
        begun = [label for label, path in paths.items() if path.is_file()]
        tables = dict(zip(begun, fetch_all([paths[label] for label in begun]), strict=True))
        unknown = {label: pl.DataFrame({"model": label}) for label in paths if label not in tables}
        frames = [unknown[label] if label in unknown else pl.read_parquet(tables[label]) for label in paths]
        schema = pl.DataFrame(MODELS.empty_table())
        return pl.concat([schema, *frames] if unknown else frames, how="diagonal")

    def _scan_models(self, run: Run, folder: Path, partial: bool) -> "pl.LazyFrame":
        """The tables of all models of a run; `folder` has one folder per model and is relative to the study."""
        for label in run.models:
            done = self.done(run, label)
            if done < run.shards and not partial:
                finished = [candidate.key for candidate in self.runs() if self._is_complete(candidate)]
                raise StudyError(
                    f"Run {run.key} of {self.folder} has {done} of {run.shards} shards of {label}: run the same "
                    "command again to finish it, or read the finished shards with partial=True. "
                    f"Finished runs: {', '.join(finished) or 'none'}."
                )
        folders = [self.folder / folder / model for model in run.models.values()]
        return self._scan(folders, None if partial else run.shards)

    def _scan(self, folders: list[Path], expected_shards: int | None = None) -> "pl.LazyFrame":
        """The finished shards in these folders.

        Args:
            expected_shards: in each folder of a finished run; None if shards may be missing.
        """
        import polars as pl

        paths = []
        for folder in folders:
            names = dict.fromkeys(finished_shards(folder))
            for index in range(expected_shards or 0):
                name = shard_name(index, expected_shards or 0)
                if name not in names:
                    raise StudyError(
                        f"{folder / name}.parquet of a finished run is missing or damaged; "
                        f"`{command_line('verify', self.folder)}` says how to restore it."
                    )
            paths += [folder / f"{name}.parquet" for name in names]
        if not paths:
            raise StudyError(f"{self.folder} has no finished shard yet; run the same `mematlas score` command again.")
        # an older version's signals lack a column: shards that it left half done can be finished all the same
        return pl.scan_parquet(fetch_all(paths), missing_columns="insert", extra_columns="ignore")


@public_function()
def open_study(folder: str | Path) -> Study:
    """Open a study for reading: a folder, or the URL of one in an object store.

    Raises:
        OptionError, MissingExtra, StudyError: there is no study, or it cannot be reached.
    """
    study = Study(folder)
    check_reachable(study.folder)
    if not (study.folder / "runs").is_dir():
        raise StudyError(
            f"{folder} is not a study: it has no runs/ folder. "
            f"`{command_line('score', '...', '--study', folder)}` creates one."
        )
    return study
