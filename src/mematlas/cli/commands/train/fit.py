"""`mematlas fit`."""

from pathlib import Path
from statistics import mean
from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, number, print_json, print_table
from mematlas.cli.progress import Quiet, progress_display
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
    quiet: Quiet = False,
    json_: Json = False,
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
    folder = fit_predictors(
        opened, models=models, run=run, progress=progress_display(quiet), **dict(workers), **dict(config)
    )
    names = [name for model, name in opened.run(run).models.items() if not models or model in models]
    scores = _scores([folder / name for name in names])
    known = documents_are_known(opened, run)
    if json_:
        print_json({"folder": folder, "held_out": "documents" if known else "rows", "auroc": scores})
        return
    unit = "documents" if known else "rows (the corpus names no documents)"
    print(f"AUROC on held-out {unit}, mean over seeds (each token is an instance; 0.5 is chance)")
    table = [
        [score["model"], score["sees"], str(score["seeds"]), *(number(score[name]) for name in (PREDICTOR, *BASELINES))]
        for score in scores
    ]
    print_table(["model", "sees", "seeds", PREDICTOR, *BASELINES], table)
    print(f"\nPredictors and their model cards are in {folder}.")
    print(f"Analyse the study with them: {command_line('analyze', study)} && {command_line('report', study)}")
    predict = command_line("predict", "MODEL", "--corpus", "PATH", "--predictor", folder / "MODEL" / "context")
    print(f"Flag rows of another corpus: {predict}")


def _scores(folders: list[Path]) -> list[dict[str, Any]]:
    """One record per predictor: the mean AUROC of it and its baselines; folders: one per model, in the run's order."""
    from mematlas.predictors.predictor import load_predictors

    records = []
    for path in (path for folder in folders for path in sorted(folder.iterdir()) if path.is_dir()):
        cards = [predictor.card for predictor in load_predictors(path)]
        means = {}
        for name in (PREDICTOR, *BASELINES):
            values = [value for card in cards if (value := card.scores.get(name)) is not None]
            means[name] = mean(values) if values else None
        records.append({"model": cards[0].model, "sees": cards[0].sees, "seeds": len(cards), **means})
    return records
