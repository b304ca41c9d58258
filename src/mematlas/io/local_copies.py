"""Local copies of a study's files, for libraries that need files on this machine; digests and versions of files.

For a folder on this machine these are the files themselves. For an object store they are cached copies, because every
analysis reads the same tables again, from many small objects.
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
from mematlas.io.paths import filesystem_of, is_remote, object_key, translate_os_errors

#: What distinguishes versions of an object, under the names that file systems of fsspec give it.
_VERSION_KEYS: Final = (
    "size",
    "ETag",
    "etag",
    "VersionId",
    "md5Hash",
    "content_md5",
    "LastModified",
    "last_modified",
)
_VERSION_TIME_KEYS: Final = ("updated", "mtime", "created")


def fetch(path: Path) -> Path:
    """A file on this machine with the current content of `path`: the file itself, or a copy of the object.

    Raises:
        FileNotFoundError: there is no such object.
        StudyError: the store cannot be reached.
    """
    return fetch_all([path])[0]


def fetch_all(paths: Sequence[Path]) -> list[Path]:
    """As `fetch`, for many files at once. Copies are kept until this process ends, so that no version of an object is
    downloaded twice; they are stored in the folder for temporary files (TMPDIR)."""
    if not paths or not is_remote(paths[0]):
        return list(paths)
    paths_by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        paths_by_folder[path.parent].append(path)
    copies: dict[Path, Path] = {}
    for folder, members in paths_by_folder.items():  # one listing per folder, as one request per object is too many
        objects = list_objects(folder) if len(members) > 1 else {}
        copies |= _download([(path, objects.get(path.name) or _info(path)) for path in members])
    return [copies[path] for path in paths]


def fetch_objects(folder: Path, names: Sequence[str], objects: dict[str, dict[str, Any]]) -> dict[str, Path]:
    """Name -> local copy, of objects in a listing that `list_objects` has just returned."""
    return {path.name: copy for path, copy in _download([(folder / name, objects[name]) for name in names]).items()}


def _download(objects: Sequence[tuple[Path, dict[str, Any]]]) -> dict[Path, Path]:
    """Path -> local copy of each object in the given version; missing copies are downloaded in one batch."""
    copies = {path: _copies_folder() / f"{_hash(str(path), _version(info))}{path.suffix}" for path, info in objects}
    missing = [path for path, copy in copies.items() if not copy.exists()]
    if missing:
        parts = [f"{copies[path]}.part" for path in missing]
        with translate_os_errors(missing[0].parent):
            filesystem_of(missing[0]).get([object_key(path) for path in missing], parts)
        for path, part in zip(missing, parts, strict=True):
            Path(part).replace(copies[path])
    return copies


def fetch_folder(folder: Path) -> Path:
    """A folder on this machine with the current content of `folder`: the folder itself, or a new copy of it.

    Raises:
        StudyError: the store cannot be reached, or an object's name leads out of the folder.
    """
    if not is_remote(folder):
        return folder
    copy, prefix = Path(tempfile.mkdtemp(dir=_copies_folder())), object_key(folder).rstrip("/") + "/"
    with translate_os_errors(folder):
        keys = [key for key in filesystem_of(folder).find(object_key(folder)) if not key.endswith("/")]
    names = [key.removeprefix(prefix) for key in keys]
    for name in names:
        if not all(part not in ("", ".", "..") and "\\" not in part for part in name.split("/")):
            raise StudyError(f"{folder} has an object {name!r}, whose name leads out of the folder; delete it.")
    targets = [copy / name for name in names]
    for parent in {target.parent for target in targets}:
        parent.mkdir(parents=True, exist_ok=True)
    if keys:
        with translate_os_errors(folder):
            filesystem_of(folder).get(keys, [str(target) for target in targets])
    return copy


def _copies_folder() -> Path:
    """The folder of the local copies, which is deleted when this process ends."""
    return _new_copies_folder(os.getpid())


@cache
def _new_copies_folder(process: int) -> Path:
    """Cached per process id, so that a forked process has its own folder and does not delete that of its parent."""
    folder = tempfile.mkdtemp(prefix="mematlas-")
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)  # worker processes do not run `atexit` functions
    return Path(folder)


def version_and_size(path: Path) -> tuple[str, int]:
    """A string that changes whenever the file is replaced, and the file's size in bytes.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if is_remote(path):
        info = _info(path)
        return _version(info), int(info["size"])
    status = path.stat()
    return f"{status.st_ino}-{status.st_mtime_ns}", status.st_size


def read_bytes(path: Path) -> bytes:
    """The content of a small file; an object is read with one request.

    Raises:
        FileNotFoundError: there is no such file.
        StudyError: the store cannot be reached.
    """
    content: bytes = _request(path, "cat_file") if is_remote(path) else path.read_bytes()
    return content


def digest(path: Path) -> str:
    """32 hexadecimal digits of the BLAKE2b hash of a file, read in blocks; an object is read with one request, so that
    all of it is of one version."""
    if is_remote(path):
        return hashlib.blake2b(read_bytes(path), digest_size=16).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def list_objects(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> details (such as size) of the objects in a folder of an object store, with one request; {} if none."""
    with translate_os_errors(folder):
        try:
            objects = filesystem_of(folder).ls(object_key(folder), detail=True)
        except FileNotFoundError:
            return {}
    return {info["name"].rstrip("/").rpartition("/")[2]: info for info in objects}


def _info(path: Path) -> dict[str, Any]:
    info: dict[str, Any] = _request(path, "info")
    return info


def _request(path: Path, method: str) -> Any:
    """The response to one request for an object; FileNotFoundError is not translated.

    Raises:
        StudyError: the store cannot be reached.
    """
    with translate_os_errors(path.parent):
        try:
            return getattr(filesystem_of(path), method)(object_key(path))
        except FileNotFoundError as error:
            missing = error
    raise missing


def _version(info: dict[str, Any]) -> str:
    return _hash(*(str(info.get(name)) for name in (*_VERSION_KEYS, *_VERSION_TIME_KEYS)))


def _hash(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()
