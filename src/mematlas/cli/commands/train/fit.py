"""`mematlas fit`."""

from pathlib import Path
from statistics import mean
from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import number, print_table
from mematlas.cli.progress import Bar
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.pipeline.steps.fit import fit_predictors
from mematlas.predictors.groups import documents_are_known
from mematlas.predictors.options import PredictorConfig
from mematlas.study import open_study
from mematlas.study.schemas.predictions import BASELINES, PREDICTOR


def fit(
    study: str,
    *,
    models: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006  cyclopts copies it
    run: str | None = None,
    config: Annotated[PredictorConfig, Parameter(name="*", consume_multiple=1)] = PredictorConfig(),  # noqa: B008  it is frozen
    workers: Annotated[WorkerOptions, Parameter(name="*")] = SINGLE_PROCESS,
) -> None:
    """Fit predictors of memorization to a study's hidden states, and test them on held-out documents.

    Example: mematlas fit study --seeds 5

    Parameters
    ----------
    study
        The folder of a study that was scored with --signals hidden (and free, truth for entropies).
    models
        Labels of the models for which predictors are fitted, as printed by `mematlas show`; all by default.
    run
        The start of a run's key, as printed by `mematlas show`; the latest run by default.
    config
        Hyper-parameters of the predictors.
    workers
        Processes that fit the predictors.
    """
    opened = open_study(study)
    folder = fit_predictors(opened, models=models, run=run, progress=Bar(), **dict(workers), **dict(config))
    unit = "documents" if documents_are_known(opened, run) else "rows (the corpus names no documents)"
    print(f"AUROC on held-out {unit}, mean over seeds (each token is an instance; 0.5 is chance)")
    _print_scores([folder / name for model, name in opened.run(run).models.items() if not models or model in models])
    print(f"\nPredictors and their model cards are in {folder}.")
    print(f"Analyse the study with them: {command_line('analyze', study)} && {command_line('report', study)}")
    predict = command_line("predict", "MODEL", "--corpus", "PATH", "--predictor", folder / "MODEL" / "context")
    print(f"Flag rows of another corpus: {predict}")


def _print_scores(folders: list[Path]) -> None:
    """One row per predictor; folders: one per model, in the order of the run."""
    from mematlas.predictors.predictor import load_predictors

    rows = []
    for path in (path for folder in folders for path in sorted(folder.iterdir()) if path.is_dir()):
        cards = [predictor.card for predictor in load_predictors(path)]
        means = {}
        for name in (PREDICTOR, *BASELINES):
            values = [value for card in cards if (value := card.scores.get(name)) is not None]
            means[name] = mean(values) if values else None
        rows.append([cards[0].model, cards[0].sees, str(len(cards)), *map(number, means.values())])
    print_table(["model", "sees", "seeds", PREDICTOR, *BASELINES], rows)
