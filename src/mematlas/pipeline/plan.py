"""What a study file would do: rows, cells, token-forwards, disk, a rough time, and what is there already."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mematlas.pipeline.run import counting, fitted_models, gallery_source, predictor_options, report_source
from mematlas.pipeline.steps.analyze import chosen_analyses, is_finding_current
from mematlas.pipeline.steps.features import passes_left
from mematlas.pipeline.steps.fit import fits_left
from mematlas.pipeline.steps.score import run_job, worker_options
from mematlas.pipeline.study_file import StudyFile
from mematlas.progress import Silent
from mematlas.scoring.cost import bytes_a_row, cost, forwards_a_row, shape_of
from mematlas.scoring.job import ScoringJob, resolve_job
from mematlas.scoring.reopen import job_rows
from mematlas.study import Run, Study
from mematlas.study.build_stamps import is_current
from mematlas.types import Grid

_LONG_ENOUGH = 2.0  # seconds of scoring after which a probe is taken for steady


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model. rows_left: rows in shards that are not there yet; forwards_left: tokens it is fed for them at most;
    flop_left: operations for them at most, None where the model's width is not known."""

    label: str
    parameters: int | None
    training_step: int | None
    is_control: bool
    rows_left: int
    forwards_left: int
    flop_left: float | None


@dataclass(frozen=True, slots=True)
class Probe:
    """A few rows scored on the side: tokens a second of `model` with `parameters` weights."""

    model: str
    parameters: int | None
    rows: int
    tokens_a_second: float


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """What carrying out a study file takes.

    row_counts: by role; forwards_a_row: tokens a model is fed for one row at most; disk: bytes of all scores, signals
    and hidden states at most, these as wide as a model's configuration states and with every score level full; seconds:
    a rough time for what is left, None where nothing is left to score; steps: each step and its state, in words.
    """

    run: Run
    row_counts: dict[str, int]
    grid: Grid
    models: tuple[ModelPlan, ...]
    forwards_a_row: int
    disk: int
    probes: tuple[Probe, ...]
    seconds: float | None
    steps: dict[str, str]


def plan_study(file: StudyFile) -> WorkPlan:
    """Look at a study file without writing into its study.

    Raises:
        MematlasError: as carrying it out would.
    """
    with tempfile.TemporaryDirectory() as scratch:
        config = file.config.model_copy(update={"study": Path(scratch) / "question"})
        question = resolve_job(file.models, config, extend=False)
        models = tuple(_models(question, file.study))
        probes = _probes(question, models, Path(scratch) / "probe")
    seconds = sum(_seconds(model, probes) for model in models) if probes else None
    return WorkPlan(
        question.run,
        question.run.question["row_counts"],
        question.options.grid,
        models,
        forwards_a_row(question.options),
        _disk(question),
        probes,
        seconds,
        _steps(file, question, models),
    )


def _models(question: ScoringJob, folder: Path) -> Iterator[ModelPlan]:
    study, forwards = Study(folder), forwards_a_row(question.options)
    rows = question.plan.total
    for label, source in question.sources.items():
        done = study.done(question.run, label) * rows // question.run.shards
        is_control = label in question.run.question["control_models"]
        card, left = source.card, rows - done
        shape = shape_of(card)
        flop = cost(shape, left, question.options).flop if shape and left else 0.0 if shape else None
        yield ModelPlan(label, card.parameters, card.training_step, is_control, left, left * forwards, flop)


def _disk(question: ScoringJob) -> int:
    from mematlas.scoring.records.states import announced_size

    total, shards, sources = question.plan.total, question.run.shards, question.sources.values()
    states = [announced_size(question.options, total, shards, source.card.width or 0) for source in sources]
    return len(sources) * total * bytes_a_row(question.options) + sum(states)


# ------------------------------------------------------------------------------------------------ how long, roughly


def _probes(question: ScoringJob, models: Sequence[ModelPlan], folder: Path) -> tuple[Probe, ...]:
    """The smallest model that has rows left, and the next size: two show how time grows with size."""
    left = {(model.parameters is None, model.parameters or 0): model for model in models if model.rows_left}
    return tuple(_probe(question, left[size], folder) for size in sorted(left)[:2])


def _probe(question: ScoringJob, model: ModelPlan, folder: Path) -> Probe:
    """Score the corpus' first rows on the side, more and more until it takes a while."""
    spec, config = question.sources[model.label].card.spec, question.config
    most = 128 if config.batch == "auto" else config.batch
    changed: dict[str, object] = {
        "study": folder,
        "control": None,
        "control_models": [],
        "order": "given",
        "shards": 1,
        "settle": False,
        "batch": most,
    }
    rows = 8
    while True:
        probed = resolve_job([spec], config.model_copy(update=changed | {"rows": f"first:{rows}"}), extend=False)
        run = run_job(probed, Silent()).manifest()["runs"][probed.run.key]
        timing = run["timings"][next(iter(probed.sources))]
        seconds, scored = timing["seconds"], timing["rows"]
        if seconds >= _LONG_ENOUGH or scored < rows or rows >= most:
            break
        rows *= 4
    return Probe(model.label, model.parameters, scored, scored * forwards_a_row(question.options) / max(seconds, 1e-3))


def _seconds(model: ModelPlan, probes: Sequence[Probe]) -> float:
    """Time for what is left: linear in the weights through two probes, in proportion to them with one.

    Where the larger probe was the faster one, or the line would fall below zero, it is in proportion as well.
    """
    near, far = probes[0], probes[-1]
    if not (model.parameters and near.parameters and far.parameters):
        return model.forwards_left / far.tokens_a_second
    proportional = model.parameters / far.parameters / far.tokens_a_second
    if near.parameters == far.parameters:
        return model.forwards_left * proportional
    at_near, at_far = 1 / near.tokens_a_second, 1 / far.tokens_a_second
    slope = (at_far - at_near) / (far.parameters - near.parameters)
    fixed = at_near - slope * near.parameters
    return model.forwards_left * (fixed + slope * model.parameters if slope > 0 and fixed > 0 else proportional)


# -------------------------------------------------------------------------------------------- what is there already


def _steps(file: StudyFile, question: ScoringJob, models: Sequence[ModelPlan]) -> dict[str, str]:
    study, names, run = Study(file.study), chosen_analyses(file.only), question.run
    left = sum(model.rows_left > 0 for model in models)
    passes = passes_left(study, job_rows(question), counting(file), worker_options(file)) if file.features else 0
    fits = 0 if left or passes else _fits_left(file, study, run)
    fresh = 0 if left or passes or fits else sum(is_finding_current(study, run, name) for name in names)
    whole = fresh == len(names)
    gallery = whole and is_current(file.study, "gallery", gallery_source(file.study, run, names, file.gallery_rows))
    report = gallery or not file.gallery
    report = whole and report and is_current(file.study, "report", report_source(file.study, run, names))
    return {
        "scoring": (f"{left} of {len(models)} models to score" if left else "done") + _uncounted(question),
        "features": f"to do, {passes} times all rows of the corpus" if passes else _state(file.features, True),
        "predictors": f"{fits} to fit" if fits else _state(bool(fitted_models(file, run)), not (left or passes)),
        "analyses": "done" if whole else f"{len(names) - fresh} of {len(names)} to do",
        "gallery": _state(file.gallery, gallery),
        "report": _state(file.report, report and (file.study / "report.html").is_file()),
    }


def _fits_left(file: StudyFile, study: Study, run: Run) -> int:
    models = fitted_models(file, run)
    return fits_left(study, predictor_options(file), models, run) if models else 0


def _uncounted(question: ScoringJob) -> str:
    """Whose hidden states the disk's estimate leaves out."""
    unknown = [label for label, source in question.sources.items() if source.card.width is None]
    if not unknown or not question.options.hidden_kinds:
        return ""
    return f" (disk without the hidden states of {', '.join(unknown)}, of unknown width)"


def _state(wanted: bool, done: bool) -> str:
    return "off" if not wanted else "done" if done else "to do"
