"""`mematlas predict`."""

import shlex
from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.progress import Bar
from mematlas.predictors.screening import PredictedRows, predict_with
from mematlas.predictors.screening_config import PredictConfig
from mematlas.scoring.config import ScoreConfig


def predict(model: str, *, config: Annotated[PredictConfig, Parameter(name="*")]) -> None:
    """Flag rows that a model is likely to recite, by one forward pass over each context, without decoding.

    Example: mematlas predict MODEL --corpus new.jsonl --predictor study/predictors/RUN/MODEL/context --out predicted

    The same command run again finishes what is missing, and does nothing when all is there.

    Parameters
    ----------
    model
        Folder, hub id (owner/name[@revision]), .gguf file or stand-in, to which the predictor was fitted.
    config
        Which rows, which predictor, and where the tables go.
    """
    found = predict_with(model, config, Bar())
    print(_summary(found))
    print(f"The table is in {found.folder} (columns: docs/predicting.md).")
    if found.flagged:
        print(f"Look how much of them is recited: {_scoring(model, config, found)}")


def _summary(found: PredictedRows) -> str:
    left = f"; {found.short:,} rows are shorter than {found.context} tokens and were left out" if found.short else ""
    return (
        f"{found.flagged:,} of {found.rows:,} rows are flagged (expected score M >= {found.threshold:g}): after "
        f"{found.context} tokens of context, {found.model} is expected to recite {found.expected:.1%} of the next "
        f"{found.continuation} tokens, over all rows{left}.\n"
        "Probabilities are calibrated to the corpus of the study that the predictor was fitted in; on another corpus "
        "trust their order more than their level, until some rows have been scored."
    )


def _scoring(model: str, config: PredictConfig, found: PredictedRows) -> str:
    """The command that scores the flagged rows of the same corpus."""
    words = ["mematlas", "score", model, "--corpus", config.corpus, "--rows", f"ids:{found.folder / 'flagged.npy'}"]
    words += ["--context", str(found.context), "--continuation", str(found.continuation)]
    for name, field in PredictConfig.model_fields.items():
        value = getattr(config, name)
        if name in ScoreConfig.model_fields and name not in ("corpus", "rows", "shards") and value != field.default:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join([*words, *(["--bos"] if found.bos else []), "--study", "flagged"])
