"""Texts that every machine with Python has: the sources of its own standard library.

About 730 files and 12 MB of code, docstrings and licence text in CPython 3.11. Tests are left out (they repeat each
other), so is everything that was installed later or generated for this machine.
"""

import sysconfig
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mematlas.errors import CorpusError

LEFT_OUT_FOLDERS = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
LEFT_OUT_FILES = ("_sysconfigdata*", "_sysconfig_vars*")  # generated when Python was built; hold that machine's paths
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
        CorpusError: the folder holds no sources (a zipped or stripped Python).
    """
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    found = {
        path.relative_to(root).as_posix(): path for path in root.rglob("*.py") if _is_wanted(path.relative_to(root))
    }
    if not found:
        raise CorpusError(
            f"This Python's standard library has no source files in {root} (it is zipped or stripped), and the "
            "built-in corpus is made of them; use a regular CPython (python.org, conda, uv, a distribution's python3)."
        )
    found |= {name: root / name for name in LICENCES if (root / name).is_file()}
    return [Document(source, _read(path)) for source, path in sorted(found.items())]


def _is_wanted(relative: Path) -> bool:
    is_left_out = any(fnmatch(relative.name, pattern) for pattern in LEFT_OUT_FILES)
    return not is_left_out and LEFT_OUT_FOLDERS.isdisjoint(relative.parts[:-1])


def _read(path: Path) -> str:
    """The file as UTF-8 with Unix line ends; the few bytes of other encodings become U+FFFD."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror}); make the standard library's sources readable."
        ) from error
