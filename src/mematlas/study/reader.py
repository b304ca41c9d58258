"""A study opened for reading: its runs, and its tables as polars frames."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mematlas.errors import StudyError
from mematlas.io.local_copies import fetch_all
from mematlas.io.paths import reach, study_path
from mematlas.study.runs import Run, read_facts, read_run
from mematlas.study.shards import finished_shards, missing_shards, shard_name
from mematlas.study.signals import HiddenStates, cut_signals, read_states

if TYPE_CHECKING:
    import polars as pl


class Study:
    """A study's folder, for reading: a path, or the URL of one in an object store. Tables come as polars frames."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = study_path(folder)

    def runs(self) -> list[Run]:
        """All runs, the latest last."""
        runs = [read_run(path) for path in sorted((self.folder / "runs").glob("*.json"))]
        return sorted(runs, key=lambda run: run.asked)

    def run(self, key: str | None = None) -> Run:
        """The run whose key starts with `key`, or the latest."""
        found = [run for run in self.runs() if key is None or run.key.startswith(key)]
        if not found:
            raise StudyError(f"{self.folder} holds no run {key or ''}".rstrip() + "; `mematlas score` makes one.")
        return found[-1]

    def manifest(self) -> dict[str, Any]:
        """The manifest; {} before the first command has finished."""
        return read_facts(self.folder / "manifest.json", "delete it and run the same command again") or {}

    def done(self, run: Run, label: str) -> int:
        """How many of the model's shards are finished."""
        return run.shards - len(self.missing(run, label))

    def missing(self, run: Run, label: str) -> list[int]:
        """The numbers of the model's shards that are not finished."""
        return missing_shards(self.folder / "scores" / run.key / run.models[label], run.shards)

    def _is_complete(self, run: Run) -> bool:
        return all(self.done(run, label) == run.shards for label in run.models)

    def scores(self, run: str | None = None, *, partial: bool = False) -> "pl.DataFrame":
        """One line a (model, row, context, continuation) of a run, the latest by default.

        Raises:
            StudyError: shards are missing and `partial` was not asked for.
        """
        return self.scan_scores(run, partial=partial).collect()

    def scan_scores(self, run: str | None = None, *, partial: bool = False) -> "pl.LazyFrame":
        """As `scores`, unread: for tables larger than memory."""
        found = self.run(run)
        return self._read(found, lambda model: Path("scores") / found.key / model, partial)

    def signals(
        self,
        kind: str,
        run: str | None = None,
        *,
        context: int | None = None,
        continuation: int | None = None,
        partial: bool = False,
    ) -> "pl.DataFrame":
        """Per-token records of `kind` ("truth" or "free"), one line a (model, row, context).

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
        """As `signals`, unread."""
        found = self.run(run)
        if kind not in found.question["signals"]:
            raise StudyError(
                f"Run {found.key} of {self.folder} has no signals {kind!r}, only "
                f"{found.question['signals'] or 'scores'}; score with --signals {kind}."
            )
        frame = self._read(found, lambda model: Path("signals") / found.key / kind / model, partial)
        if context is None or continuation is None:
            return frame
        return cut_signals(frame, kind, found.question["align"], context, continuation)

    def states(self, model: str, kind: str = "free", run: str | None = None) -> HiddenStates:
        """The hidden states of a model's sample of rows, along its own text ("free") or the true one ("truth").

        Raises:
            StudyError: the run kept none, or is not finished.
        """
        found = self.run(run)
        folder = self.folder / "states" / found.key / kind / found.models.get(model, model)
        if model not in found.models or not folder.is_dir():
            raise StudyError(
                f"Run {found.key} of {self.folder} has no hidden states {kind!r} of {model!r}; score with --signals "
                f"hidden{' --signals truth' if kind == 'truth' else ''}."
            )
        if self.done(found, model) < found.shards:
            raise StudyError(f"Run {found.key} of {self.folder} is not finished: run the same command again.")
        return read_states([folder / f"{shard_name(index, found.shards)}.safetensors" for index in range(found.shards)])

    def state_kinds(self, run: str | None = None) -> list[str]:
        """The kinds of hidden states that the run keeps: "free", "truth", or none."""
        folder = self.folder / "states" / self.run(run).key
        return sorted(path.name for path in folder.glob("*") if path.is_dir())

    def predictions_folder(self, run: str | None = None) -> Path:
        """The folder of the predictions on held-out rows, one folder a model (`study.schemas.predictions`)."""
        return self.folder / "predictions" / self.run(run).key

    def has_predictions(self, run: str | None = None) -> bool:
        return any(self.predictions_folder(run).glob("*/*.parquet"))

    def scan_predictions(self, run: str | None = None) -> "pl.LazyFrame":
        """What predictors of memorization said of rows held out, one line a predictor, seed and row, unread.

        Raises:
            StudyError: none was fitted yet.
        """
        import polars as pl

        paths = sorted(self.predictions_folder(run).glob("*/*.parquet"))
        if not paths:
            raise StudyError(f"{self.folder} has no predictors yet; `mematlas fit {self.folder}` makes them.")
        return pl.scan_parquet(fetch_all(paths))

    def rows(self, run: str | None = None) -> "pl.DataFrame":
        """One line a row: row, role (train or control), repetitions, document, source."""
        return self.scan_rows(run).collect()

    def scan_rows(self, run: str | None = None) -> "pl.LazyFrame":
        """As `rows`, unread."""
        found = self.run(run)
        whole = found.shards if self._is_complete(found) else None
        return self._scan([self.folder / "rows" / found.rows_key], whole)

    def features_folder(self, run: str | None = None) -> Path:
        """Where the row features of a run are kept; facts.json in it is written last."""
        return self.folder / "features" / self.run(run).key

    def feature_facts(self, run: str | None = None) -> dict[str, Any] | None:
        """What the row features were made from (scope, tokens of the corpus ...); None before they are complete."""
        path = self.features_folder(run) / "facts.json"
        return read_facts(path, f"delete it; `mematlas features {self.folder}` writes it again")

    def features(self, kind: str, run: str | None = None) -> "pl.DataFrame":
        """Row features of `kind` ("counts", "copies", "texts"), see `mematlas.study.schemas.features`.

        Raises:
            StudyError: they were not made yet, or there is no such kind.
        """
        return self.scan_features(kind, run).collect()

    def feature_kinds(self, run: str | None = None) -> list[str]:
        """The kinds of row features that are there, none before they are complete."""
        folder = self.features_folder(run)
        made = {path.parent.name for path in folder.glob("*/*.done")} if self.feature_facts(run) is not None else set()
        return sorted(made)

    def scan_features(self, kind: str, run: str | None = None) -> "pl.LazyFrame":
        """As `features`, unread."""
        folder = self.features_folder(run)
        if self.feature_facts(run) is None:
            raise StudyError(f"{self.folder} has no row features yet; `mematlas features {self.folder}` makes them.")
        if kind not in self.feature_kinds(run):
            known = ", ".join(self.feature_kinds(run))
            raise StudyError(f"{self.folder} has no features {kind!r}; there are {known}.")
        return self._scan([folder / kind])

    def models(self, run: str | None = None) -> "pl.DataFrame":
        """One line a model of the run, in the order it was asked for."""
        import polars as pl

        found = self.run(run)
        paths = [self.folder / "models" / f"{name}.parquet" for name in found.models.values()]
        return pl.concat([pl.read_parquet(path) for path in fetch_all(paths)])

    def _read(self, run: Run, place: Callable[[str], Path], partial: bool) -> "pl.LazyFrame":
        for label in run.models:
            done = self.done(run, label)
            if done < run.shards and not partial:
                finished = [other.key for other in self.runs() if self._is_complete(other)]
                raise StudyError(
                    f"Run {run.key} of {self.folder} has {done} of {run.shards} shards of {label}: run the same "
                    "command again to finish it, or read what is there with partial=True. "
                    f"Finished runs: {', '.join(finished) or 'none'}."
                )
        folders = [self.folder / place(model) for model in run.models.values()]
        return self._scan(folders, None if partial else run.shards)

    def _scan(self, folders: list[Path], whole: int | None = None) -> "pl.LazyFrame":
        """The finished shards in these folders; whole: how many a finished run has written, of which none may lack."""
        import polars as pl

        paths = []
        for folder in folders:
            names = dict.fromkeys(finished_shards(folder))
            for name in [] if whole is None else [shard_name(index, whole) for index in range(whole)]:
                if name not in names:
                    raise StudyError(
                        f"{folder / name}.parquet of a finished run is gone or damaged; `mematlas verify "
                        f"{self.folder}` says how to make it again."
                    )
            paths += [folder / f"{name}.parquet" for name in names]
        if not paths:
            raise StudyError(f"{self.folder} has no finished shard yet; run `mematlas score` again.")
        return pl.scan_parquet(fetch_all(paths))


def open_study(folder: str | Path) -> Study:
    """Open a study for reading: a folder, or the URL of one in an object store.

    Raises:
        OptionError, MissingExtra, StudyError: there is none, or it cannot be reached.
    """
    study = Study(folder)
    reach(study.folder)
    if not (study.folder / "runs").is_dir():
        raise StudyError(
            f"{folder} is no study: it has no runs/ folder. `mematlas score ... --study {folder}` makes one."
        )
    return study
