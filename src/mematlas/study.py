"""The question of a study carried out: what `mematlas score` and `mematlas.score()` do."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from platform import platform, python_version
from typing import TYPE_CHECKING, Protocol

from mematlas.configuration import ScoreConfig, resolve_config
from mematlas.question import ENGINE_VERSION, Question, ask
from mematlas.store import Study, shard_is_done, shard_name, telling, write_json, write_model

if TYPE_CHECKING:
    from mematlas.models.base import LoadOptions, ModelSource
    from mematlas.scoring.engine import Engine
    from mematlas.scoring.options import ScoringOptions
    from mematlas.scoring.shards import ShardJob


class Progress(Protocol):
    """What a long run tells its watcher."""

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None: ...
    def advance(self, rows: int) -> None: ...
    def say(self, text: str) -> None: ...
    def stop(self) -> None: ...


class Silent:
    """Says nothing: the default of the Python API."""

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None: ...
    def advance(self, rows: int) -> None: ...
    def say(self, text: str) -> None: ...
    def stop(self) -> None: ...


def score(*models: str, progress: Progress | None = None, **options: object) -> Study:
    """Score `models` on a corpus and return the study; the Python twin of `mematlas score`.

    Args:
        models: folders, hub ids, .gguf files or stand-ins; together they are one family.
        progress: watcher; silent by default.
        options: as `ScoreConfig`: corpus, study, context, continuation, rows, depth, signals ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished shards stay.
    """
    return score_with(models, resolve_config(**options), progress or Silent())


def score_with(models: Sequence[str], config: ScoreConfig, watcher: Progress) -> Study:
    """`score` with a configuration that is already checked, if only by the command line's types."""
    return carry_out(ask(models, resolve_config(**dict(config))), watcher)


def carry_out(question: Question, watcher: Progress) -> Study:
    """Score what is missing of a question."""
    study = Study(question.config.study)
    started, timings = time.time(), {}
    try:
        for label, source in question.sources.items():
            missing = _missing(question, label)
            watcher.start(label, question.plan.total, question.plan.total - sum(map(question.plan.size, missing)))
            if missing:
                timings[label] = _score_model(question, label, source, missing, watcher)
    finally:
        watcher.stop()
    noted = study.manifest().get("runs", {}).get(question.run.key, {}).get("question")
    if timings or noted != question.run.question or study.manifest()["current"] != question.run.key:
        _write_manifest(study, question, started, timings)
    return study


def _missing(question: Question, label: str) -> list[int]:
    folder = question.config.study / "scores" / question.run.key / question.run.models[label]
    count = question.run.shards
    return [index for index in range(count) if not shard_is_done(folder, shard_name(index, count))]


def _score_model(
    question: Question, label: str, source: "ModelSource", missing: list[int], watcher: Progress
) -> dict[str, float]:
    """Load one model and score its missing shards; returns its timing."""
    from mematlas.models.base import LoadOptions
    from mematlas.scoring.engine import Engine
    from mematlas.scoring.shards import score_shard

    config, plan = question.config, question.plan
    load = LoadOptions(config.device, config.dtype, config.device_map, config.trust_remote_code)
    started = time.time()
    write_model(config.study, question.run.models[label], {"model": label, **asdict(source.card)})
    engine = Engine(source.load(load), source.card, question.options, watcher.say)
    reference = _reference(source, load, question.options, watcher.say) if config.settle else None
    _announce_states(question, label, engine, watcher)
    loaded = time.time()
    job = _job(question, label)
    doubts = {"doubtful_rows": 0, "settled_rows": 0, "changed_rows": 0}
    with telling(config.study):
        for index in missing:
            _write_rows(question, index)
            doubt = score_shard(job, plan, index, engine, reference, watcher.advance)
            for name, value in zip(doubts, (doubt.doubtful, doubt.settled, doubt.changed), strict=True):
                doubts[name] += value
    del engine, reference
    gc.collect()
    rows = sum(map(plan.size, missing))
    seconds = time.time() - loaded
    return {"load_seconds": round(loaded - started, 3), "seconds": round(seconds, 3), "rows": rows, **doubts}


def _announce_states(question: Question, label: str, engine: "Engine", watcher: Progress) -> None:
    """Say what hidden states will take, before the first row is scored."""
    from mematlas.scoring.hidden import announced_size, check_room

    if question.options.hidden_kinds:
        size = announced_size(question.options, question.plan.total, question.run.shards, engine.width)
        check_room(question.config.study, size, question.options)
        watcher.say(f"{label}: hidden states of at most {size / 1e6:,.0f} MB go to {question.config.study / 'states'}")


def _reference(
    source: "ModelSource", load: "LoadOptions", options: "ScoringOptions", say: Callable[[str], None]
) -> "Callable[[], Engine]":
    """The same model in float32, loaded when the first doubtful row asks for it."""
    from functools import cache

    from mematlas.scoring.engine import Engine

    return cache(lambda: Engine(source.load(replace(load, dtype="float32")), source.card, options, say))


def _job(question: Question, label: str) -> "ShardJob":
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
        },
    )


def _write_rows(question: Question, index: int) -> None:
    from mematlas.store import write_shard

    folder = question.config.study / "rows" / question.run.rows_key
    name = shard_name(index, question.run.shards)
    if not shard_is_done(folder, name):
        write_shard(folder, name, question.plan.rows_table(index), {"rows": question.run.rows_key})


def versions() -> dict[str, str]:
    """Versions of what a number can depend on, without importing any of it."""
    found = {"python": python_version(), "platform": platform()}
    for name in ("mematlas", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "polars"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _write_manifest(study: Study, question: Question, started: float, timings: dict[str, dict[str, float]]) -> None:
    """The manifest: written last, when every shard of every model asked for is there."""
    manifest = study.manifest()
    before = manifest.get("runs", {}).get(question.run.key, {})
    cards = {label: asdict(source.card) for label, source in question.sources.items()}
    runs = manifest.get("runs", {}) | {
        question.run.key: {
            "configuration": question.config.model_dump(mode="json"),
            "question": question.run.question,
            "shards": question.run.shards,
            "models": before.get("models", {}) | cards,
            "versions": versions(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "timings": before.get("timings", {}) | timings,
        }
    }
    write_json(study.folder / "manifest.json", {"current": question.run.key, "runs": runs})
