"""`mematlas score`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.progress import Bar
from mematlas.configuration import ScoreConfig
from mematlas.study import score_with

_MODELS = (
    "Folders, hub ids (owner/name[@revision]), .gguf files, or stand-ins: uniform:V, parrot:ROWS.npy, ngram:ROWS.npy."
)


def score(
    *models: Annotated[str, Parameter(help=_MODELS)], config: Annotated[ScoreConfig, Parameter(name="*")]
) -> None:
    """Score how much of a corpus each model recites.

    Example: mematlas score EleutherAI/pythia-70m EleutherAI/pythia-160m --corpus tokens.bin --format memmap
    --row-length 2049 --token-dtype uint16 --context 32 --continuation 32 --continuation 64 --rows first:1000
    --study study

    The same command run again finishes what is missing, and does nothing when all is there.
    """
    score_with(models, config, Bar())
    folder = config.study
    print(f"Scores are in {folder}. Look at them: mematlas show {folder}")
