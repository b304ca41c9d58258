"""`mematlas slurm`."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mematlas.errors import OptionError, StudyError
from mematlas.scoring.config import ScoreConfig, resolve_config

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=mematlas
#SBATCH --array=1-{tasks}
#SBATCH --requeue
{directives}# Each task scores what is missing of its share; none waits for another, and any may be submitted again.
# Relative paths are seen from the folder where sbatch is called.
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
    """Write a Slurm batch script: an array job whose tasks score the shares of one run.

    Example: mematlas slurm EleutherAI/pythia-70m --corpus tokens.npy --study study --tasks 8
    --sbatch=--time=04:00:00 --sbatch=--gres=gpu:1 --script score.sh

    All options but --tasks, --sbatch and --script are those of `mematlas score`.

    Parameters
    ----------
    models
        As for `mematlas score`.
    config
        As for `mematlas score`.
    tasks
        Tasks of the array, each a process of its own with its share of the shards.
    sbatch
        Options of sbatch that go into the script, one each, such as --sbatch=--mem=32G.
    script
        The file to write; default standard output.
    """
    _check(models, tasks, sbatch or [])
    command = ["mematlas", "score", *models, *option_words(resolve_config(**dict(config)))]
    directives = "".join(f"#SBATCH {option}\n" for option in sbatch or [])
    text = _SCRIPT.format(tasks=tasks, directives=directives, command=shlex.join(command))
    if script is None:
        print(text, end="")
        return
    _write(script, text)
    study = shlex.quote(str(config.study))
    print(f"Submit it: sbatch {shlex.quote(str(script))}")
    print(f"See what is missing: mematlas show {study}")
    print(f"Finish what failed: submit it again, or run without Slurm: {shlex.join(command)}")


def _write(script: Path, text: str) -> None:
    try:
        with script.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StudyError(f"{script} is there already and is left as it is; name another --script.") from None
    except OSError as error:
        raise StudyError(f"{script} cannot be written ({error.strerror}); name another --script.") from None


def _check(models: Sequence[str], tasks: int, sbatch: Sequence[str]) -> None:
    if not models:
        raise OptionError("No model was given; name at least one: a folder, a hub id, a .gguf file or a stand-in.")
    if tasks < 1:
        raise OptionError(f"--tasks {tasks}: an array has at least one task.")
    for option in sbatch:
        if not option.startswith("-") or "\n" in option:
            raise OptionError(f"--sbatch {option!r} is no option of sbatch; write it as in --sbatch=--mem=32G.")


def option_words(config: ScoreConfig) -> list[str]:
    """The options of `mematlas score` that differ from their defaults, as words of a command."""
    return [word for name in ScoreConfig.model_fields for word in _words(name, getattr(config, name))]


def _words(name: str, value: object) -> Iterator[str]:
    field, option = ScoreConfig.model_fields[name], f"--{name.replace('_', '-')}"
    if value == field.default:
        return
    if value is True:
        yield option
        return
    for item in value if isinstance(value, list) else [value]:
        yield from (f"{option}={item}",) if str(item).startswith("-") else (option, str(item))
