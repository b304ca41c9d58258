"""What a folder with files of several kinds is: tables beside other files, texts, or to be refused."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mematlas.corpus.base import CorpusFormat
from mematlas.corpus.reading.files import PEEK_FILES, list_below
from mematlas.corpus.reading.unreadable import looks_like_text
from mematlas.errors import CorpusError

#: Beginnings of the names of texts that describe a folder of tables rather than being part of the corpus.
DESCRIPTIONS: Final = ("readme", "license", "licence", "copying", "notice", "changelog", "citation", "contributing")


def are_most(folder: Path, named: list[Path]) -> bool:
    """Whether `named`, tables in text form, are at least half of the texts among the first files of `folder`.

    Files that are no text, and descriptions such as a README, do not count.
    """
    if not named:
        return False
    tables = set(named)
    others = [file for file in list_below(folder)[:PEEK_FILES] if file not in tables and not _describes(file)]
    return len(named) >= sum(map(looks_like_text, others))


def require_one_format(folder: Path, chosen: CorpusFormat, formats: Iterable[CorpusFormat]) -> None:
    """Refuse `folder` if it has files of other formats than `chosen`, by the ends of their names.

    Files of no format, and a README or a licence beside tables, are no reason: the corpus' details name them.

    Raises:
        CorpusError: there are such files; the message names the first of each format.
    """
    readers = [chosen, *(reader for reader in formats if reader.name != chosen.name)]
    unclaimed, claimed = list_below(folder), {}
    for reader in readers:
        rows = _rows_of(reader, unclaimed)
        taken = set(rows)
        unclaimed = [file for file in unclaimed if file not in taken]
        if rows or reader is chosen:
            claimed[reader.name] = rows
    if len(claimed) == 1:
        return
    claimed[chosen.name] = claimed[chosen.name] or unclaimed  # texts may have any name
    counts = [f"{len(files)} of {name} ({files[0].relative_to(folder).as_posix()})" for name, files in claimed.items()]
    raise CorpusError(
        f"{folder} has files of several formats: {', '.join(counts)}; a corpus has one; {_remedy(list(claimed))}."
    )


def _remedy(names: list[str]) -> str:
    """What to do with a folder of files of these formats."""
    tables = [f"--format {name}" for name in names if name not in ("text", "npy")]  # npy is never a folder
    remedy = "put them into separate folders"
    if tables:
        remedy += f", or read the files of one and leave the others out: {' or '.join(tables)}"
    return remedy + (", or read all as text: --format text" if "text" in names else "")


def _rows_of(reader: CorpusFormat, files: list[Path]) -> list[Path]:
    """The files whose names end as those of the format do, and that are rows of a corpus."""
    suffixes: tuple[str, ...] = getattr(reader, "suffixes", ())
    holds_rows = getattr(reader, "holds_rows", lambda file: True)
    named = [file for file in files if suffixes and file.name.endswith(suffixes)]
    if reader.name == "text":
        named = [file for file in named if not _describes(file)]
    return [file for file in named if holds_rows(file)]


def _describes(file: Path) -> bool:
    return file.name.lower().startswith(DESCRIPTIONS)
