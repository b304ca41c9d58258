"""An experiment whose models a command of the user's own trains: from subsets of lines to a study with exposures."""

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.errors import CorpusError
from mematlas.experiments.base import CommandDesign, ExperimentConfig
from mematlas.experiments.folders import check_disk_space, write_members
from mematlas.pipeline.run import RunOutcome, run_file
from mematlas.pipeline.study_file import StudyFile, parse_study_file
from mematlas.pipeline.study_file_template import study_file_text
from mematlas.progress import Progress
from mematlas.scoring.job import ScoringJob, resolve_job
from mematlas.study import write_text
from mematlas.study.exposures import write_exposures

#: Bytes for the study.
_SLACK: Final = 50_000_000


def run_commands(
    name: str, design: CommandDesign, config: ExperimentConfig, execution: dict[str, Any], progress: Progress
) -> RunOutcome:
    """Train the models that are missing, score all of them on all lines, and run the study.

    Args:
        execution: keys of the study file that say who scores and analyses.

    Raises:
        MematlasError: one line with value, rule and remedy; what is finished is kept.
    """
    from mematlas.experiments.training.commands import CommandRun, train_models

    folder = config.out
    subsets = sum(run.lines for run in design.runs) * max(map(len, design.lines.lines))
    check_disk_space(folder, subsets + _SLACK)
    write_members(folder, design.members)
    corpus = design.lines.scored_file(folder / "rows")

    def check(first: CommandRun, missing: int) -> None:
        """That there is room for the other models, and that the first can be scored."""
        check_disk_space(folder, missing * _size(first.model) + _SLACK)
        with tempfile.TemporaryDirectory(prefix=".trial-", dir=folder) as trial:
            settings = _settings(design, config, corpus, [first.model]) | {"study": str(Path(trial, "study").resolve())}
            _lines_of_rows(_job(_study_file(settings, folder)), design)

    train_models(design.runs, design.at_once, progress.say, check)
    settings = _settings(design, config, corpus, [run.model for run in design.runs]) | execution
    text = study_file_text(settings, "study.yaml")
    write_text(folder / "study.yaml", text)
    file = _study_file(settings, folder)
    write_exposures(folder / "study", name, _exposures(_job(file), design))
    return run_file(file, progress)


def _settings(design: CommandDesign, config: ExperimentConfig, corpus: Path, models: list[Path]) -> dict[str, Any]:
    return {
        "models": [f"./{model.relative_to(config.out).as_posix()}" for model in models],
        "corpus": str(corpus.resolve()) if design.lines.is_json else corpus.relative_to(config.out).as_posix(),
        "cut": "window",  # one row of every line
        "study": "study",
        "context": [config.context],
        "predictors": "none",
        "gallery": False,
        **design.study,
    }


def _study_file(settings: dict[str, Any], folder: Path) -> StudyFile:
    return parse_study_file(study_file_text(settings, "study.yaml"), folder / "study.yaml")


def _job(file: StudyFile) -> ScoringJob:
    return resolve_job(file.models, file.config, extend=False)


def _lines_of_rows(job: ScoringJob, design: CommandDesign) -> pl.DataFrame:
    """row, line: the number of the line that each row is from; of a chat with several answers, each is a row.

    Raises:
        CorpusError: the lines are not told by the rows.
    """
    (rows,) = job.plan.sets
    positions = np.asarray(rows.positions[:], np.int64)
    documents = rows.corpus.provenance(positions).document
    if design.lines.names_documents or None in documents:  # documents are others than lines, which are a row each
        if len(rows.corpus) != len(design.lines.lines):
            raise CorpusError(
                f"{design.lines.path} has {len(design.lines.lines):,} lines, but is read as {len(rows.corpus):,} rows; "
                "write one text or JSON object a line, without the key document."
            )
        documents = positions.tolist()
    return pl.DataFrame({"row": rows.corpus.row_ids(positions), "line": pl.Series(documents, dtype=pl.Int64)})


def _exposures(job: ScoringJob, design: CommandDesign) -> pl.DataFrame:
    """Which models were trained on which rows; how often the command showed them is its own business: once."""
    rows = _lines_of_rows(job, design)
    frames = [
        rows.select("row", model=pl.lit(label), times=pl.Series(members[rows["line"].to_numpy()]).cast(pl.Int64))
        for label, members in zip(job.sources, design.members, strict=True)
    ]
    return pl.concat(frames)


def _size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
