"""Paths of a study: a folder, or a URL in an object store (s3://bucket/study), which is accessed with fsspec.

A folder is a pathlib.Path and is used directly. A URL becomes a UPath, which has the interface of pathlib, so that
`study / "runs"` works for both; it is typed as Path. Object stores differ in these ways, which this module handles:

- a file is written to a temporary folder first and then uploaded; a store shows either the whole file or none of it;
- libraries that need local files (polars, pyarrow, safetensors) read copies, see `mematlas.io.local_copies`;
- clients raise errors of many types, see `translate_os_errors`.

The endpoint and credentials of a store come from fsspec's configuration and its clients' environment, never from our
options, so that no secret can get into a manifest.
"""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mematlas.errors import MematlasError, MissingExtra, OptionError, StudyError

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# ------------------------------------------------------------------------------------------------------------- paths


def study_path(location: str | Path) -> Path:
    """A folder as pathlib.Path, a URL as a path of its object store; a path is returned unchanged.

    Raises:
        OptionError: the URL is not valid for a study, or contains a secret.
        MissingExtra: the package that reaches the store is not installed.
    """
    if not isinstance(location, str):
        return location if is_url(location) else Path(location)
    if not is_url(location):
        return Path(location)
    protocol, _, rest = location.partition("://")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", protocol):
        raise OptionError(
            f"{location} is not the URL of an object store; write it as s3://bucket/study, or name a folder."
        )
    if protocol in ("file", "local"):
        return Path(rest)
    _check_no_secret(protocol, rest)
    return _object_path(protocol.lower(), rest.rstrip("/"))


def _check_no_secret(protocol: str, rest: str) -> None:
    """Refuse a URL with credentials: a study's URL is written to its manifest and printed."""
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise OptionError(
            f"The URL {protocol}://... of a study must not contain a user, password, token or query, as it is "
            "written to the manifest; give them in the environment or in fsspec's configuration."
        )


def _object_path(protocol: str, rest: str) -> Path:
    url = f"{protocol}://{rest}"
    try:
        from fsspec.registry import known_implementations
        from upath import UPath

        path: Any = UPath(url, use_listings_cache=False)  # other processes write to it, too
        path.fs  # noqa: B018  creates the client, so that a missing package is reported here
    except ImportError as error:
        package = known_implementations.get(protocol, {"class": protocol})["class"].partition(".")[0]
        requirement = '"mematlas[s3]"' if package == "s3fs" else package
        raise MissingExtra(
            f"{url} needs a package that is not installed ({error}); run: pip install {requirement}"
        ) from None
    except ValueError:
        raise OptionError(
            f"{url}: fsspec knows no file system {protocol!r}; write a URL such as s3://bucket/study, or name a folder."
        ) from None
    if not rest:
        raise OptionError(f"{url} names no bucket; write it as {protocol}://bucket/study.")
    typed: Path = path
    return typed


def is_url(value: object) -> bool:
    """Whether the value is a URL, as text or as a path of an object store."""
    return "://" in value if isinstance(value, str) else hasattr(value, "protocol")


def is_remote(path: Path) -> bool:
    """Whether the path is in an object store."""
    return not isinstance(path, Path)


def check_shared(folder: Path) -> None:
    """Refuse to share a folder with worker processes that cannot see it.

    Raises:
        OptionError: the folder is in the memory of this process.
    """
    if str(folder).startswith("memory:"):
        raise OptionError(
            f"{folder} is in the memory of one process, which no other worker sees; use --workers 1, or a study in "
            "a folder or an object store."
        )


# ------------------------------------------------------------------------------------------------------------ errors


@contextmanager
def translate_os_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system or an object store's client into a StudyError with a remedy."""
    try:
        yield
    except MematlasError:
        raise
    except Exception as error:
        message = unreachable_message(error, folder) if is_remote(folder) else _os_error_message(error, folder)
        if message is None:
            raise
        raise StudyError(message) from error


def _os_error_message(error: Exception, folder: Path) -> str | None:
    """What to tell the user if the operating system raised `error`; None if it is another error."""
    if not isinstance(error, OSError):
        return None
    if error.errno in _DISK_FULL:
        return (
            f"No space is left on the disk of {folder} ({error.strerror}). Free some and run the same "
            "command again: finished shards are kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return f"{folder} cannot be written ({error.strerror}); choose another --study folder."
    return None


def unreachable_message(error: Exception, location: object = "The object store of the study") -> str | None:
    """What to tell the user if an object store's client raised `error`; None if other code did."""
    frame, raised_by_client = error.__traceback__, False
    while frame is not None:
        package = frame.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        raised_by_client |= package in ("fsspec", "upath")
        frame = frame.tb_next
    if not raised_by_client:
        return None
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return (
            f"No space is left in {tempfile.gettempdir()} for copies of {location} ({error.strerror}); free some, or "
            "let TMPDIR name another folder, and run the same command again."
        )
    details = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return (
        f"{location} cannot be reached ({type(error).__name__}: {details}); check the bucket, its credentials, its "
        "endpoint and the network, and run the same command again: finished shards are kept."
    )


# ----------------------------------------------------------------------------------------------------------- writing


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; in an object store nothing is created, but the bucket must exist.

    Raises:
        StudyError: it cannot be created, or the store cannot be reached.
    """
    if is_remote(folder):
        check_reachable(folder)
    else:
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)


def check_reachable(folder: Path) -> None:
    """Check that the object store answers and has the bucket. No bucket is created: its name may be misspelt.

    Raises:
        StudyError: the store does not answer, or has no such bucket.
    """
    if not is_remote(folder):
        return
    with translate_os_errors(folder):
        try:
            filesystem_of(folder).ls(object_key(folder))
        except FileNotFoundError:  # the study, which may still be created, or its bucket
            if not folder.drive or filesystem_of(folder).exists(folder.drive):
                return
            raise StudyError(
                f"There is no bucket {folder.drive!r} for {folder}, or these credentials do not see it; create "
                "the bucket, or name another --study."
            ) from None


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then move it to `path` in one step.

    The temporary file is beside `path` and flushed to the disk; for an object store it is in the folder for temporary
    files, and is uploaded.

    Raises:
        StudyError: no space, no permission, or an object store that cannot be reached.
    """
    if is_remote(path):
        _upload(path, write)
        return
    with translate_os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _upload(path: Path, write: Callable[[Path], None]) -> None:
    parent = Path(tempfile.gettempdir())
    with translate_os_errors(parent), tempfile.TemporaryDirectory(prefix="mematlas-", dir=parent) as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        with translate_os_errors(path.parent):
            filesystem_of(path).put_file(str(temporary), object_key(path))


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all; see `write_atomically`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, completely or not at all; see `write_atomically`."""
    write_atomically(path, lambda temporary: _write(temporary, content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def delete_folder(folder: Path) -> None:
    """Delete a folder with everything in it, if it exists."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        with translate_os_errors(folder):
            filesystem_of(folder).rm(object_key(folder), recursive=True)


def filesystem_of(path: Any) -> Any:
    """The fsspec file system of a path in an object store."""
    return path.fs


def object_key(path: Any) -> str:
    """The key of a path in an object store, as its file system names it."""
    return str(path.path)
