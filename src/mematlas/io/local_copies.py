"""Files of a study read where a library wants files of this machine, and what tells one version of a file from another.

Of a folder on this machine they are the files themselves. Of an object store they are copies: every analysis reads the
same tables again, from many small objects.
"""

import hashlib
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Final

from mematlas.errors import StudyError
from mematlas.io.paths import files_of, is_remote, key_of, translate_os_errors

#: What tells versions of an object apart, under the names that file systems of fsspec give it.
_VERSION: Final = ("size", "ETag", "etag", "VersionId", "md5Hash", "content_md5", "LastModified", "last_modified")
_VERSION_TIMES: Final = ("updated", "mtime", "created")


def fetch(path: Path) -> Path:
    """A file of this machine with what `path` holds now: itself, or a copy of an object.

    Raises:
        FileNotFoundError: there is no such object.
        StudyError: the store cannot be reached.
    """
    return fetch_all([path])[0]


def fetch_all(paths: Sequence[Path]) -> list[Path]:
    """As `fetch`, of many files at once. Copies live as long as this process, so that no version of an object is
    downloaded twice; they lie where the system keeps temporary files (TMPDIR)."""
    if not paths or not is_remote(paths[0]):
        return list(paths)
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    copies: dict[Path, Path] = {}
    for folder, members in folders.items():  # one listing a folder, for a request an object is too many
        known = listed(folder) if len(members) > 1 else {}
        copies |= _copied([(path, known.get(path.name) or _info(path)) for path in members])
    return [copies[path] for path in paths]


def fetch_listed(folder: Path, names: Sequence[str], objects: dict[str, dict[str, Any]]) -> dict[str, Path]:
    """Name -> copy, of objects that `listed` has just told of."""
    return {path.name: copy for path, copy in _copied([(folder / name, objects[name]) for name in names]).items()}


def _copied(objects: Sequence[tuple[Path, dict[str, Any]]]) -> dict[Path, Path]:
    """The copies of objects in these versions; those that are not here yet come all at once."""
    copies = {path: _copies() / f"{_hash(str(path), _version(info))}{path.suffix}" for path, info in objects}
    missing = [path for path, copy in copies.items() if not copy.exists()]
    if missing:
        parts = [f"{copies[path]}.part" for path in missing]
        with translate_os_errors(missing[0].parent):
            files_of(missing[0]).get([key_of(path) for path in missing], parts)
        for path, part in zip(missing, parts, strict=True):
            Path(part).replace(copies[path])
    return copies


def fetch_folder(folder: Path) -> Path:
    """A folder of this machine with all that `folder` holds now: itself, or fresh copies of an object store's.

    Raises:
        StudyError: the store cannot be reached, or an object's name leads out of the folder.
    """
    if not is_remote(folder):
        return folder
    place, above = Path(tempfile.mkdtemp(dir=_copies())), key_of(folder).rstrip("/") + "/"
    with translate_os_errors(folder):
        keys = [key for key in files_of(folder).find(key_of(folder)) if not key.endswith("/")]
    names = [key.removeprefix(above) for key in keys]
    for name in names:
        if not all(part not in ("", ".", "..") and "\\" not in part for part in name.split("/")):
            raise StudyError(f"{folder} holds an object {name!r}, whose name leads out of it; delete that.")
    copies = [place / name for name in names]
    for parent in {copy.parent for copy in copies}:
        parent.mkdir(parents=True, exist_ok=True)
    if keys:
        with translate_os_errors(folder):
            files_of(folder).get(keys, [str(copy) for copy in copies])
    return place


def _copies() -> Path:
    """Where copies of objects lie; it goes with this process."""
    return _copies_of(os.getpid())


@cache
def _copies_of(process: int) -> Path:
    """As `_copies`: a forked process makes its own, and does not delete those of its parent."""
    place = tempfile.mkdtemp(prefix="mematlas-")
    Finalize(None, shutil.rmtree, (place, True), exitpriority=0)  # workers end without what `atexit` knows
    return Path(place)


def version_and_size(path: Path) -> tuple[str, int]:
    """What changes when a file is put in its place, and its bytes.

    Raises:
        FileNotFoundError: there is none.
    """
    if is_remote(path):
        info = _info(path)
        return _version(info), int(info["size"])
    found = path.stat()
    return f"{found.st_ino}-{found.st_mtime_ns}", found.st_size


def read_bytes(path: Path) -> bytes:
    """A small file's content; of an object by one request.

    Raises:
        FileNotFoundError: there is none.
        StudyError: the store cannot be reached.
    """
    content: bytes = _asked(path, "cat_file") if is_remote(path) else path.read_bytes()
    return content


def digest(path: Path) -> str:
    """32 hexadecimal digits of the BLAKE2b hash of a file, read piece by piece; of an object, read at once, so that
    it is of one version."""
    if is_remote(path):
        return hashlib.blake2b(read_bytes(path), digest_size=16).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> facts (size among them) of the objects in a folder of an object store, by one listing; {} if none."""
    with translate_os_errors(folder):
        try:
            found = files_of(folder).ls(key_of(folder), detail=True)
        except FileNotFoundError:
            return {}
    return {info["name"].rstrip("/").rpartition("/")[2]: info for info in found}


def _info(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = _asked(path, "info")
    return found


def _asked(path: Path, request: str) -> Any:
    """The answer to one request for an object; that there is none stays FileNotFoundError.

    Raises:
        StudyError: the store cannot be reached.
    """
    with translate_os_errors(path.parent):
        try:
            return getattr(files_of(path), request)(key_of(path))
        except FileNotFoundError as error:
            absent = error
    raise absent


def _version(info: dict[str, Any]) -> str:
    return _hash(*(str(info.get(name)) for name in (*_VERSION, *_VERSION_TIMES)))


def _hash(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()
