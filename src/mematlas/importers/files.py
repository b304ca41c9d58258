"""Finds the Parquet files that a user names, reads them, and reports what is wrong with them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mematlas.errors import CorpusError
from mematlas.types import Ids

#: deduped.1b-00001-of-00002-86e948f5c2689f6a.parquet: piece 1 of 2 (the hash is from the upload).
_PIECE = re.compile(r"(?P<stem>.+?)-(?P<number>\d{5})-of-(?P<count>\d{5})(?:-[0-9a-f]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """The files of one argument. label: of LABEL=PATH, None if only a path was given."""

    label: str | None
    path: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a table: `name` of the table, and `number` of `count` pieces if the file name contains them."""

    file: Path
    name: str
    number: int | None = None
    count: int | None = None


def find_source(argument: str) -> Source:
    """Parse PATH or LABEL=PATH; a folder stands for the Parquet files below it.

    Raises:
        CorpusError: there is no such path, or no Parquet file in it.
    """
    label, equals, rest = argument.partition("=")
    has_label = bool(equals) and not Path(argument).exists()
    path = Path(rest if has_label else argument)
    if not path.exists():
        raise CorpusError(f"There is no file or folder {path}; name Parquet files with scores, or a folder of them.")
    files = (path,) if path.is_file() else tuple(sorted(path.rglob("*.parquet")))
    if not files:
        raise CorpusError(f"The folder {path} has no Parquet file; name the one with the published scores.")
    if has_label and not label:
        raise CorpusError(f"{argument!r} has no label before '='; write LABEL=PATH, e.g. deduped.70m={path}.")
    return Source(label if has_label else None, path, files)


def parse_piece(file: Path) -> Piece:
    """Parse a file's name: NAME-00000-of-00002.parquet, NAME/0000.parquet or NAME.parquet."""
    match = _PIECE.fullmatch(file.stem)
    if match:
        return Piece(file, match["stem"], int(match["number"]), int(match["count"]))
    return Piece(file, file.parent.name if file.stem.isdigit() else file.stem)


def complete_files(pieces: Sequence[Piece]) -> tuple[Path, ...]:
    """The files of one table in their order.

    Raises:
        CorpusError: a piece is missing or duplicated, or two files each contain the whole table.
    """
    name, groups = pieces[0].name, {(p.file.parent, p.count) for p in pieces}
    numbers = [p.number for p in pieces]
    unnumbered = len(pieces) > 1 and None in numbers and not all(p.file.stem.isdigit() for p in pieces)
    if len(groups) > 1 or unnumbered or (None not in numbers and len(set(numbers)) < len(numbers)):
        raise CorpusError(
            f"{pieces[0].file} and {pieces[1].file} both contain {name}; give one, or distinguish them with LABEL=PATH."
        )
    count = pieces[0].count or 0
    missing = sorted(set(range(count)) - {number for number in numbers if number is not None})
    if missing:
        raise CorpusError(
            f"{pieces[0].file} is one of {count} files of {name}; number {missing[0]} is missing; put it in the "
            "same folder."
        )
    return tuple(p.file for p in sorted(pieces, key=lambda p: (p.number or 0, p.file)))


@contextmanager
def translate_read_errors(file: object) -> Iterator[None]:
    """Turn an error of polars about a damaged file into a CorpusError."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0].rstrip(".")
        raise CorpusError(f"{file} cannot be read as Parquet ({reason}); download it again.") from None


def read_schema(file: Path) -> pl.Schema:
    """Columns and types of a Parquet file.

    Raises:
        CorpusError: it is not a readable Parquet file.
    """
    with translate_read_errors(file):
        return pl.Schema(pl.read_parquet_schema(file))


def require_integers(file: Path, column: str, layout: str) -> None:
    """Check that `file` has a `column` of integers.

    Raises:
        CorpusError: it does not.
    """
    schema = read_schema(file)
    if column not in schema:
        raise CorpusError(
            f"{file} has no column {column!r}, which the layout {layout} needs; it has: {', '.join(schema)}. "
            "Check the file, or name another layout: `mematlas list layouts`."
        )
    if not schema[column].is_integer():
        raise CorpusError(f"{file}: the column {column!r} is {schema[column]}; row indexes are integers; check it.")


def read_ids(files: Sequence[Path], column: str) -> Ids:
    """Read the integers of `column` in all `files`, in their order: [n] int64.

    Raises:
        CorpusError: one is null, or a file is damaged.
    """
    parts = []
    for file in files:
        with translate_read_errors(file):
            values = pl.read_parquet(file, columns=[column])[column]
        if values.null_count():
            raise CorpusError(f"{file}: {values.null_count():,} of the row indexes are null; each row needs its index.")
        parts.append(values.cast(pl.Int64).to_numpy())
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
