"""The rows of a finished run, opened again from what its manifest notes, and seen to be the same as they were."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mematlas.errors import CorpusError, StudyError
from mematlas.io.paths import is_remote, study_path
from mematlas.scoring.config import ScoreConfig, resolve_config
from mematlas.scoring.job import ScoringJob, chosen_encoder, digest_positions, encoder, row_sets
from mematlas.study import Run, Study
from mematlas.types import Encoder, Grid

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import RowSet


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """What a run was asked about. sets: train, and control if there is one; encoder: the family's tokenizer, if any."""

    run: Run
    grid: Grid
    sets: "tuple[RowSet, ...]"
    encoder: Encoder | None


def job_rows(question: ScoringJob) -> ScoredRows:
    """The rows of a question in hand."""
    tokenizer = encoder(question.config, list(question.sources.values()))
    return ScoredRows(question.run, question.options.grid, question.plan.sets, tokenizer)


def reopen_rows(study: Study, key: str | None = None, *, tokenizer: bool = True) -> ScoredRows:
    """The rows of the run whose key starts with `key`, or of the latest.

    tokenizer: False where no corpus is text and nothing is to be decoded; then no model is looked at.

    Raises:
        StudyError: there is no such run, it was not finished, or it was imported, so that no corpus is known.
        CorpusError: the corpus is gone, or is not the one that was scored.
        ModelError: the model whose tokenizer is needed is gone.
    """
    run = study.run(key)
    if "imported" in run.question:
        raise StudyError(
            f"{study.folder} holds published scores, not the corpus that row features are counted in; score that "
            "corpus: `mematlas score MODEL --corpus PATH --study FOLDER`."
        )
    noted = study.manifest().get("runs", {}).get(run.key)
    if noted is None:
        raise StudyError(
            f"Run {run.key} of {study.folder} is not finished, so that its manifest does not name the corpus; "
            "run the same `mematlas score` or `mematlas run` command again."
        )
    cards = noted["models"]
    unknown = [
        label
        for label, name in run.models.items()
        if not name.endswith(cards.get(label, {}).get("fingerprint", "-none")[:8])
    ]
    if unknown:
        raise StudyError(
            f"Run {run.key} of {study.folder} is not finished: its manifest does not know {unknown[0]}; run the same "
            "`mematlas score` or `mematlas run` command again."
        )
    config = _seen_from_here(resolve_config(**noted["configuration"]), study.folder)
    grid = Grid(tuple(config.context), tuple(config.continuation), config.align)
    models = {label: cards[label] for label in run.models}
    encoder = _encoder(config, models, study_path(noted["configuration"]["study"])) if tokenizer else None
    sets = row_sets(config, grid, encoder)
    _check_unchanged(run, config, sets)
    return ScoredRows(run, grid, sets, encoder)


def _encoder(config: ScoreConfig, models: Mapping[str, dict[str, Any]], noted: Path) -> Encoder | None:
    """As `question.encoder`, without a look at any weights but the first model's; models: their cards, by label."""
    from mematlas.models.resolve import find_model

    first = next(iter(models.values()))
    return chosen_encoder(
        config,
        (card["vocabulary"] for card in models.values()),
        lambda: find_model(_there(first["spec"], noted, config.study)).encoder(),
    )


def _check_unchanged(run: Run, config: ScoreConfig, sets: "Sequence[RowSet]") -> None:
    paths = {"train": config.corpus, "control": config.control}
    for noted, rows in zip(run.question["fingerprints"], sets, strict=True):
        path = paths[rows.role]
        if rows.corpus.fingerprint != noted["corpus"]:
            raise CorpusError(
                f"{path} is not the corpus that was scored: its fingerprint is {rows.corpus.fingerprint}, that one's "
                f"was {noted['corpus']}. Bring that corpus back, or score this one into a study of its own."
            )
        if digest_positions(rows.positions) != noted["rows"]:
            option = f"--rows {config.rows}" if rows.role == "train" else f"--control-rows {config.control_rows}"
            raise CorpusError(
                f"{option} names other rows of {path} than were scored; bring the old list of ids back, or score these "
                "rows into a study of their own."
            )


# ------------------------------------------------------------------------------------------------------- moved paths


def _seen_from_here(config: ScoreConfig, folder: Path) -> ScoreConfig:
    """`config` with relative paths as they are seen from here, where the study lies in `folder`.

    They were noted as seen from where the command was given. If the study is found elsewhere now, what they name lies
    beside it as it did.
    """
    noted = config.study
    changed: dict[str, Any] = {"study": folder}
    for name in ("corpus", "control"):
        path = getattr(config, name)
        if path is not None:
            is_name = config.format == "datasets" and not Path(_placed(path, noted, folder)).exists()
            changed[name] = path if is_name else _placed(path, noted, folder)
    for name in ("rows", "control_rows"):
        form, _, path = getattr(config, name).partition(":")
        if form == "ids":
            changed[name] = f"ids:{_placed(path, noted, folder)}"
    if config.tokenizer is not None:
        changed["tokenizer"] = _there(config.tokenizer, noted, folder)
    if config.cache is not None:
        changed["cache"] = Path(_placed(str(config.cache), noted, folder))
    return config.model_copy(update=changed)


def _placed(path: str, noted: Path, folder: Path) -> str:
    """`path`, which was noted beside the study `noted`, beside the study in `folder`."""
    if is_remote(noted) or is_remote(folder):
        return path
    if Path(path).is_absolute() or noted.is_absolute() or noted.resolve() == folder.resolve():
        return path
    return os.path.normpath(folder / os.path.relpath(path, noted))


def _there(name: str, noted: Path, folder: Path) -> str:
    """The path that a model or tokenizer has now, if it is one; else its name."""
    placed = _placed(name, noted, folder)
    return placed if Path(placed).exists() else name
