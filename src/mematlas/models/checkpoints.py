"""Checkpoints inside a folder without a model of its own, such as the output folder of transformers' Trainer.

run/                 no config.json
  checkpoint-500/    a model folder or an adapter, with trainer_state.json
  checkpoint-1000/

`run` is its latest complete checkpoint; `run/checkpoint-*` is all complete ones, in the order of their steps.
"""

from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

from mematlas.errors import ModelError
from mematlas.models.peft_adapters.folder import is_adapter, read_adapter
from mematlas.models.weight_files import count_parameters, read_json, step_of_name, weight_files


def check_complete(folder: Path) -> None:
    """Check that a folder has a configuration and all weights, or a whole adapter; reads only the weights' headers.

    Raises:
        ModelError: it does not.
    """
    if is_adapter(folder):
        read_adapter(folder)
        return
    if not read_json(folder / "config.json"):
        raise ModelError(
            f"{folder} has no config.json; give a folder made by save_pretrained, or a hub id.{_models_inside(folder)}"
        )
    count_parameters(weight_files(folder))


def latest_checkpoint(folder: Path) -> tuple[Path, str] | None:
    """The complete checkpoint with the highest step, and a sentence that says so; None if `folder` is a model itself.

    Raises:
        ModelError: it has checkpoints, but none is complete.
    """
    if (folder / "config.json").is_file() or is_adapter(folder):
        return None
    checkpoints = _by_step(path for path in folder.iterdir() if path.is_dir() and step_of_name(path.name) is not None)
    if not checkpoints:
        return None
    complete, problems = split_complete(checkpoints)
    if not complete:
        raise ModelError(
            f"{folder} is a training run of which no checkpoint can be scored: {list(problems.values())[-1]}"
        )
    latest = complete[-1]
    left_out = f"; incomplete: {', '.join(path.name for path in problems)}" if problems else ""
    return latest, (
        f"{folder} is a training run: its latest checkpoint, {latest.name}, is scored ({len(complete)} of "
        f"{len(checkpoints)} are complete{left_out}). For all of them as a family: '{folder}/{_pattern(latest.name)}'"
    )


def is_pattern(spec: str) -> bool:
    """Whether `spec` is a pattern with * or ?, and not the name of something that exists."""
    return has_magic(spec) and not Path(spec).expanduser().exists()


def matching_models(pattern: str) -> tuple[list[Path], str | None]:
    """The complete model folders and .gguf files that a pattern matches, by step, and a sentence on those left out.

    Raises:
        ModelError: it matches nothing, or nothing complete.
    """
    found = [Path(name) for name in glob(str(Path(pattern).expanduser()))]
    paths = _by_step(path for path in found if path.is_dir() or path.suffix == ".gguf")
    if not paths:
        raise ModelError(f"The pattern {pattern!r} matches no folder and no .gguf file; check the path.")
    complete, problems = split_complete(paths)
    if not complete:
        raise ModelError(f"None of the folders that {pattern!r} matches can be scored: {list(problems.values())[-1]}")
    if not problems:
        return complete, None
    names = ", ".join(path.name for path in problems)
    return complete, f"{pattern}: left out {names}, which cannot be scored ({next(iter(problems.values()))})"


def split_complete(paths: list[Path]) -> tuple[list[Path], dict[Path, ModelError]]:
    """The complete folders, and what is wrong with the others."""
    problems: dict[Path, ModelError] = {}
    for path in paths:
        try:
            if path.is_dir():
                check_complete(path)
        except ModelError as error:
            problems[path] = error
    return [path for path in paths if path not in problems], problems


def _by_step(paths: Iterable[Path]) -> list[Path]:
    """Sorted by the step that the name ends with, then by name: checkpoint-200 comes before checkpoint-1000."""
    return sorted(paths, key=lambda path: (step_of_name(path.name) or 0, path.name))


def _pattern(name: str) -> str:
    """checkpoint-1000 -> checkpoint-*"""
    return f"{name.rstrip('0123456789')}*"


def _models_inside(folder: Path) -> str:
    """A sentence that names models in the folder's own folders, "" if there are none."""
    models = [path for path in sorted(folder.iterdir()) if _is_model(path) or _has_checkpoints(path)]
    if not models:
        return ""
    return f" It has {len(models)} folders with models, such as {models[0]}."


def _has_checkpoints(folder: Path) -> bool:
    return folder.is_dir() and any(step_of_name(path.name) is not None and _is_model(path) for path in folder.iterdir())


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() or is_adapter(folder)
