"""A question that can travel: what another process, here or on another machine, needs to score shards of it.

A question itself does not travel: its corpora are mapped files and its stand-ins loaded models. So a worker opens the
corpus again and finds each model when it first needs it, and scores only if both are those of the question.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.errors import CorpusError, ModelError
from mematlas.executors.pool import enter_folder
from mematlas.models.threads import limit_threads
from mematlas.scoring.config import ScoreConfig
from mematlas.scoring.job import ScoringJob, chosen_encoder, fingerprints, row_sets
from mematlas.scoring.worker import ShardTask, ShardWorker
from mematlas.study import Run

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import RowSet
    from mematlas.executors.base import MakeWorker
    from mematlas.models.base import ModelCard, ModelSource
    from mematlas.scoring.options import ScoringOptions
    from mematlas.scoring.worker import ShardResult
    from mematlas.types import Encoder


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A question without its corpus and models. cards: by label; folder: that which relative paths are seen from."""

    config: ScoreConfig
    run: Run
    options: "ScoringOptions"
    cards: "dict[str, ModelCard]"
    folder: Path


def to_spec(question: ScoringJob) -> JobSpec:
    """What a worker needs of a question."""
    cards = {label: source.card for label, source in question.sources.items()}
    return JobSpec(question.config, question.run, question.options, cards, Path.cwd())


def shard_workers(question: ScoringJob) -> "MakeWorker[ShardTask, ShardResult]":
    """From a number of threads to a worker, in whatever process it is called."""
    return partial(_shard_worker, to_spec(question))


def _shard_worker(errand: JobSpec, threads: int) -> "_MessageCollectingWorker":

    limit_threads(threads)
    return _MessageCollectingWorker(from_spec(errand))


class _MessageCollectingWorker:
    """A scorer far from the user: what it has to say travels with the result."""

    def __init__(self, question: ScoringJob) -> None:
        self._said: list[str] = []
        self._scorer = ShardWorker(question, self._said.append, lambda rows: None)

    def __call__(self, task: ShardTask) -> "ShardResult":
        self._said.clear()
        scored = self._scorer(task)
        return replace(scored, said=tuple(self._said))


def from_spec(errand: JobSpec) -> ScoringJob:
    """The question, asked again where we are.

    Raises:
        CorpusError, ModelError: what is found here is not what the question was about.
        StudyError: the folder that paths are seen from is not there.
    """
    from mematlas.corpus.row_sets import ShardPlan

    enter_folder(errand.folder)
    sources = _Sources(errand.cards)
    sets = row_sets(errand.config, errand.options.grid, _encoder(errand, sources))
    _check_same_rows(errand, sets)
    return ScoringJob(errand.config, sources, ShardPlan(sets, errand.run.shards), errand.options, errand.run)


class _Sources(dict[str, "ModelSource"]):
    """Sources by label, each found when it is first asked for, so that no worker hashes weights that it never loads."""

    def __init__(self, cards: "dict[str, ModelCard]") -> None:
        self._cards = cards

    def __missing__(self, label: str) -> "ModelSource":
        from mematlas.models.resolve import find_model

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


def _encoder(errand: JobSpec, sources: _Sources) -> "Encoder | None":
    """As `question.encoder`, without a look at any model but the first."""
    first = next(iter(errand.cards))

    def of_first() -> "Encoder | None":
        return sources[first].encoder() if errand.cards[first].tokenizer is not None else None

    return chosen_encoder(errand.config, (card.vocabulary for card in errand.cards.values()), of_first)


def _check_same_rows(errand: JobSpec, sets: "tuple[RowSet, ...]") -> None:
    if fingerprints(sets) != errand.run.question["fingerprints"]:
        raise CorpusError(
            f"A worker found other rows in {errand.config.corpus} or its control than the command did; let all "
            "machines see the same files, and leave them as they are while a run goes on."
        )
