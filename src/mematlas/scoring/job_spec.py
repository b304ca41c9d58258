"""A picklable description of a scoring job, from which a worker process on any machine can score its shards.

The job itself is not pickled: its corpora have open files, and its stand-ins are loaded models. A worker opens the
corpus again and resolves each model when it first needs it, and scores only if both are the same as in the job.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.errors import CorpusError, ModelError
from mematlas.executors.pool import enter_folder
from mematlas.models.resolve import find_model
from mematlas.models.threads import limit_threads
from mematlas.scoring.config import ScoreConfig
from mematlas.scoring.job import ScoringJob, choose_tokenizer, open_row_sets, row_set_fingerprints
from mematlas.scoring.worker import ShardTask, ShardWorker
from mematlas.study import Run

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import RowSet
    from mematlas.executors.base import WorkerFactory
    from mematlas.models.base import ModelCard, ModelSource
    from mematlas.scoring.options import ScoringOptions
    from mematlas.scoring.worker import ShardResult
    from mematlas.types import Encoder


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job without its corpus and models. cards: by label; folder: the base of relative paths."""

    config: ScoreConfig
    run: Run
    options: "ScoringOptions"
    cards: "dict[str, ModelCard]"
    folder: Path


def to_spec(job: ScoringJob) -> JobSpec:
    """The description of a job that workers receive."""
    cards = {label: source.card for label, source in job.sources.items()}
    return JobSpec(job.config, job.run, job.options, cards, Path.cwd())


def shard_worker_factory(job: ScoringJob) -> "WorkerFactory[ShardTask, ShardResult]":
    """A picklable factory: called with a thread count in the worker process, it returns the worker."""
    return partial(_shard_worker, to_spec(job))


def _shard_worker(spec: JobSpec, threads: int) -> "_MessageCollectingWorker":
    limit_threads(threads)
    return _MessageCollectingWorker(from_spec(spec))


class _MessageCollectingWorker:
    """A shard worker that returns its messages to the user with the result, since it cannot show them itself."""

    def __init__(self, job: ScoringJob) -> None:
        self._messages: list[str] = []
        self._worker = ShardWorker(job, self._messages.append, lambda rows: None)

    def __call__(self, task: ShardTask) -> "ShardResult":
        self._messages.clear()
        result = self._worker(task)
        return replace(result, messages=tuple(self._messages))


def from_spec(spec: JobSpec) -> ScoringJob:
    """Resolve the job again in this process.

    Raises:
        CorpusError, ModelError: the corpus or a model is missing or is not the same as in the job.
        StudyError: the base of relative paths does not exist.
    """
    from mematlas.corpus.row_sets import ShardPlan

    enter_folder(spec.folder)
    sources = _LazySources(spec.cards)
    sets = open_row_sets(spec.config, spec.options.grid, _open_tokenizer(spec, sources))
    _check_same_rows(spec, sets)
    return ScoringJob(spec.config, sources, ShardPlan(sets, spec.run.shards), spec.options, spec.run)


class _LazySources(dict[str, "ModelSource"]):
    """Sources by label, each resolved at its first use, so that no worker hashes weights that it never loads."""

    def __init__(self, cards: "dict[str, ModelCard]") -> None:
        self._cards = cards

    def __missing__(self, label: str) -> "ModelSource":

        card = self._cards[label]
        source = find_model(card.spec)
        if source.card.fingerprint != card.fingerprint:
            raise ModelError(
                f"{card.spec!r} is not the same model for a worker (fingerprint {source.card.fingerprint}) as where "
                f"the command was given ({card.fingerprint}); let all machines see the same folder, or name a revision."
            )
        source.card = replace(source.card, label=label)
        self[label] = source
        return source


def _open_tokenizer(spec: JobSpec, sources: _LazySources) -> "Encoder | None":
    """Like `job.family_tokenizer`, but resolves no model except the first."""
    first = next(iter(spec.cards))

    def open_first() -> "Encoder | None":
        return sources[first].encoder() if spec.cards[first].tokenizer is not None else None

    return choose_tokenizer(spec.config, (card.vocabulary for card in spec.cards.values()), open_first)


def _check_same_rows(spec: JobSpec, sets: "tuple[RowSet, ...]") -> None:
    if row_set_fingerprints(sets) != spec.run.settings["fingerprints"]:
        raise CorpusError(
            f"A worker found other rows in {spec.config.corpus} or its control than the command did; let all "
            "machines see the same files, and leave them as they are while a run goes on."
        )
