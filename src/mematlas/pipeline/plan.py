"""What running a study file would take: rows, cells, tokens fed, disk, a rough time, and the state of each step."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mematlas.models.endpoints.source import EndpointSource
from mematlas.pipeline.run import build_steps
from mematlas.pipeline.step import StepContext, step_statuses
from mematlas.pipeline.steps.score import run_job
from mematlas.pipeline.study_file import StudyFile
from mematlas.progress import Silent
from mematlas.scoring.cost import bytes_per_row, fed_tokens_per_row, model_shape, scoring_cost
from mematlas.scoring.job import ScoringJob, resolve_job
from mematlas.study import Run, Study
from mematlas.types import Grid

_PROBE_SECONDS = 2.0  # of scoring, after which the speed of a probe is taken as steady


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model. remaining_rows: rows in missing shards; remaining_fed_tokens: the most tokens it is fed for them;
    remaining_flop: the most operations for them, None if the model's width is unknown."""

    label: str
    parameters: int | None
    training_step: int | None
    is_control: bool
    remaining_rows: int
    remaining_fed_tokens: int
    remaining_flop: float | None


@dataclass(frozen=True, slots=True)
class Probe:
    """A few rows scored into a temporary folder: tokens per second of `model` with `parameters` weights."""

    model: str
    parameters: int | None
    rows: int
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """What running a study file takes.

    row_counts: by role; fed_tokens_per_row: the most tokens a model is fed for one row; disk: the most bytes that all
    scores, signals and hidden states can take (states of the width in a model's configuration, every score level full);
    seconds: a rough time for what is left, None if nothing is left to score; steps: the state of each, as text.
    """

    run: Run
    row_counts: dict[str, int]
    grid: Grid
    models: tuple[ModelPlan, ...]
    fed_tokens_per_row: int
    disk: int
    probes: tuple[Probe, ...]
    seconds: float | None
    steps: dict[str, str]


def plan_study(file: StudyFile) -> WorkPlan:
    """Plan the work of a study file, without writing into its study.

    Raises:
        MematlasError: as running the file would.
    """
    with tempfile.TemporaryDirectory() as scratch:
        config = file.config.model_copy(update={"study": Path(scratch) / "job"})
        job = resolve_job(file.models, config, extend=False)
        models = tuple(_models(job, file.study))
        probes = _probes(job, models, Path(scratch) / "probe")
    local = [model for model in models if not _is_behind_api(job, model)]
    seconds = sum(_seconds(model, probes) for model in local) if probes else None
    return WorkPlan(
        job.run,
        job.run.settings["row_counts"],
        job.options.grid,
        models,
        fed_tokens_per_row(job.options),
        _disk(job),
        probes,
        seconds,
        {name: status.text for name, status in step_statuses(build_steps(StepContext(file, job))).items()},
    )


def _models(job: ScoringJob, folder: Path) -> Iterator[ModelPlan]:
    study, forwards = Study(folder), fed_tokens_per_row(job.options)
    rows = job.plan.total
    for label, source in job.sources.items():
        done = study.done(job.run, label) * rows // job.run.shards
        is_control = label in job.run.settings["control_models"]
        card, left = source.card, rows - done
        shape = model_shape(card)
        flop = scoring_cost(shape, left, job.options).flop if shape and left else 0.0 if shape else None
        yield ModelPlan(label, card.parameters, card.training_step, is_control, left, left * forwards, flop)


def _disk(job: ScoringJob) -> int:
    from mematlas.scoring.records.states import max_states_bytes

    total, shards, sources = job.plan.total, job.run.shards, job.sources.values()
    states = [max_states_bytes(job.options, total, shards, source.card.width or 0) for source in sources]
    return len(sources) * total * bytes_per_row(job.options) + sum(states)


# ------------------------------------------------------------------------------------------------- a rough time


def _probes(job: ScoringJob, models: Sequence[ModelPlan], folder: Path) -> tuple[Probe, ...]:
    """The smallest model that has rows left, and the next size: two show how time grows with size."""
    left = {
        (model.parameters is None, model.parameters or 0): model
        for model in models
        if model.remaining_rows and not _is_behind_api(job, model)
    }
    return tuple(_probe(job, left[size], folder) for size in sorted(left)[:2])


def _is_behind_api(job: ScoringJob, model: ModelPlan) -> bool:
    """Whether trying out the model's speed may cost money, so that it is left out of times."""
    return isinstance(job.sources[model.label], EndpointSource)


def _probe(job: ScoringJob, model: ModelPlan, folder: Path) -> Probe:
    """Score the corpus' first rows into `folder`: more and more until it takes `_PROBE_SECONDS` or fills a batch."""
    spec, config = job.sources[model.label].card.spec, job.config
    most = 128 if config.batch == "auto" else config.batch
    changed: dict[str, object] = {
        "study": folder,
        "control": None,
        "control_models": [],
        "order": "given",
        "shards": 1,
        "settle": False,
        "batch": most,
        "allow_short": True,
    }
    rows = 8
    while True:
        probed = resolve_job([spec], config.model_copy(update=changed | {"rows": f"first:{rows}"}), extend=False)
        run = run_job(probed, Silent()).manifest()["runs"][probed.run.key]
        timing = run["timings"][next(iter(probed.sources))]
        seconds, scored = timing["seconds"], timing["rows"]
        if seconds >= _PROBE_SECONDS or scored < rows or rows >= most:
            break
        rows *= 4
    return Probe(model.label, model.parameters, scored, scored * fed_tokens_per_row(job.options) / max(seconds, 1e-3))


def _seconds(model: ModelPlan, probes: Sequence[Probe]) -> float:
    """Time for what is left: on a line through two probes, by number of weights; with one, proportional to it.

    If the larger model was the faster one, or the line would fall below zero, it is proportional as well.
    """
    near, far = probes[0], probes[-1]
    if not (model.parameters and near.parameters and far.parameters):
        return model.remaining_fed_tokens / far.tokens_per_second
    proportional = model.parameters / far.parameters / far.tokens_per_second
    if near.parameters == far.parameters:
        return model.remaining_fed_tokens * proportional
    at_near, at_far = 1 / near.tokens_per_second, 1 / far.tokens_per_second
    slope = (at_far - at_near) / (far.parameters - near.parameters)
    fixed = at_near - slope * near.parameters
    return model.remaining_fed_tokens * (fixed + slope * model.parameters if slope > 0 and fixed > 0 else proportional)
