"""`mematlas predict`."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.output import Json, print_json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors.remedies import command_line
from mematlas.predictors.screening import PredictedRows, run_prediction
from mematlas.predictors.screening_config import PredictConfig
from mematlas.scoring.config import ScoreConfig


def predict(
    model: str, *, config: Annotated[PredictConfig, Parameter(name="*")], quiet: Quiet = False, json_: Json = False
) -> None:
    """Flag rows that a model is likely to recite, by one forward pass over each context, without decoding.

    Example: mematlas predict MODEL --corpus new.jsonl --predictor study/predictors/RUN/MODEL/context --out predicted

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        The model for which the predictor was fitted: a folder, hub id (owner/name[@revision]), .gguf file or stand-in.
    config
        Rows, predictor and output folder.
    """
    result = run_prediction(model, config, progress_display(quiet))
    command = _scoring_command(model, config, result) if result.flagged else None
    if json_:
        print_json({**asdict(result), "score_flagged": command})
        return
    print(_summary(result))
    print(f"The table is in {result.folder} (columns: docs/predicting.md).")
    if command is not None:
        print(f"Score the flagged rows: {command}")


def _summary(result: PredictedRows) -> str:
    left_out = (
        f"; {result.short:,} rows are shorter than {result.context} tokens and were left out" if result.short else ""
    )
    return (
        f"{result.flagged:,} of {result.rows:,} rows are flagged (expected score M >= {result.threshold:g}): after "
        f"{result.context} tokens of context, {result.model} is expected to recite {result.expected:.1%} of the next "
        f"{result.continuation} tokens, over all rows{left_out}.\n"
        "Probabilities are calibrated to the corpus of the study in which the predictor was fitted. On another corpus, "
        "trust the order of rows more than the level, until you have scored some rows."
    )


def _scoring_command(model: str, config: PredictConfig, result: PredictedRows) -> str:
    """The command that scores the flagged rows of the same corpus."""
    words = ["score", model, "--corpus", config.corpus, "--rows", f"ids:{result.folder / 'flagged.npy'}"]
    words += ["--context", str(result.context), "--continuation", str(result.continuation)]
    for name, field in PredictConfig.model_fields.items():
        value = getattr(config, name)
        if name in ScoreConfig.model_fields and name not in ("corpus", "rows", "shards") and value != field.default:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return command_line(*words, *(["--bos"] if result.bos else []), "--study", "flagged")
