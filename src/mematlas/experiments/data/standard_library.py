"""Texts that every machine with Python has: the sources of its standard library.

About 730 files and 12 MB of code, docstrings and licence text in CPython 3.11. Tests are left out (they repeat each
other), and so are files that were installed later or generated for this machine.
"""

import sysconfig
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mematlas.errors import CorpusError

EXCLUDED_FOLDERS = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
EXCLUDED_FILES = (
    "_sysconfigdata*",
    "_sysconfig_vars*",
)  # generated when Python was built; contain its paths
LICENCES = ("LICENSE", "LICENSE.txt")


@dataclass(frozen=True, slots=True)
class Document:
    """One text. source: its path relative to the folder it was read from, with forward slashes."""

    source: str
    text: str


def standard_library_documents(root: Path | None = None) -> list[Document]:
    """The ``.py`` files of the standard library and its licence text, sorted by relative path.

    Args:
        root: the folder to read; the running Python's own standard library unless given.

    Raises:
        CorpusError: the folder contains no sources (a zipped or stripped Python).
    """
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    files = {
        path.relative_to(root).as_posix(): path for path in root.rglob("*.py") if _is_included(path.relative_to(root))
    }
    if not files:
        raise CorpusError(
            f"This Python's standard library has no source files in {root} (it is zipped or stripped), and the "
            "built-in corpus consists of them; use a regular CPython (python.org, conda, uv, a distribution's python3)."
        )
    files |= {name: root / name for name in LICENCES if (root / name).is_file()}
    return [Document(source, _read(path)) for source, path in sorted(files.items())]


def _is_included(relative: Path) -> bool:
    is_excluded_file = any(fnmatch(relative.name, pattern) for pattern in EXCLUDED_FILES)
    return not is_excluded_file and EXCLUDED_FOLDERS.isdisjoint(relative.parts[:-1])


def _read(path: Path) -> str:
    """The file decoded as UTF-8, with Unix line ends; bytes that are not UTF-8 become U+FFFD."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror}); make the standard library's sources readable."
        ) from error
