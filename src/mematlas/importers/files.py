"""The Parquet files that a user names, and what is wrong with them in one line."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mematlas.errors import CorpusError
from mematlas.types import Ids

#: deduped.1b-00001-of-00002-86e948f5c2689f6a.parquet: piece 1 of 2 (the hash is the uploader's).
_PIECE = re.compile(r"(?P<stem>.+?)-(?P<number>\d{5})-of-(?P<count>\d{5})(?:-[0-9a-f]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """What one argument names. label: what it calls its files (LABEL=PATH), None where it says nothing."""

    label: str | None
    path: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A file's place in its publication: `name` of the whole, `number` of `count` pieces where the file name says."""

    file: Path
    name: str
    number: int | None = None
    count: int | None = None


def find_source(argument: str) -> Source:
    """PATH or LABEL=PATH; a folder stands for the Parquet files below it.

    Raises:
        CorpusError: there is nothing, or no Parquet file.
    """
    label, equals, rest = argument.partition("=")
    named = bool(equals) and not Path(argument).exists()
    path = Path(rest if named else argument)
    if not path.exists():
        raise CorpusError(f"There is no file or folder {path}; name Parquet files with scores, or a folder of them.")
    files = (path,) if path.is_file() else tuple(sorted(path.rglob("*.parquet")))
    if not files:
        raise CorpusError(f"The folder {path} holds no Parquet file; name the one with the published scores.")
    if named and not label:
        raise CorpusError(f"{argument!r} has no label before '='; write LABEL=PATH, e.g. deduped.70m={path}.")
    return Source(label if named else None, path, files)


def piece(file: Path) -> Piece:
    """What the file's name says: NAME-00000-of-00002.parquet, NAME/0000.parquet or NAME.parquet."""
    found = _PIECE.fullmatch(file.stem)
    if found:
        return Piece(file, found["stem"], int(found["number"]), int(found["count"]))
    return Piece(file, file.parent.name if file.stem.isdigit() else file.stem)


def whole(pieces: Sequence[Piece]) -> tuple[Path, ...]:
    """The files of one publication in their order.

    Raises:
        CorpusError: a piece is missing or there twice, or two files each hold the whole.
    """
    name, places = pieces[0].name, {(p.file.parent, p.count) for p in pieces}
    numbers = [p.number for p in pieces]
    unnumbered = len(pieces) > 1 and None in numbers and not all(p.file.stem.isdigit() for p in pieces)
    if len(places) > 1 or unnumbered or (None not in numbers and len(set(numbers)) < len(numbers)):
        raise CorpusError(
            f"{pieces[0].file} and {pieces[1].file} both hold {name}; give one, or tell them apart with LABEL=PATH."
        )
    count = pieces[0].count or 0
    missing = sorted(set(range(count)) - {number for number in numbers if number is not None})
    if missing:
        raise CorpusError(
            f"{pieces[0].file} is one of {count} files of {name}; number {missing[0]} is missing: put it beside."
        )
    return tuple(p.file for p in sorted(pieces, key=lambda p: (p.number or 0, p.file)))


@contextmanager
def reading(file: object) -> Iterator[None]:
    """Turn what polars says about a damaged file into one line with a remedy."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        said = (str(error).splitlines() or ["unreadable"])[0].rstrip(".")
        raise CorpusError(f"{file} cannot be read as Parquet ({said}); download it again.") from None


def schema_of(file: Path) -> pl.Schema:
    """Columns and types of a Parquet file.

    Raises:
        CorpusError: it is none.
    """
    with reading(file):
        return pl.Schema(pl.read_parquet_schema(file))


def require_integers(file: Path, column: str, layout: str) -> None:
    """`file` must have `column`, of integers.

    Raises:
        CorpusError: it has not.
    """
    schema = schema_of(file)
    if column not in schema:
        raise CorpusError(
            f"{file} has no column {column!r}, which the layout {layout} needs; it has: {', '.join(schema)}. "
            "Check the file, or name another layout: `mematlas list layouts`."
        )
    if not schema[column].is_integer():
        raise CorpusError(f"{file}: the column {column!r} is {schema[column]}; row indexes are integers; check it.")


def read_ids(files: Sequence[Path], column: str) -> Ids:
    """The integers of `column` in all `files`, in their order: [n] int64.

    Raises:
        CorpusError: one is null, or a file is damaged.
    """
    parts = []
    for file in files:
        with reading(file):
            values = pl.read_parquet(file, columns=[column])[column]
        if values.null_count():
            raise CorpusError(f"{file}: {values.null_count():,} of the row indexes are null; each row needs its index.")
        parts.append(values.cast(pl.Int64).to_numpy())
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
