"""Open the rows of a finished run again, as its manifest records them, and check that they are unchanged."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mematlas.errors import CorpusError, ModelError, StudyError
from mematlas.io.paths import is_remote, study_path
from mematlas.models.huggingface import decoding_encoder
from mematlas.models.peft_adapters.names import with_base
from mematlas.models.resolve import find_model
from mematlas.scoring.config import ScoreConfig, grid_of, resolve_config
from mematlas.scoring.job import ScoringJob, choose_tokenizer, digest_positions, family_tokenizer, open_row_sets
from mematlas.study import Run, Study
from mematlas.types import Encoder, Grid

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import RowSet


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The rows of a run. sets: train, and control if there is one; tokenizer: the family's, None if it has none."""

    run: Run
    grid: Grid
    sets: "tuple[RowSet, ...]"
    tokenizer: Encoder | None


def job_rows(job: ScoringJob) -> ScoredRows:
    """The rows of a scoring job."""
    tokenizer = family_tokenizer(job.config, list(job.sources.values()))
    return ScoredRows(job.run, job.options.grid, job.plan.sets, tokenizer)


def reopen_rows(study: Study, key: str | None = None, *, tokenizer: bool = True) -> ScoredRows:
    """Open the rows of the run whose key starts with `key`, by default of the latest run.

    Args:
        tokenizer: whether to open the tokenizer, too. False if no corpus is text and nothing will be decoded; then no
            model is looked up.

    Raises:
        StudyError: there is no such run, it is not finished, or it was imported, so that its corpus is unknown.
        CorpusError: the corpus is missing or is not the one that was scored.
        ModelError: the model whose tokenizer is needed is missing.
    """
    run = study.run(key)
    recorded = recorded_run(study, run)
    config, grid = recorded.config, grid_of(recorded.config)
    encoder = _open_tokenizer(recorded) if tokenizer else None
    sets = open_row_sets(config, grid, encoder, run.settings.get("corpus_format"))
    _check_unchanged(run, config, sets)
    return ScoredRows(run, grid, sets, encoder)


def reopen_decoder(study: Study, key: str | None = None) -> Encoder | None:
    """The tokenizer of a run's models, to decode with: no weight is read and nothing is downloaded.

    Returns:
        None if the models have none.

    Raises:
        StudyError: as `reopen_rows`.
        ModelError: it is not on this machine any more, or has changed.
    """
    recorded = recorded_run(study, study.run(key))
    first = next(iter(recorded.models.values()))
    if recorded.config.tokenizer is not None:
        vocabulary = min(card["vocabulary"] for card in recorded.models.values())
        return decoding_encoder(recorded.config.tokenizer, vocabulary)
    if first["tokenizer"] is None:
        return None
    encoder = _decoder_of(first["spec"], first["vocabulary"])
    if encoder is not None and encoder.fingerprint != first["tokenizer"]:
        raise ModelError(f"That of {first['spec']} has changed since it was scored; put the former one back.")
    return encoder


def _decoder_of(spec: str, vocabulary: int) -> Encoder | None:
    if Path(spec).suffix == ".gguf":
        return find_model(spec).encoder()
    folders = [name for name, _ in with_base(spec) if Path(name).is_dir()]  # of an adapter
    return decoding_encoder(folders[0] if folders else spec, vocabulary)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the manifest records of a finished run, with relative paths as seen from the study's current place.

    models: the models' cards by label.
    """

    config: ScoreConfig
    models: dict[str, dict[str, Any]]


def recorded_run(study: Study, run: Run) -> RecordedRun:
    """What the manifest records of a run.

    Raises:
        StudyError: the run is not finished, or was imported, so that its corpus is unknown.
    """
    if "imported" in run.settings:
        raise StudyError(
            f"{study.folder} contains published scores but no corpus to compute row features from; score that "
            "corpus: `mematlas score MODEL --corpus PATH --study FOLDER`."
        )
    entry = study.manifest().get("runs", {}).get(run.key)
    if entry is None:
        raise StudyError(
            f"Run {run.key} of {study.folder} is not finished, so its manifest does not name the corpus; "
            "run the same `mematlas score` or `mematlas run` command again."
        )
    cards = entry["models"]
    missing = [
        label
        for label, name in run.models.items()
        if not name.endswith(cards.get(label, {}).get("fingerprint", "-none")[:8])
    ]
    if missing:
        raise StudyError(
            f"Run {run.key} of {study.folder} is not finished: its manifest lacks {missing[0]}; run the same "
            "`mematlas score` or `mematlas run` command again."
        )
    recorded_study = study_path(entry["configuration"]["study"])
    models = {
        label: cards[label] | {"spec": _relocate_name(cards[label]["spec"], recorded_study, study.folder)}
        for label in run.models
    }
    return RecordedRun(_relocate_paths(resolve_config(**entry["configuration"]), study.folder), models)


def _open_tokenizer(recorded: RecordedRun) -> Encoder | None:
    """Like `job.family_tokenizer`, but looks up no model except the first."""
    first = next(iter(recorded.models.values()))
    if recorded.config.tokenizer is None and first["tokenizer"] is None:
        return None  # the model need not be looked up, nor the libraries that it needs be installed
    vocabularies = (card["vocabulary"] for card in recorded.models.values())
    return choose_tokenizer(recorded.config, vocabularies, lambda: find_model(first["spec"]).encoder())


def _check_unchanged(run: Run, config: ScoreConfig, sets: "Sequence[RowSet]") -> None:
    paths = {"train": config.corpus, "control": config.control}
    for recorded, rows in zip(run.settings["fingerprints"], sets, strict=True):
        path = paths[rows.role]
        if rows.corpus.fingerprint != recorded["corpus"]:
            raise CorpusError(
                f"{path} is not the corpus that was scored: its fingerprint is {rows.corpus.fingerprint}, the "
                f"scored one's was {recorded['corpus']}. Restore that corpus, or score this one into another study."
            )
        if digest_positions(rows.positions) != recorded["rows"]:
            option = f"--rows {config.rows}" if rows.role == "train" else f"--control-rows {config.control_rows}"
            raise CorpusError(
                f"{option} selects other rows of {path} than were scored; restore the old list of ids, or score these "
                "rows into a study of their own."
            )


# ------------------------------------------------------------------------------------------------------- moved paths


def _relocate_paths(config: ScoreConfig, folder: Path) -> ScoreConfig:
    """`config` with its relative paths adjusted to the current place of the study, `folder`.

    Relative paths are recorded as seen from where the command was run. If the study was moved since, the files are
    assumed to have moved with it, so that they are where they were relative to the study.
    """
    recorded_study = config.study
    changed: dict[str, Any] = {"study": folder}
    for name in ("corpus", "control"):
        path = getattr(config, name)
        if path is not None:
            is_name = config.format == "datasets" and not Path(_relocate(path, recorded_study, folder)).exists()
            changed[name] = path if is_name else _relocate(path, recorded_study, folder)
    for name in ("rows", "control_rows"):
        method, _, path = getattr(config, name).partition(":")
        if method == "ids":
            changed[name] = f"ids:{_relocate(path, recorded_study, folder)}"
    if config.tokenizer is not None:
        changed["tokenizer"] = _relocate_name(config.tokenizer, recorded_study, folder)
    if config.cache is not None:
        changed["cache"] = Path(_relocate(str(config.cache), recorded_study, folder))
    return config.model_copy(update=changed)


def _relocate(path: str, recorded_study: Path, folder: Path) -> str:
    """The path that has the same place relative to `folder` as `path` had relative to `recorded_study`."""
    if is_remote(recorded_study) or is_remote(folder):
        return path
    if Path(path).is_absolute() or recorded_study.is_absolute() or recorded_study.resolve() == folder.resolve():
        return path
    return os.path.normpath(folder / os.path.relpath(path, recorded_study))


def _relocate_name(name: str, recorded_study: Path, folder: Path) -> str:
    """The current path of a model or tokenizer if `name` is a path; else `name` itself."""
    path = _relocate(name, recorded_study, folder)
    if Path(path).exists():
        return path
    for adapter, base in with_base(name):
        path = _relocate(adapter, recorded_study, folder)
        if Path(path).is_dir():
            return f"{path}@{_relocate_name(base, recorded_study, folder)}"
    return name
