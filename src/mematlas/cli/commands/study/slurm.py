"""`mematlas slurm`."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import split_control_models
from mematlas.cli.output import write_new
from mematlas.errors import OptionError
from mematlas.errors.remedies import command_line
from mematlas.scoring.config import ScoreConfig, resolve_config
from mematlas.scoring.model_names import model_names

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=mematlas
#SBATCH --array=1-{tasks}
#SBATCH --requeue
{directives}# Each task scores what is missing of its slice.
# Tasks do not wait for each other; each can be submitted again.
# Relative paths start from the folder in which sbatch is called.
set -euo pipefail
{command} --shard "$SLURM_ARRAY_TASK_ID/{tasks}"
"""


def slurm(
    *models: str,
    config: Annotated[ScoreConfig, Parameter(name="*")],
    tasks: int,
    sbatch: Annotated[list[str] | None, Parameter(negative_iterable=(), allow_leading_hyphen=True)] = None,
    script: Path | None = None,
) -> None:
    """Write a Slurm batch script: an array job whose tasks each score one slice of a run.

    Example: mematlas slurm EleutherAI/pythia-70m --corpus tokens.npy --study study --tasks 8
    --sbatch=--time=04:00:00 --sbatch=--gres=gpu:1 --script score.sh

    All options except --tasks, --sbatch and --script are those of `mematlas score`.

    Parameters
    ----------
    models
        As for `mematlas score`.
    config
        As for `mematlas score`.
    tasks
        Number of tasks of the array; each is a separate process that scores its slice of the shards.
    sbatch
        An option of sbatch to write into the script, such as --sbatch=--mem=32G; repeat it for several.
    script
        The file to write; standard output by default.
    """
    names = model_names(models)
    _check(names, tasks, sbatch or [])
    command = command_line("score", *names, *option_words(resolve_config(**dict(split_control_models(config)))))
    directives = "".join(f"#SBATCH {option}\n" for option in sbatch or [])
    text = _SCRIPT.format(tasks=tasks, directives=directives, command=command)
    if script is None:
        print(text, end="")
        return
    write_new(script, text, "--script")
    print(f"Submit it: sbatch {shlex.quote(str(script))}")
    print(f"List missing shards: {command_line('show', config.study)}")
    print(f"Complete failed tasks: submit it again, or run without Slurm: {command}")


def _check(models: Sequence[str], tasks: int, sbatch: Sequence[str]) -> None:
    if not models:
        raise OptionError("No model was given; name at least one: a folder, a hub id, a .gguf file or a stand-in.")
    if tasks < 1:
        raise OptionError(f"--tasks {tasks}: an array has at least one task.")
    for option in sbatch:
        if not option.startswith("-") or "\n" in option:
            raise OptionError(f"--sbatch {option!r} is not an option of sbatch; write it as in --sbatch=--mem=32G.")


def option_words(config: ScoreConfig) -> list[str]:
    """The options of `mematlas score` that differ from their defaults, as command-line words."""
    return [word for name in ScoreConfig.model_fields for word in _option_words(name, getattr(config, name))]


def _option_words(name: str, value: object) -> Iterator[str]:
    field, option = ScoreConfig.model_fields[name], f"--{name.replace('_', '-')}"
    if value == field.default:
        return
    if value is True:
        yield option
        return
    for item in value if isinstance(value, list) else [value]:
        yield from (f"{option}={item}",) if str(item).startswith("-") else (option, str(item))
