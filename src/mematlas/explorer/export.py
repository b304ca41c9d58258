"""Selected rows as a file: a table as CSV or Parquet, or a list of ids for `mematlas score --rows ids:FILE`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, get_args

import polars as pl
import pyarrow.parquet as pq

from mematlas.errors import OptionError
from mematlas.explorer.filters import Parameters, single
from mematlas.explorer.lines import Lines, View
from mematlas.explorer.table import COLUMNS, records
from mematlas.types import Ids

Format = Literal["csv", "parquet", "ids"]
#: Format -> the name of the file, and its type.
FILES: Final[dict[Format, tuple[str, str]]] = {
    "csv": ("rows.csv", "text/csv; charset=utf-8"),
    "parquet": ("rows.parquet", "application/vnd.apache.parquet"),
    "ids": ("rows.ids.txt", "text/plain; charset=utf-8"),
}
_BLOCK: Final = 1 << 18  # rows whose records are in memory at once


def read_format(parameters: Parameters) -> Format:
    """The format of an address.

    Raises:
        OptionError: there is no such format.
    """
    name = single(parameters, "format")
    for format in get_args(Format):
        if name == format:
            return format
    raise OptionError(f"format: {name!r} is not one of {', '.join(get_args(Format))}.")


def export_rows(lines: Lines, view: View, positions: Ids, format: Format) -> Path:
    """Write the rows, in their order, to a new temporary file on this machine, which the caller deletes.

    Raises:
        OptionError: no row of the corpus is selected whose id could be listed.
    """
    with tempfile.NamedTemporaryFile(prefix="mematlas-", suffix=f".{format}", delete=False) as file:
        path = Path(file.name)
    try:
        if format == "ids":
            _write_ids(path, lines, positions)
        elif format == "csv":
            _write_csv(path, _blocks(lines, view, positions))
        else:
            _write_parquet(path, _blocks(lines, view, positions))
    except BaseException:
        path.unlink()
        raise
    return path


def _write_ids(path: Path, lines: Lines, positions: Ids) -> None:
    """One id a line. Rows of the control are left out: `--rows` selects rows of the corpus, which lacks their ids."""
    rows = lines.rows.select("row", "role")[positions]
    ids = rows.filter(role="train").select("row")
    if not ids.height:
        raise OptionError("No row of the corpus is selected, so there is no id to list; select rows of role train.")
    ids.write_csv(path, include_header=False)


def _blocks(lines: Lines, view: View, positions: Ids) -> Iterator[pl.DataFrame]:
    """The records of the rows, a block at a time, at least one; names as texts, as other programs expect."""
    for start in range(0, max(1, len(positions)), _BLOCK):
        block = records(lines, view, positions[start : start + _BLOCK])
        yield block.with_columns(pl.col("role", "source", "kind", "level").cast(pl.String)).select(COLUMNS)


def _write_csv(path: Path, blocks: Iterator[pl.DataFrame]) -> None:
    with path.open("wb") as file:
        for number, block in enumerate(blocks):
            block.write_csv(file, include_header=number == 0)


def _write_parquet(path: Path, blocks: Iterator[pl.DataFrame]) -> None:
    first = next(blocks).to_arrow()
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for block in blocks:
            writer.write_table(block.to_arrow().cast(first.schema))
