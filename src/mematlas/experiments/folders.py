"""Folders that are written completely or not at all, manifests that may be damaged, subsets, and free disk space."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import StudyError
from mematlas.study import translate_os_errors, write_atomically, write_json


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which replaces it when the block ends without an error.

    Raises:
        StudyError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with translate_os_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """A manifest, or None if there is none.

    Raises:
        StudyError: the file is not a manifest.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read as JSON ({error}); delete its folder and start again.") from error
    if not isinstance(content, dict):
        raise StudyError(f"{path} contains no JSON object; delete its folder and start again.")
    return content


def write_members(folder: Path, members: NDArray[np.bool_]) -> None:
    """Write which models are trained on which rows to `folder`/subsets.npy: [models, rows]."""

    def save(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, members)

    write_atomically(folder / "subsets.npy", save)


def check_disk_space(folder: Path, needed: int) -> None:
    """Create `folder`, and check that it can be written and that `needed` bytes are free.

    Raises:
        StudyError: the folder cannot be created or written, or the disk is too full.
    """
    probe = folder / "writable.json"
    write_json(probe, {})
    probe.unlink()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StudyError(
            f"{folder} has {free / 1e6:.0f} MB free and the models need {needed / 1e6:.0f} MB; "
            "free some space or name a folder on another disk."
        )
