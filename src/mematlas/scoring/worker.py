"""A worker of a run: it holds one loaded model at a time, and scores the shards that it is told."""

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from mematlas.scoring.job import ENGINE_VERSION, ScoringJob
from mematlas.study import shard_is_done, shard_name, translate_os_errors, write_model, write_shard

if TYPE_CHECKING:
    from mematlas.models.base import LoadOptions, ModelSource
    from mematlas.scoring.engines.causal import Engine
    from mematlas.scoring.engines.served import ServedEngine
    from mematlas.scoring.settle import Doubt
    from mematlas.scoring.shards import ShardJob

Say = Callable[[str], None]
_STEPPED = 128  # rows with which ways of decoding are compared


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard of one model: the unit of work, fixed by the question, whoever does it."""

    label: str
    index: int
    count: int

    def __str__(self) -> str:
        return f"{shard_name(self.index, self.count)} of {self.label}"


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a worker tells of a task; the tables are on disk. skipped: the shard was there already; said: to users."""

    task: ShardTask
    rows: int = 0
    load_seconds: float = 0.0
    seconds: float = 0.0
    doubtful_rows: int = 0
    settled_rows: int = 0
    changed_rows: int = 0
    skipped: bool = False
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Loaded:
    label: str
    engine: "Engine | ServedEngine"
    reference: "Callable[[], Engine] | None"
    job: "ShardJob"


class ShardWorker:
    """Scores tasks of `question`. say: hears what a user should know; advance: hears of rows as they are done."""

    def __init__(self, question: ScoringJob, say: Say, advance: Callable[[int], None]) -> None:
        self._question, self._say, self._advance = question, say, advance
        self._loaded: _Loaded | None = None
        self._warned = False

    def __call__(self, task: ShardTask) -> ShardResult:
        """Score a shard and write it, unless another process did so meanwhile."""
        if is_done(self._question, task):
            return ShardResult(task, skipped=True)
        began = time.time()
        loaded, held = self._load(task.label), time.time()
        doubt = self._score(loaded, task.index)
        seconds = time.time() - held
        rows = self._question.plan.size(task.index)
        return ShardResult(task, rows, held - began, seconds, doubt.doubtful, doubt.settled, doubt.changed)

    def _load(self, label: str) -> _Loaded:
        """The model in memory; the one before it is let go first."""
        if self._loaded is not None and self._loaded.label == label:
            return self._loaded
        from mematlas.models.base import LoadOptions

        self._loaded = None
        gc.collect()
        question, config, source = self._question, self._question.config, self._question.sources[label]
        load = LoadOptions(config.device, config.dtype, config.device_map, config.trust_remote_code)
        write_model(config.study, question.run.models[label], {"model": label, **asdict(source.card)})
        engine: Engine | ServedEngine
        if config.backend == "vllm":
            engine, reference = self._served(source, load), None
        else:
            engine = _engine(question, source, load, self._say)
            reference = _reference(question, source, load, self._say) if config.settle else None
            _announce_states(question, label, engine, self._say)
        self._loaded = _Loaded(label, engine, reference, _job(question, label))
        return self._loaded

    def _served(self, source: "ModelSource", load: "LoadOptions") -> "ServedEngine":
        """A model asked through vLLM; how that differs is said once."""
        from mematlas.scoring.engines.served import DEVIATIONS, served

        if not self._warned:
            self._say(DEVIATIONS)
            self._warned = True
        return served(source, load, self._question.options)

    def _score(self, loaded: _Loaded, index: int) -> "Doubt":
        from mematlas.scoring.shards import score_shard

        plan = self._question.plan
        with translate_os_errors(self._question.config.study):
            _write_rows(self._question, index)
            return score_shard(loaded.job, plan, index, loaded.engine, loaded.reference, self._advance)


def is_done(question: ScoringJob, task: ShardTask) -> bool:
    """Whether the shard is there, whoever wrote it."""
    folder = question.config.study / "scores" / question.run.key / question.run.models[task.label]
    return shard_is_done(folder, shard_name(task.index, task.count))


def _announce_states(question: ScoringJob, label: str, engine: "Engine", say: Say) -> None:
    """Say what hidden states will take, before the first row is scored."""
    from mematlas.scoring.records.states import announced_size, check_room

    if question.options.hidden_kinds:
        size = announced_size(question.options, question.plan.total, question.run.shards, engine.width)
        check_room(question.config.study, size, question.options)
        say(f"{label}: hidden states of at most {size / 1e6:,.0f} MB go to {question.config.study / 'states'}")


def _engine(question: ScoringJob, source: "ModelSource", load: "LoadOptions", say: Say) -> "Engine":
    from mematlas.models.cuda_graph_choice import with_graphs
    from mematlas.scoring.engines.causal import Engine

    options, most = question.options, question.plan.largest
    rows = min(most if options.batch == "auto" else options.batch, _STEPPED)
    capacity = options.grid.width + options.bos
    model = with_graphs(source.load(load), source.card, question.config.graphs, rows, capacity, say)
    return Engine(model, source.card, options, say, most)


def _reference(question: ScoringJob, source: "ModelSource", load: "LoadOptions", say: Say) -> "Callable[[], Engine]":
    """The same model in float32, loaded when the first doubtful row asks for it."""
    from functools import cache

    from mematlas.scoring.engines.causal import Engine

    exact, most = replace(load, dtype="float32"), question.plan.largest
    return cache(lambda: Engine(source.load(exact), source.card, question.options, say, most))


def _job(question: ScoringJob, label: str) -> "ShardJob":
    from mematlas.scoring.shards import ShardJob

    config, run = question.config, question.run
    name = run.models[label]
    return ShardJob(
        label,
        config.study / "scores" / run.key / name,
        {kind: config.study / "signals" / run.key / kind / name for kind in config.signals if kind != "hidden"},
        {kind: config.study / "states" / run.key / kind / name for kind in question.options.hidden_kinds},
        question.options,
        config.dtype,
        {
            "run": run.key,
            "align": config.align,
            "eos": config.eos,
            "bos": str(config.bos),
            "depth": config.depth,
            "dtype": config.dtype,
            "engine": str(ENGINE_VERSION),
            "model_fingerprint": question.sources[label].card.fingerprint,
            **({} if config.backend == "torch" else {"backend": config.backend}),
        },
    )


def _write_rows(question: ScoringJob, index: int) -> None:
    folder = question.config.study / "rows" / question.run.rows_key
    name = shard_name(index, question.run.shards)
    if not shard_is_done(folder, name):
        write_shard(folder, name, question.plan.rows_table(index), {"rows": question.run.rows_key})
