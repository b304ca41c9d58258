"""Where a study lives: a folder, or a place in an object store that a URL names (s3://bucket/study), through fsspec.

A folder is a pathlib.Path and nothing here gets in its way. A URL becomes a UPath, which has the interface of pathlib,
so that code says `study / "runs"` of both; it is typed as Path. What an object store does otherwise stands here:

- a file is written here first and then put in one upload, which a store shows whole or not at all;
- libraries that want files of this machine (polars, pyarrow, safetensors) read copies, see `mematlas.io.local_copies`;
- clients raise what they like, see `translate_os_errors`.

How a store is reached (endpoint, credentials) is fsspec's configuration and its clients' environment, never ours, so
that nothing of it can land in a manifest.
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

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# ------------------------------------------------------------------------------------------------------------- paths


def study_path(place: str | Path) -> Path:
    """A folder as pathlib.Path, a URL as a path of its object store; what is a path already stays as it is.

    Raises:
        OptionError: the URL is none that a study can have, or holds a secret.
        MissingExtra: the package that reaches the store is not installed.
    """
    if not isinstance(place, str):
        return place if is_url(place) else Path(place)
    if not is_url(place):
        return Path(place)
    protocol, _, rest = place.partition("://")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", protocol):
        raise OptionError(f"{place} is no URL of an object store; write it as s3://bucket/study, or name a folder.")
    if protocol in ("file", "local"):
        return Path(rest)
    _check_no_secret(protocol, rest)
    return _object_path(protocol.lower(), rest.rstrip("/"))


def _check_no_secret(protocol: str, rest: str) -> None:
    """A study's URL stands in its manifest and in commands that are printed; so it must not open the store."""
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise OptionError(
            f"The URL {protocol}://... of a study must hold no user, password, token or query, for it is written into "
            "the manifest; give them in the environment or in fsspec's configuration."
        )


def _object_path(protocol: str, rest: str) -> Path:
    url = f"{protocol}://{rest}"
    try:
        from fsspec.registry import known_implementations
        from upath import UPath

        path: Any = UPath(url, use_listings_cache=False)  # other processes write there, too
        path.fs  # noqa: B018  the client is made now, so that a missing one is told now
    except ImportError as error:
        package = known_implementations.get(protocol, {"class": protocol})["class"].partition(".")[0]
        wanted = '"mematlas[s3]"' if package == "s3fs" else package
        raise MissingExtra(
            f"{url} needs a package that is not installed ({error}); run: pip install {wanted}"
        ) from None
    except ValueError:
        raise OptionError(
            f"{url}: fsspec knows no file system {protocol!r}; write a URL such as s3://bucket/study, or name a folder."
        ) from None
    if not rest:
        raise OptionError(f"{url} names no bucket; write it as {protocol}://bucket/study.")
    found: Path = path
    return found


def is_url(value: object) -> bool:
    """Whether it is the URL of a study, as text or opened."""
    return "://" in value if isinstance(value, str) else hasattr(value, "protocol")


def is_remote(path: Path) -> bool:
    """Whether it lies in an object store."""
    return not isinstance(path, Path)


def check_shared(folder: Path) -> None:
    """Refuse to let other processes work on what only this one sees.

    Raises:
        OptionError: it lies in this process' memory.
    """
    if str(folder).startswith("memory:"):
        raise OptionError(
            f"{folder} lies in the memory of one process, which no other worker sees; take --workers 1, or a study in "
            "a folder or an object store."
        )


# ------------------------------------------------------------------------------------------------------------ errors


@contextmanager
def translate_os_errors(folder: Path) -> Iterator[None]:
    """Turn what the operating system or an object store's client says about `folder` into one line with a remedy."""
    try:
        yield
    except MematlasError:
        raise
    except Exception as error:
        text = unreached(error, folder) if is_remote(folder) else _from_system(folder, error)
        if text is None:
            raise
        raise StudyError(text) from error


def _from_system(folder: Path, error: Exception) -> str | None:
    if not isinstance(error, OSError):
        return None
    if error.errno in _FULL:
        return (
            f"No room on the disk that holds {folder} ({error.strerror}). Free some space and run the same "
            "command again: finished shards are kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return f"{folder} cannot be written ({error.strerror}); choose another --study folder."
    return None


def unreached(error: Exception, place: object = "The object store of the study") -> str | None:
    """What to tell if an object store's client raised `error`; None if something else did."""
    frame, through = error.__traceback__, False
    while frame is not None:
        through |= frame.tb_frame.f_globals.get("__name__", "").partition(".")[0] in ("fsspec", "upath")
        frame = frame.tb_next
    if not through:
        return None
    if isinstance(error, OSError) and error.errno in _FULL:
        return (
            f"No room in {tempfile.gettempdir()} for copies of {place} ({error.strerror}); free some, or let TMPDIR "
            "name another folder, and run the same command again."
        )
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return (
        f"{place} cannot be reached ({type(error).__name__}: {said}); see to the bucket, its credentials, its endpoint "
        "and the network, and run the same command again: finished shards are kept."
    )


# ----------------------------------------------------------------------------------------------------------- writing


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; an object store needs none, but its bucket must be there.

    Raises:
        StudyError: it cannot be made, or the store cannot be reached.
    """
    if is_remote(folder):
        reach(folder)
    else:
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)


def reach(folder: Path) -> None:
    """See that the object store answers and has the bucket. Nothing is made: a bucket that is misspelt is not wanted.

    Raises:
        StudyError: it does not.
    """
    if not is_remote(folder):
        return
    with translate_os_errors(folder):
        try:
            files_of(folder).ls(key_of(folder))
        except FileNotFoundError:  # of the study, which is to be made, or of its bucket
            if not folder.drive or files_of(folder).exists(folder.drive):
                return
            raise StudyError(
                f"There is no bucket {folder.drive!r} for {folder}, or these credentials do not see it; make the "
                "bucket, or name another --study."
            ) from None


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then put it in place in one step: beside `path` and flushed to the disk, or,
    for an object store, in a folder for temporary files and then uploaded.

    Raises:
        StudyError: no room, no permission, or an object store that cannot be reached.
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
    above = Path(tempfile.gettempdir())
    with translate_os_errors(above), tempfile.TemporaryDirectory(prefix="mematlas-", dir=above) as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        with translate_os_errors(path.parent):
            files_of(path).put_file(str(temporary), key_of(path))


def write_json(path: Path, value: object) -> None:
    text = json.dumps(value, indent=2, default=str) + "\n"
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def delete_folder(folder: Path) -> None:
    """Delete a folder with all that is in it; nothing if there is none."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        with translate_os_errors(folder):
            files_of(folder).rm(key_of(folder), recursive=True)


def files_of(path: Any) -> Any:
    """The fsspec file system of a path in an object store."""
    return path.fs


def key_of(path: Any) -> str:
    """What the file system calls it."""
    return str(path.path)
