"""A counterfactual experiment as a study: models trained on subsets of the rows, scored and analysed.

The study file is written beside the models, so that it can be changed and run again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.errors.functions import public_function
from mematlas.executors.options import WorkerOptions
from mematlas.experiments.design.subsets import CounterfactualConfig
from mematlas.pipeline.run import RunOutcome, run_file
from mematlas.pipeline.study_file import StudyFile, read_study_file
from mematlas.pipeline.study_file_template import study_file_text
from mematlas.progress import Progress, Silent
from mematlas.scoring.job import resolve_job
from mematlas.study import write_atomically
from mematlas.study.exposures import write_exposures

if TYPE_CHECKING:
    import polars as pl

    from mematlas.experiments.counterfactual import TrainedSubsets

Training = Callable[[int, int, float | None, str], None]


@public_function()
def counterfactual(
    folder: str | Path = "counterfactual",
    *,
    config: CounterfactualConfig | None = None,
    workers: int = 1,
    training: Training | None = None,
    progress: Progress | None = None,
) -> RunOutcome:
    """Train models on random subsets of rows in `folder` (kept if they exist) and study what they owe to these rows.

    Args:
        folder: models, rows, study file and study go here.
        config: rows, subsets and training, instead of the built-in ones.
        workers: processes of this machine that share the models.
        training: called as training(step, steps, loss, label) while models train.
        progress: display of the study's progress; none by default.

    Raises:
        MematlasError: no sources of the standard library, no disk space, or a folder with other contents.
    """
    from mematlas.experiments.counterfactual import train_subsets

    out, config = Path(folder), config or CounterfactualConfig()
    trained = train_subsets(out, config, training, workers=WorkerOptions(workers=workers))
    path = out / "study.yaml"
    if not path.exists():
        text = study_file_text(_study_settings(trained, config.rows.row_length), path.name)
        write_atomically(path, lambda temporary: _write(temporary, text))
    file = read_study_file(path)
    write_exposures(Path(file.study), "subsets", subset_exposures(trained, _labels(file)))
    return run_file(file, progress or Silent())


def subset_exposures(trained: "TrainedSubsets", labels: dict[Path, str]) -> "pl.DataFrame":
    """Who was shown which row how often, and when; one record per model and row.

    Args:
        labels: folder of a model -> its label in the study.
    """
    import polars as pl

    frames = []
    for number, folder in enumerate(trained.models):
        shown = pl.Series("times", trained.members[number]).cast(pl.Int64) * trained.epochs
        steps = {"first_step": trained.first_steps[number], "last_step": trained.last_steps[number]}
        frame = pl.DataFrame({"row": range(len(shown)), "times": shown, **steps})
        null_steps = [pl.when(pl.col("times") > 0).then(name).alias(name) for name in steps]
        frames.append(frame.with_columns(*null_steps, model=pl.lit(labels[folder.resolve()])))
    return pl.concat(frames)


def _labels(file: StudyFile) -> dict[Path, str]:
    """Folder -> label of the study's models."""
    job = resolve_job(file.models, file.config, extend=False)
    return {Path(source.card.spec).resolve(): label for label, source in job.sources.items()}


def _study_settings(trained: "TrainedSubsets", row_length: int) -> dict[str, object]:
    context = row_length // 3
    return {
        "models": [path.relative_to(trained.folder).as_posix() for path in trained.models],
        "corpus": trained.rows.relative_to(trained.folder).as_posix(),
        "control": trained.control.relative_to(trained.folder).as_posix(),
        "study": "study",
        "scope": "rows",
        "context": [context],
        "continuation": [row_length - context],
        "analyses": ["distribution", "counterfactual"],
        "predictors": "none",
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
