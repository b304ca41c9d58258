"""`mematlas score`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import split_control_models
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors.remedies import command_line
from mematlas.pipeline.steps.score import score_with
from mematlas.scoring.config import ScoreConfig
from mematlas.scoring.model_names import model_names
from mematlas.study.slices import parse_slice

_MODELS = (
    "Folders, hub ids (owner/name[@revision]), .gguf files, models behind an API (api:URL#MODEL), or stand-ins: "
    "uniform:V, parrot:ROWS.npy, ngram:ROWS.npy. "
    "Of a training run its latest checkpoint is scored; 'run/checkpoint-*' is all of them."
)
_SHARD = "i/n: score only slice i of n (i from 1); n processes with the same study score all slices, at once or not."


def score(
    *models: Annotated[str, Parameter(help=_MODELS)],
    config: Annotated[ScoreConfig, Parameter(name="*")],
    shard: Annotated[str | None, Parameter(help=_SHARD)] = None,
    quiet: Quiet = False,
) -> None:
    """Score how much of a corpus each model recites.

    Example: mematlas score EleutherAI/pythia-70m EleutherAI/pythia-160m --corpus tokens.bin --format memmap
    --row-length 2049 --token-dtype uint16 --context 32 --continuation 32 --continuation 64 --rows first:1000
    --study study

    Running the same command again completes what is missing, and does nothing if all is done.
    """
    study = score_with(model_names(models), split_control_models(config), progress_display(quiet), parse_slice(shard))
    folder, run = config.study, study.run()
    total = len(run.models) * run.shards
    missing = total - sum(study.done(run, label) for label in run.models)
    if missing:
        done = f"Slice {shard} is scored; " if shard else ""
        print(f"{done}{missing} of {total} shards are missing. List them: {command_line('show', folder)}")
    else:
        print(f"Scores are in {folder}. Show them: {command_line('show', folder)}")
