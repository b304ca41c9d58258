"""A worker that scores shards of a job, with one loaded model at a time."""

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from mematlas.models.base import UNTOLD_VOCABULARY, LoadOptions
from mematlas.models.endpoints.source import EndpointSource
from mematlas.scoring.engines.endpoint import load_endpoint_engine
from mematlas.scoring.job import ENGINE_VERSION, ScoringJob
from mematlas.study import is_shard_done, shard_name, translate_os_errors, write_model, write_shard

if TYPE_CHECKING:
    from mematlas.models.base import LoadOptions, ModelSource
    from mematlas.scoring.engines.causal import Engine
    from mematlas.scoring.engines.greedy import GreedyEngine
    from mematlas.scoring.engines.masked import MaskedEngine
    from mematlas.scoring.engines.vllm import VllmEngine
    from mematlas.scoring.settle import SettleCounts
    from mematlas.scoring.shards import ShardTarget

Say = Callable[[str], None]
_COMPARISON_ROWS = 128  # rows on which decoding with and without CUDA graphs is compared


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard of one model: the unit of work, the same no matter which process does it."""

    label: str
    index: int
    count: int

    def __str__(self) -> str:
        return f"{shard_name(self.index, self.count)} of {self.label}"


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The result of one task, whose tables are on disk. skipped: the shard was already done; messages: for users."""

    task: ShardTask
    rows: int = 0
    load_seconds: float = 0.0
    seconds: float = 0.0
    doubtful_rows: int = 0
    settled_rows: int = 0
    changed_rows: int = 0
    skipped: bool = False
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _LoadedModel:
    label: str
    engine: "Engine | MaskedEngine | GreedyEngine"
    reference: "Callable[[], Engine | MaskedEngine] | None"
    target: "ShardTarget"


class ShardWorker:
    """Scores tasks of `job`. say: called with messages for the user; advance: called with the number of rows done."""

    def __init__(self, job: ScoringJob, say: Say, advance: Callable[[int], None]) -> None:
        self._job, self._say, self._advance = job, say, advance
        self._loaded: _LoadedModel | None = None
        self._said_vllm_caveat = False

    def __call__(self, task: ShardTask) -> ShardResult:
        """Score a shard and write it, unless another process did so meanwhile."""
        if is_task_done(self._job, task):
            return ShardResult(task, skipped=True)
        started = time.time()
        model, loaded = self._load(task.label), time.time()
        counts = self._score(model, task.index)
        seconds = time.time() - loaded
        rows = self._job.plan.size(task.index)
        return ShardResult(task, rows, loaded - started, seconds, counts.doubtful, counts.settled, counts.changed)

    def _load(self, label: str) -> _LoadedModel:
        """Load the model unless it is in memory already; the previous one is released first."""
        if self._loaded is not None and self._loaded.label == label:
            return self._loaded

        self._loaded = None
        gc.collect()
        job, config, source = self._job, self._job.config, self._job.sources[label]
        load = LoadOptions.of(config)
        untold = {"vocabulary": None} if source.card.vocabulary == UNTOLD_VOCABULARY else {}
        write_model(config.study, job.run.models[label], {"model": label, **asdict(source.card), **untold})
        added: dict[str, str] = {}
        engine: Engine | MaskedEngine | GreedyEngine
        reference: Callable[[], Engine | MaskedEngine] | None = None
        if isinstance(source, EndpointSource):
            folder = config.study / "answers" / job.run.models[label]
            engine = load_endpoint_engine(source, config, folder, job.options, job.plan.total, self._say)
            added = {"endpoint_reads": engine.reads}
        elif config.backend == "vllm":
            engine = self._vllm_engine(source, load)
        elif job.options.masked:
            masked = engine = _masked_engine(job, source, load, self._say)
            exact = replace(load, dtype="float32")
            reference = cache(lambda: _masked_engine(job, source, exact, self._say)) if config.settle else None
            added = masked.special_tokens
        else:
            engine = _torch_engine(job, source, load, self._say)
            reference = _reference_engine(job, source, load, self._say) if config.settle else None
            _report_states_size(job, label, engine, self._say)
        self._loaded = _LoadedModel(label, engine, reference, shard_target(job, label, added))
        return self._loaded

    def _vllm_engine(self, source: "ModelSource", load: "LoadOptions") -> "VllmEngine":
        """The model in vLLM; a message says once how its numbers may differ."""
        from mematlas.scoring.engines.vllm import VLLM_CAVEAT, load_vllm_engine

        if not self._said_vllm_caveat:
            self._say(VLLM_CAVEAT)
            self._said_vllm_caveat = True
        return load_vllm_engine(source, load, self._job.options)

    def _score(self, model: _LoadedModel, index: int) -> "SettleCounts":
        from mematlas.scoring.shards import score_shard

        plan = self._job.plan
        with translate_os_errors(self._job.config.study):
            write_rows_table(self._job, index)
            return score_shard(model.target, plan, index, model.engine, model.reference, self._advance)


def is_task_done(job: ScoringJob, task: ShardTask) -> bool:
    """Whether the shard is finished, no matter which process wrote it."""
    folder = job.config.study / "scores" / job.run.key / job.run.models[task.label]
    return is_shard_done(folder, shard_name(task.index, task.count))


def _report_states_size(job: ScoringJob, label: str, engine: "Engine", say: Say) -> None:
    """Report the disk space for hidden states, and check it, before the first row is scored."""
    from mematlas.scoring.records.states import check_disk_space, max_states_bytes

    if job.options.hidden_kinds:
        size = max_states_bytes(job.options, job.plan.total, job.run.shards, engine.width)
        check_disk_space(job.config.study, size, job.options)
        say(f"{label}: hidden states of at most {size / 1e6:,.0f} MB go to {job.config.study / 'states'}")


def _torch_engine(job: ScoringJob, source: "ModelSource", load: "LoadOptions", say: Say) -> "Engine":
    from mematlas.models.cuda.graph_choice import with_graphs
    from mematlas.scoring.engines.causal import Engine

    options, max_rows = job.options, job.plan.largest
    rows = min(max_rows if options.batch == "auto" else options.batch, _COMPARISON_ROWS)
    capacity = options.grid.width + options.bos
    model = with_graphs(source.load(load), source.card, job.config.graphs, rows, capacity, say)
    return Engine(model, source.card, options, say, max_rows)


def _masked_engine(job: ScoringJob, source: "ModelSource", load: "LoadOptions", say: Say) -> "MaskedEngine":
    from mematlas.scoring.engines.masked import load_masked_engine

    return load_masked_engine(source, load, job.options, job.config.tokenizer, say)


def _reference_engine(job: ScoringJob, source: "ModelSource", load: "LoadOptions", say: Say) -> "Callable[[], Engine]":
    """The same model in float32, loaded when the first doubtful row needs it."""
    from mematlas.scoring.engines.causal import Engine

    exact, max_rows = replace(load, dtype="float32"), job.plan.largest
    return cache(lambda: Engine(source.load(exact), source.card, job.options, say, max_rows))


def shard_target(job: ScoringJob, label: str, added: dict[str, str]) -> "ShardTarget":
    """Where the shards of a model go. added: metadata that only its engine knows."""
    from mematlas.scoring.shards import ShardTarget

    config, run = job.config, job.run
    name = run.models[label]
    return ShardTarget(
        label,
        config.study / "scores" / run.key / name,
        {kind: config.study / "signals" / run.key / kind / name for kind in config.signals if kind != "hidden"},
        {kind: config.study / "states" / run.key / kind / name for kind in job.options.hidden_kinds},
        job.options,
        config.dtype,
        {
            "run": run.key,
            "align": job.options.grid.align,
            "eos": config.eos,
            "bos": str(config.bos),
            "depth": config.depth,
            "dtype": config.dtype,
            "engine": str(ENGINE_VERSION),
            "model_fingerprint": job.sources[label].card.fingerprint,
            **({} if config.backend == "torch" else {"backend": config.backend}),
            **added,
        },
    )


def write_rows_table(job: ScoringJob, index: int) -> None:
    """Write the table of the rows of a shard, unless it is there already."""
    folder = job.config.study / "rows" / job.run.rows_key
    name = shard_name(index, job.run.shards)
    if not is_shard_done(folder, name):
        write_shard(folder, name, job.plan.rows_table(index), {"rows": job.run.rows_key})
