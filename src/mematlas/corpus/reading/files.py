"""Finds corpus files, and refuses paths that do not exist."""

from pathlib import Path

from mematlas.corpus.base import CorpusOptions
from mematlas.errors import CorpusError

PEEK_FILES = 256  # of a folder, the first of which decide what its files are
COMPRESSIONS = ("", ".gz", ".zst")  # ends of the names of text files that are decompressed while they are read


def starts_with(path: Path, *magics: bytes) -> bool:
    """Whether `path` is a file that begins with one of `magics`."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(max(map(len, magics)))
    return head.startswith(magics)


def require_file(path: Path) -> Path:
    """Return `path`, which must be a non-empty file."""
    if path.is_dir():
        raise CorpusError(f"{path} is a folder; this format is one file; name the file.")
    if not path.is_file():
        raise CorpusError(f"There is no file {path}; check the path.")
    if path.stat().st_size == 0:
        raise CorpusError(f"{path} is empty; a corpus needs at least one row; check that it was written to the end.")
    return path


def files_below(path: Path, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """`path` itself if it is a file, else the files below it, ordered by path, without hidden ones.

    Args:
        suffixes: only files whose names end with one of them; all files if empty.

    Raises:
        CorpusError: `path` does not exist, or there is no such file below it.
    """
    if not path.is_dir():
        return [require_file(path)]
    files = list_below(path, suffixes)
    if not files:
        missing = f"no file that ends with {' '.join(suffixes)}" if suffixes else "no file"
        raise CorpusError(f"The folder {path} has {missing}; a corpus needs at least one; check the path.")
    return files


def list_below(folder: Path, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """The files below `folder`, ordered by path and without hidden ones; there may be none."""
    files = (
        path
        for path in folder.rglob("*")
        if path.name.endswith(suffixes or "")
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def require_row_length(options: CorpusOptions, why: str) -> int:
    """The given row length, which must be positive; the error starts with `why` it is needed."""
    if options.row_length is None:
        raise CorpusError(f"{why}; name it: --row-length 2049 (tokens per row).")
    if options.row_length < 1:
        raise CorpusError(f"The row length {options.row_length} is not positive; a row has at least one token.")
    return options.row_length
