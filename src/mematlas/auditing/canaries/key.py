"""The key to canaries: which there are, how often each is shown, and in what file. Keep it out of the training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.auditing.canaries.template import Template, parse_template
from mematlas.errors import StudyError
from mematlas.study import write_table

KEY: Final = "key.parquet"
SCHEMA: Final = pl.Schema(
    {
        "canary": pl.Int64(),
        "text": pl.String(),
        "secret": pl.String(),
        "repetitions": pl.Int64(),
        "format_size": pl.Float64(),
        "records": pl.List(pl.Int64()),
        "record": pl.String(),
        "template": pl.String(),
        "column": pl.String(),
        "seed": pl.Int64(),
        "file": pl.String(),
        "digest": pl.String(),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """table: one record a canary. canary: its number; text; secret; repetitions: how often it is in the file;
    format_size: number of secrets that the template allows; records: where it is, lines of the file from 1 (of CSV
    without the header); record: the canary as a record of such a file, in JSON; template, column, seed: as they were
    given; file, digest: name and checksum of the file with canaries.
    """

    table: pl.DataFrame

    @property
    def template(self) -> Template:
        """What the canaries look like."""
        return parse_template(self._constant("template"))

    @property
    def secrets(self) -> list[str]:
        """The secret of every canary."""
        return self.table["secret"].to_list()

    @property
    def column(self) -> str | None:
        """The column that was named for the file's texts."""
        value: str | None = self._constant("column")
        return value

    @property
    def seed(self) -> int:
        """The seed of all draws."""
        return int(self._constant("seed"))

    @property
    def digest(self) -> str:
        """The checksum of the file with canaries."""
        return str(self._constant("digest"))

    @property
    def first_record(self) -> dict[str, Any]:
        """The first canary as a record of the file."""
        record: dict[str, Any] = json.loads(self._constant("record"))
        return record

    def _constant(self, column: str) -> Any:
        return self.table[column][0]


def write_key(path: Path, key: Key) -> None:
    """Write the key.

    Raises:
        StudyError: the folder cannot be written.
    """
    write_table(path, key.table.to_arrow())


def read_key(path: Path) -> Key:
    """Read a key, or the one in a folder.

    Raises:
        StudyError: it is not there, or no key.
    """
    file = path / KEY if path.is_dir() else path
    try:
        table = pl.read_parquet(file)
    except FileNotFoundError:
        raise StudyError(f"There is no file {file}; --key names the {KEY} that `canaries make` wrote.") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StudyError(f"{file} cannot be read ({error}); --key names the {KEY} of `canaries make`.") from None
    if table.schema != SCHEMA or table.is_empty():
        raise StudyError(f"{file} is no key of canaries; --key names the {KEY} that `canaries make` wrote.")
    return Key(table)
