"""The question of a study carried out: what `mematlas score` and `mematlas.score()` do."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from mematlas.executors.options import WorkerOptions
from mematlas.executors.pool import map_tasks, raise_failed
from mematlas.io.paths import check_shared
from mematlas.progress import Progress, Silent
from mematlas.scoring.config import ScoreConfig, resolve_config
from mematlas.scoring.job import ScoringJob, resolve_job
from mematlas.scoring.job_spec import shard_workers
from mematlas.scoring.worker import ShardResult, ShardTask, ShardWorker
from mematlas.study import Study
from mematlas.study.manifest import record_run
from mematlas.study.slices import ShardSlice, parse_slice
from mematlas.study.versions import versions

ALL: Final = ShardSlice()
Timings = dict[str, dict[str, float]]


def score(*models: str, progress: Progress | None = None, shard: str | None = None, **options: object) -> Study:
    """Score `models` on a corpus and return the study; the Python twin of `mematlas score`.

    Args:
        models: folders, hub ids, .gguf files or stand-ins; together they are one family.
        progress: watcher; silent by default.
        shard: "i/n", 1 <= i <= n: only the i-th of n shares; n such processes, at once or not, make the whole.
        options: as `ScoreConfig`: corpus, study, context, continuation, rows, depth, signals ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished shards stay.
    """
    return score_with(models, resolve_config(**options), progress or Silent(), parse_slice(shard))


def score_with(models: Sequence[str], config: ScoreConfig, watcher: Progress, share: ShardSlice = ALL) -> Study:
    """`score` with a configuration that is already checked, if only by the command line's types."""
    return run_job(resolve_job(models, resolve_config(**dict(config))), watcher, share)


def run_job(question: ScoringJob, watcher: Progress, share: ShardSlice = ALL) -> Study:
    """Score what is missing of a question, or of a share of it.

    The manifest is written by whoever finds that nothing is missing any more.
    """
    study = Study(question.config.study)
    started = time.time()
    try:
        timings = _score_missing(question, watcher, share)
    finally:
        watcher.stop()
    if any(_missing(question, label) for label in question.sources):
        return study
    if timings or not _is_noted(study.manifest(), question):
        _write_manifest(study, question, started, timings)
    return study


def _is_noted(manifest: dict[str, Any], question: ScoringJob) -> bool:
    """Whether the manifest tells of this question and of all its models, as the latest."""
    noted = manifest.get("runs", {}).get(question.run.key, {})
    cards = noted.get("models", {})
    known = all(
        cards.get(label, {}).get("fingerprint") == source.card.fingerprint for label, source in question.sources.items()
    )
    return known and noted.get("question") == question.run.question and manifest["current"] == question.run.key


def _missing(question: ScoringJob, label: str, share: ShardSlice = ALL) -> list[ShardTask]:
    left = Study(question.config.study).missing(question.run, label)
    return [ShardTask(label, index, question.run.shards) for index in left if share.takes(index)]


def _score_missing(question: ScoringJob, watcher: Progress, share: ShardSlice) -> Timings:
    """Score the missing shards of every model, in this process or by an executor's workers."""
    config = question.config
    missing = {label: _missing(question, label, share) for label in question.sources}
    tasks = [task for of_model in missing.values() for task in of_model]
    if worker_options(config).shares(len(tasks)):
        return _score_by_workers(question, tasks, watcher, share)
    timings: Timings = {}
    scorer = ShardWorker(question, watcher.say, watcher.advance)
    for label, of_model in missing.items():
        total = _rows(question, share)
        watcher.start(label, total, total - sum(question.plan.size(task.index) for task in of_model))
        for task in of_model:
            scored = scorer(task)
            if scored.skipped:
                watcher.advance(question.plan.size(task.index))
            _note(timings, scored)
    return _rounded(timings)


def _score_by_workers(question: ScoringJob, tasks: list[ShardTask], watcher: Progress, share: ShardSlice) -> Timings:
    """One bar for all models: workers go on to the next model while others finish the one before.

    Raises:
        StudyError: a shard was given up, because its workers died again and again.
    """
    config, timings, said = question.config, Timings(), set[str]()
    check_shared(config.study)
    total, left = _rows(question, share) * len(question.sources), sum(question.plan.size(task.index) for task in tasks)
    labels = [*question.sources]
    named = labels[0] if len(labels) == 1 else f"{len(labels)} models"
    watcher.start(f"{named}, {min(config.workers, len(tasks))} workers", total, total - left)

    def on_result(scored: ShardResult) -> None:
        for text in dict.fromkeys(scored.said):
            if text not in said:
                said.add(text)
                watcher.say(text)
        watcher.advance(question.plan.size(scored.task.index))
        _note(timings, scored)

    lost = map_tasks(worker_options(config), shard_workers(question), tasks, on_result, watcher.say, _gpus(config))
    raise_failed(
        lost,
        "shards",
        "all other shards are kept. Take fewer --workers or a smaller --batch, and run the same command again.",
    )
    return _rounded(timings)


def worker_options(config: ScoreConfig) -> WorkerOptions:
    """By whom a configuration, or a study file, wants work to be done."""
    return WorkerOptions(workers=config.workers, executor=config.executor, address=config.address)


def _gpus(config: ScoreConfig) -> float | None:
    """GPUs that are set aside for each worker; of this machine, none where a device is named, or a map of several."""
    takes_turns = config.executor == "ray" or (config.device in ("auto", "cuda") and config.device_map is None)
    return config.gpus_per_worker if takes_turns else 0


def _rows(question: ScoringJob, share: ShardSlice) -> int:
    """Rows of the share, a model."""
    return sum(question.plan.size(index) for index in range(question.run.shards) if share.takes(index))


def _note(timings: Timings, scored: ShardResult) -> None:
    """Add a shard to its model's sums; seconds are those of all workers together."""
    if not scored.skipped:
        before = timings.get(scored.task.label, {})
        facts = ("load_seconds", "seconds", "rows", "doubtful_rows", "settled_rows", "changed_rows")
        timings[scored.task.label] = {name: before.get(name, 0) + getattr(scored, name) for name in facts}


def _rounded(timings: Timings) -> Timings:
    return {label: {name: round(value, 3) for name, value in of.items()} for label, of in timings.items()}


def _write_manifest(study: Study, question: ScoringJob, started: float, timings: Timings) -> None:
    """The manifest: written last, when every shard of every model asked for is there."""
    before = study.manifest().get("runs", {}).get(question.run.key, {})
    cards = {label: asdict(source.card) for label, source in question.sources.items()}
    entry = {
        "configuration": question.config.model_dump(mode="json"),
        "question": question.run.question,
        "shards": question.run.shards,
        "models": before.get("models", {}) | cards,
        "versions": versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "timings": before.get("timings", {}) | timings,
    }
    record_run(study, question.run.key, entry)
