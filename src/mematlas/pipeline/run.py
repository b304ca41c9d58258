"""A study file carried out, step by step: what `mematlas run` and `mematlas.run()` do. Nothing is done twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.errors import MissingExtra, StudyError
from mematlas.pipeline.steps.analyze import AnalysisOutcome, analyze_run, chosen_analyses, stamp_name
from mematlas.pipeline.steps.count import Counting
from mematlas.pipeline.steps.features import write_features
from mematlas.pipeline.steps.fit import write_predictors
from mematlas.pipeline.steps.gallery import gallery_path, make_gallery
from mematlas.pipeline.steps.occurrences import write_occurrences
from mematlas.pipeline.steps.score import run_job, worker_options
from mematlas.pipeline.study_file import StudyFile, read_study_file
from mematlas.predictors.options import PredictorConfig, predictor_config
from mematlas.progress import Progress, Silent
from mematlas.scoring.job import ScoringJob, resolve_job
from mematlas.scoring.reopen import job_rows
from mematlas.study import Run, Study
from mematlas.study.build_stamps import combined_fingerprint, forget, is_current, record

if TYPE_CHECKING:
    from mematlas.analyses.frames.study_tables import Tables


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a study file came to. features, predictors, gallery, report: None where not asked for; the gallery also
    where there was nothing to show, predictors where none could be fitted."""

    study: Study
    features: Path | None
    predictors: Path | None
    analyzed: AnalysisOutcome
    gallery: Path | None
    report: Path | None


def run(path: str | Path, progress: Progress | None = None) -> Study:
    """Carry out the study file at `path`; the Python twin of `mematlas run`.

    Raises:
        MematlasError: one line with value, rule and remedy; what is finished stays.
    """
    carried = run_file(read_study_file(Path(path)), progress or Silent())
    carried.analyzed.check()
    return carried.study


def run_file(file: StudyFile, watcher: Progress) -> RunOutcome:
    """Score, count, fit, analyse, write gallery and report: each only if missing or older than what it is made from.

    An analysis that breaks is told in the result's `analyzed`, after all else is done.
    """
    watcher.say(f"Scoring {len(file.models) + len(file.control_models)} models into {file.study}")
    question = resolve_job(file.models, file.config, extend=False)
    study = run_job(question, watcher)
    features = _features(file, question, watcher)
    predictors = _predictors(file, question.run, watcher)
    analyzed = analyze_run(
        study, file.only, question.run.key, alone=True, say=watcher.say, workers=worker_options(file)
    )
    watcher.say(f"{len(analyzed.findings)} findings are in {analyzed.folder}")
    gallery = _gallery(file, question, analyzed, watcher)
    return RunOutcome(study, features, predictors, analyzed, gallery, _report(file, question.run, watcher))


def counting(file: StudyFile) -> Counting:
    """How the file asks the corpus to be counted."""
    return Counting(file.scope, file.eod, file.joined, file.training_order)


def fitted_models(file: StudyFile, run: Run) -> list[str]:
    """The models that the file wants predictors of; none where it keeps no hidden states."""
    labels = list(run.models) if "hidden" in file.signals else []
    return {"all": labels, "last": labels[-1:], "none": []}[file.predictors]


def predictor_options(file: StudyFile) -> PredictorConfig:
    """How the file asks for predictors."""
    return predictor_config(seeds=file.predictor_seeds)


def gallery_source(study: Path, run: Run, names: Sequence[str], rows: int) -> str:
    """The fingerprint of what a gallery is made from: the findings, and how many rows they may bring."""
    return combined_fingerprint(study, [stamp_name(run, name) for name in names]) + f"-{rows}"


def report_source(study: Path, run: Run, names: Sequence[str]) -> str:
    """The fingerprint of what a report is made from: the findings and the gallery."""
    return combined_fingerprint(study, [*(stamp_name(run, name) for name in names), "gallery"]) + f"-{run.key}"


def _features(file: StudyFile, question: ScoringJob, watcher: Progress) -> Path | None:
    if not file.features:
        return None
    watcher.say("Row features: what the corpus holds of the rows")
    study, scored = Study(file.study), job_rows(question)
    folder = write_features(study, scored, counting(file), watcher, worker_options(file))
    write_occurrences(study, scored, watcher)
    return folder


def _predictors(file: StudyFile, run: Run, watcher: Progress) -> Path | None:
    """Rows that nothing can be learned from must not keep the rest from being told."""
    models = fitted_models(file, run)
    if not models:
        return None
    watcher.say("Predictors: which tokens will be recited, told from hidden states")
    try:
        return write_predictors(
            Study(file.study), predictor_options(file), models, run.key, watcher, worker_options(file)
        )
    except StudyError as error:
        watcher.say(str(error))
        return None


def _gallery(file: StudyFile, question: ScoringJob, analyzed: AnalysisOutcome, watcher: Progress) -> Path | None:
    from mematlas.analyses.frames.study_tables import read_tables

    study, path = file.study, gallery_path(file.study)
    if not file.gallery:
        path.unlink(missing_ok=True)
        forget(study, "gallery")
        return None
    source = gallery_source(study, question.run, chosen_analyses(file.only), file.gallery_rows)
    if not is_current(study, "gallery", source):
        watcher.say("Gallery: rows worth looking at, token by token")
        tables: Tables = read_tables(Study(study), question.run.key)
        make_gallery(question, tables, list(analyzed.findings.values()), file.gallery_rows, watcher)
        record(study, "gallery", source)
    return path if path.is_file() else None


def _report(file: StudyFile, run: Run, watcher: Progress) -> Path | None:
    if not file.report:
        return None
    source, path = report_source(file.study, run, chosen_analyses(file.only)), file.study / "report.html"
    if not (path.is_file() and is_current(file.study, "report", source)):
        watcher.say("Report: all of it as one page")
        path = _write_report(file.study)
        record(file.study, "report", source)
    return path


def _write_report(study: Path) -> Path:
    try:
        from mematlas.report.page import write_report
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mematlas"):
            raise
        raise MissingExtra(
            f"The report needs the library {error.name!r}, which is not installed; all else is done. "
            'Run: pip install "mematlas[report]", or leave it out with `report: false`.'
        ) from None
    return write_report(study)
