"""Files and folders that are either whole or absent, and the one-line errors when they cannot be written."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mematlas.errors import StudyError


def fingerprint(content: Any) -> str:
    """SHA-256 of `content` (anything JSON can hold) in one canonical spelling."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends well.

    Raises:
        StudyError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which takes its place (and that of an older one) when the block ends well.

    Raises:
        StudyError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with _explained(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a manifest; raises `StudyError` when it cannot."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any] | None:
    """A manifest, or None where there is none.

    Raises:
        StudyError: the file is there and is no manifest.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read as JSON ({error}); delete its folder and start again.") from error
    if not isinstance(content, dict):
        raise StudyError(f"{path} holds no JSON object; delete its folder and start again.")
    return content


def make_room(folder: Path, needed: int) -> None:
    """Create `folder` and make sure that it can be written and that `needed` bytes are free.

    Raises:
        StudyError: it cannot be created or written, or the disk is too full.
    """
    with whole_file(folder / "writable") as probe:
        probe.write_bytes(b"")
    (folder / "writable").unlink()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StudyError(
            f"{folder} has {free / 1e6:.0f} MB free and the models need {needed / 1e6:.0f} MB; "
            "free some room or name a folder on another disk."
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StudyError(f"{path} cannot be written ({reason}); name another folder or free some room.") from error
