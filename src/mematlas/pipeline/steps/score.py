"""Scoring, the first step of a study: what `mematlas score` and `mematlas.score()` do."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Final, Self, Unpack

from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.executors.base import WorkerFactory
from mematlas.executors.options import WorkerOptions
from mematlas.pipeline.step import StepContext, StepStatus, TaskStep, run_tasks
from mematlas.progress import Progress, Silent
from mematlas.scoring.config import ScoreConfig, resolve_config
from mematlas.scoring.job import ScoringJob, resolve_job
from mematlas.scoring.job_spec import shard_worker_factory
from mematlas.scoring.keywords import ScoreKeywords
from mematlas.scoring.model_names import model_names
from mematlas.scoring.row_checks import row_remarks
from mematlas.scoring.worker import ShardResult, ShardTask, ShardWorker
from mematlas.study import Run, Study
from mematlas.study.manifest import record_run
from mematlas.study.slices import ShardSlice, parse_slice
from mematlas.study.versions import versions

ALL_SHARDS: Final = ShardSlice()
Timings = dict[str, dict[str, float]]


@public_function(ScoreConfig)
def score(
    *models: str | Path,
    progress: Progress | None = None,
    shard: str | None = None,
    **options: Unpack[ScoreKeywords],
) -> Study:
    """Score `models` on a corpus and return the study; the Python counterpart of `mematlas score`.

    Args:
        models: folders, hub ids, .gguf files or stand-ins; together they are one family.
        progress: display of the progress; none by default.
        shard: "i/n", 1 <= i <= n: only the i-th of n slices of the shards; n such processes, concurrent or not, score
            all of them.
        options: as `ScoreConfig`: corpus, study, context, continuation, rows, depth, signals ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished shards are kept.
    """
    return score_with(model_names(models), resolve_config(**options), progress or Silent(), parse_slice(shard))


def score_with(
    models: Sequence[str], config: ScoreConfig, progress: Progress, shard_slice: ShardSlice = ALL_SHARDS
) -> Study:
    """`score` with a configuration whose types the command line has checked already."""
    job = resolve_job(models, resolve_config(**dict(config)))
    for remark in (*job.model_remarks, *row_remarks(job.run.settings)):
        progress.say(remark)
    return run_job(job, progress, shard_slice)


def run_job(job: ScoringJob, progress: Progress, shard_slice: ShardSlice = ALL_SHARDS) -> Study:
    """Score what is missing of a job, or of a slice of its shards, and return the study."""
    step = ScoreStep(job, Study(job.config.study), shard_slice)
    step.execute(worker_options(job.config), progress)
    return step.study


def worker_options(config: ScoreConfig) -> WorkerOptions:
    """The options of a configuration, or a study file, that say which workers do the work."""
    return WorkerOptions(workers=config.workers, executor=config.executor, address=config.address)


class ScoreStep(TaskStep[ShardTask, ShardResult]):
    """Scores every row under every model, shard by shard.

    The manifest is written by the process that finds all shards of the run finished.
    """

    name: ClassVar[str] = "scoring"
    units: ClassVar[str] = "shards"
    remedy: ClassVar[str] = (
        "all other shards are kept. Use fewer --workers or a smaller --batch, and run the same command again."
    )

    def __init__(self, job: ScoringJob, study: Study, shard_slice: ShardSlice = ALL_SHARDS) -> None:
        self.job, self.study, self.shard_slice = job, study, shard_slice
        self.gpus = gpus_per_worker(job.config)
        self._timings: Timings = {}
        self._messages: set[str] = set()

    @classmethod
    def from_context(cls, context: StepContext) -> Self:
        return cls(context.job, context.study)

    @property
    def folder(self) -> Path:
        return self.study.folder

    def tasks(self) -> list[ShardTask]:
        return [task for tasks in self._missing_by_model().values() for task in tasks]

    def is_current(self) -> bool:
        return not any(self.study.missing(self.job.run, label) for label in self.job.sources)

    def execute(self, workers: WorkerOptions, progress: Progress) -> None:
        started = time.time()
        run_tasks(self, workers, progress)
        if self.is_current() and (self._timings or not self._is_recorded()):
            self._write_manifest(started)

    def run_here(self, tasks: list[ShardTask], progress: Progress) -> None:
        worker = ShardWorker(self.job, progress.say, progress.advance)
        total = self._rows()
        for label, missing in self._missing_by_model().items():
            progress.start(label, total, total - sum(self.job.plan.size(task.index) for task in missing))
            for task in missing:
                result = worker(task)
                if result.skipped:
                    progress.advance(self.job.plan.size(task.index))
                self._add_timing(result)

    def start_shared(self, tasks: Sequence[ShardTask], workers: int, progress: Progress) -> None:
        """One bar for all models: workers go on to the next model while others finish the one before."""
        labels = [*self.job.sources]
        label = labels[0] if len(labels) == 1 else f"{len(labels)} models"
        total, remaining = self._rows() * len(labels), sum(self.job.plan.size(task.index) for task in tasks)
        progress.start(f"{label}, {workers} workers", total, total - remaining)

    def worker_factory(self) -> WorkerFactory[ShardTask, ShardResult]:
        return shard_worker_factory(self.job)

    def store(self, result: ShardResult, progress: Progress) -> None:
        for text in dict.fromkeys(result.messages):
            if text not in self._messages:
                self._messages.add(text)
                progress.say(text)
        progress.advance(self.job.plan.size(result.task.index))
        self._add_timing(result)

    def status(self, upstream_pending: bool) -> StepStatus:
        labels = self.job.sources
        remaining = sum(bool(self.study.missing(self.job.run, label)) for label in labels)
        text = f"{remaining} of {len(labels)} models to score" if remaining else "done"
        return StepStatus(not remaining, text + models_of_unknown_width(self.job))

    def summary(self) -> str:
        return f"Scores of {len(self.job.run.models)} models: {self.folder} ({command_line('show', self.folder)})"

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        folder = study.folder / "scores" / run.key
        return folder if folder.is_dir() else None

    def _missing_by_model(self) -> dict[str, list[ShardTask]]:
        run = self.job.run
        return {
            label: [
                ShardTask(label, index, run.shards)
                for index in self.study.missing(run, label)
                if self.shard_slice.includes(index)
            ]
            for label in self.job.sources
        }

    def _rows(self) -> int:
        """Rows of the slice, for one model."""
        return sum(
            self.job.plan.size(index) for index in range(self.job.run.shards) if self.shard_slice.includes(index)
        )

    def _add_timing(self, result: ShardResult) -> None:
        """Add a shard to its model's sums; seconds are those of all workers together."""
        if not result.skipped:
            sums = self._timings.setdefault(result.task.label, {})
            for name in ("load_seconds", "seconds", "rows", "doubtful_rows", "settled_rows", "changed_rows"):
                sums[name] = sums.get(name, 0) + getattr(result, name)

    def _is_recorded(self) -> bool:
        """Whether the manifest has this run with all its models, as the latest."""
        manifest, run = self.study.manifest(), self.job.run
        entry = manifest.get("runs", {}).get(run.key, {})
        cards = entry.get("models", {})
        has_models = all(
            cards.get(label, {}).get("fingerprint") == source.card.fingerprint
            for label, source in self.job.sources.items()
        )
        return has_models and entry.get("question") == run.settings and manifest["current"] == run.key

    def _write_manifest(self, started: float) -> None:
        """Written last, when every shard of every model of the job is finished."""
        job, run = self.job, self.job.run
        before = self.study.manifest().get("runs", {}).get(run.key, {})
        cards = {label: asdict(source.card) for label, source in job.sources.items()}
        timings = {
            label: {name: round(value, 3) for name, value in sums.items()} for label, sums in self._timings.items()
        }
        entry = {
            "configuration": job.config.model_dump(mode="json"),
            "question": run.settings,
            "shards": run.shards,
            "models": before.get("models", {}) | cards,
            "versions": versions(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "timings": before.get("timings", {}) | timings,
        }
        record_run(self.study, run.key, entry)


def gpus_per_worker(config: ScoreConfig) -> float | None:
    """GPUs reserved for each worker; for local workers, 0 if a device or a device map is named."""
    takes_turns = config.executor == "ray" or (config.device in ("auto", "cuda") and config.device_map is None)
    return config.gpus_per_worker if takes_turns else 0


def models_of_unknown_width(job: ScoringJob) -> str:
    """A remark on the models whose hidden states an estimate of disk space leaves out; "" if there are none."""
    labels = [label for label, source in job.sources.items() if source.card.width is None]
    if not labels or not job.options.hidden_kinds:
        return ""
    return f" (disk without the hidden states of {', '.join(labels)}, of unknown width)"
