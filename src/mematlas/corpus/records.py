"""Small tables of named fields, whole, whatever their format: CSV, JSON Lines, Parquet, or a Hugging Face dataset."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mematlas.corpus.formats.csv import SUFFIXES as CSV_SUFFIXES
from mematlas.corpus.formats.csv import CsvTable, read_header
from mematlas.corpus.formats.datasets import open_dataset
from mematlas.corpus.formats.parquet import MAGIC, ParquetTable
from mematlas.corpus.reading.files import starts_with
from mematlas.corpus.reading.json_records import read_records
from mematlas.corpus.reading.tables import Table
from mematlas.errors import CorpusError

Record = dict[str, Any]


def read_table(path: Path, format: str | None = None) -> Iterator[tuple[str, Record]]:
    """Yield each record with its file and line, or its number, for messages.

    Args:
        path: a file; a folder of `save_to_disk`; with the format "datasets" also the name of a dataset on the hub.
        format: csv, jsonl, parquet or datasets; None tells by name and content. All fields of a CSV file are texts.

    Raises:
        CorpusError: there is no such file, it is damaged, or its columns have no names.
        MissingExtra: the library of datasets is not installed.
    """
    if format is None:
        format = _format_of(path)
    elif format not in ("csv", "jsonl", "parquet", "datasets"):
        raise CorpusError(f"Records are read from csv, jsonl, parquet or datasets, not from {format!r}; name one.")
    try:
        if format == "csv":
            yield from _csv(path)
        elif format == "jsonl":
            yield from read_records([path])
        else:
            yield from _rows(path, _open(path, format))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror or error}); check the path.") from None


def _format_of(path: Path) -> str:
    if path.is_dir() or "#" in path.name:
        return "datasets"
    if not path.is_file():
        raise CorpusError(
            f"There is no file {path}; check the path; if it is the name of a dataset on the Hugging Face hub, add "
            "--format datasets."
        )
    if path.name.endswith(CSV_SUFFIXES):
        return "csv"
    return "parquet" if starts_with(path, MAGIC) else "jsonl"


def _csv(path: Path) -> Iterator[tuple[str, Record]]:
    table = CsvTable(path, read_header(path))
    repeated = [name for name in table.names if table.names.count(name) > 1]
    if repeated:
        raise CorpusError(f"The header of {path} has {repeated[0]!r} more than once; rename one of them.")
    for where, fields in table.rows():
        yield where, dict(zip(table.names, fields, strict=True))


def _open(path: Path, format: str) -> Table:
    return ParquetTable([path]) if format == "parquet" else open_dataset(path)


def _rows(path: Path, table: Table) -> Iterator[tuple[str, Record]]:
    number = 0
    for batch in table.scan(list(table.schema.names)):
        for record in batch.to_pylist():
            number += 1
            yield f"{path}, record {number}", record
