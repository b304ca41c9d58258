"""Hugging Face datasets: a folder written by ``save_to_disk``, or the name of a dataset on the hub.

``folder[#split]`` or ``name[:config][@revision][#split]``; the split may be left out if there is only one.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.skipped_files import record_skipped
from mematlas.corpus.reading.tables import TableDocuments, open_table, table_documents
from mematlas.errors import CorpusError
from mematlas.errors.libraries import missing_libraries
from mematlas.registry import did_you_mean
from mematlas.types import Ids

HUB = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<config>[^@#]+))?(@(?P<revision>[^#]+))?(#(?P<split>.+))?")
MARKER_FILES = ("dataset_info.json", "state.json", "dataset_dict.json")
BATCH_ROWS = 1024


class DatasetsFormat:
    """Reads the Arrow files of the library, which it memory-maps; no code of a dataset is run."""

    name = "datasets"
    reads = frozenset({"row_length", "column", "cut"})
    suffixes = (".arrow", *MARKER_FILES)

    def holds_rows(self, file: Path) -> bool:
        """Whether ``save_to_disk`` wrote a file with one of `suffixes`: the folder has one of its other files."""
        return any((file.parent / name).is_file() for name in MARKER_FILES)

    def detect(self, path: Path) -> bool:
        """By the files that ``save_to_disk`` writes. A hub name is never guessed; the format must be named."""
        return any((_parse_split(path)[0] / name).is_file() for name in MARKER_FILES)

    def open(self, path: Path, options: CorpusOptions) -> Corpus:
        """Token lists are rows unchanged; text, and tokens with a given row length, are cut."""
        table = open_dataset(path)
        corpus = open_table(self.name, path, table, options)
        if not _parse_split(path)[0].is_dir() or not table.stream.paths:
            return corpus
        folder = table.stream.paths[0].parent  # of the split
        return record_skipped(corpus, folder, [file for file in folder.iterdir() if file.suffix in (".arrow", ".json")])

    def documents(self, path: Path, options: CorpusOptions) -> TableDocuments:
        """The rows."""
        return table_documents(path, open_dataset(path), options)


class DatasetTable:
    """See tables.Table."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset.with_format("arrow")
        self._columns: dict[str, _Column] = {}
        self.schema: pa.Schema = dataset.features.arrow_schema
        self.stream = ByteStream([Path(file["filename"]) for file in dataset.cache_files])

    def __len__(self) -> int:
        return len(self._dataset)

    def take(self, rows: Ids, names: list[str]) -> Iterator[pa.RecordBatch]:
        """See tables.Table.take. The files are memory-mapped, so damage must be found before offsets are followed."""
        self._check(names, rows)
        dataset = self._dataset.select_columns(names)
        for start in range(0, len(rows), BATCH_ROWS):
            yield from dataset[rows[start : start + BATCH_ROWS].tolist()].to_batches()

    def scan(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        """See tables.Table.scan."""
        dataset = self._dataset.select_columns(names)
        for start in range(0, len(self), BATCH_ROWS):
            stop = min(start + BATCH_ROWS, len(self))
            self._check(names, np.arange(start, stop))
            yield from dataset[start:stop].to_batches()

    def _check(self, names: list[str], rows: Ids) -> None:
        """Validate the chunks of these columns that contain `rows`."""
        for name in names:
            if name not in self._columns:
                self._columns[name] = _Column(self._dataset.data.column(name).chunks)
            self._columns[name].check(rows if self._dataset._indices is None else None)


class _Column:
    """The chunks of a memory-mapped column, each validated once before it is read."""

    def __init__(self, chunks: list[pa.Array]) -> None:
        self._chunks = chunks
        self._ends = np.cumsum([len(chunk) for chunk in chunks])
        self._validated: set[int] = set()

    def check(self, rows: Ids | None) -> None:
        """Validate the chunks that contain `rows`, or all.

        Raises:
            pa.ArrowInvalid: offsets point outside the file, or text is not UTF-8.
        """
        needed = range(len(self._chunks)) if rows is None else np.unique(np.searchsorted(self._ends, rows, "right"))
        for number in set(map(int, needed)) - self._validated:
            self._chunks[number].validate(full=True)
            self._validated.add(number)


def open_dataset(path: Path) -> DatasetTable:
    """The table of `folder[#split]` or `name[:config][@revision][#split]`.

    Raises:
        CorpusError: it cannot be opened, or has several splits and none is named.
    """
    return DatasetTable(_load(path))


def _parse_split(path: Path) -> tuple[Path, str | None]:
    """Split `folder#split` into its two parts."""
    folder, separator, split = str(path).rpartition("#")
    return (Path(folder), split) if separator else (path, None)


def _load(path: Path) -> Any:
    """Load the dataset at `path`, and select its split."""
    with missing_libraries("The format 'datasets'", extra="datasets"):
        import datasets
    folder, split = _parse_split(path)
    try:
        if folder.is_dir():
            loaded = datasets.load_from_disk(str(folder))
        else:
            parts = _hub_parts(path)
            split = parts["split"]
            loaded = datasets.load_dataset(parts["name"], parts["config"], revision=parts["revision"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, pa.ArrowException) as error:
        # the library does not validate the JSON files of a folder
        reason = " ".join(str(error).split())
        raise CorpusError(f"The dataset {path} cannot be opened: {reason}; check name, files and network.") from error
    return _choose_split(path, loaded, split)


def _hub_parts(path: Path) -> dict[str, str | None]:
    match = HUB.fullmatch(str(path))
    if match is None:
        raise CorpusError(
            f"{path} is neither a folder nor the name of a dataset; the form is name[:config][@revision][#split]."
        )
    return match.groupdict()


def _choose_split(path: Path, loaded: Any, split: str | None) -> Any:
    """The dataset itself if it has no splits; else the one named `split`, or the only one."""
    splits = list(loaded) if isinstance(loaded, dict) else []
    if not splits and split is not None:
        raise CorpusError(f"{path} has no splits; leave #{split} out.")
    if split is None and len(splits) > 1:
        raise CorpusError(f"{path} has the splits {', '.join(splits)}; name one: {path}#{splits[0]}.")
    if split is not None and split not in splits:
        raise CorpusError(f"{path} has no split {split!r}.{did_you_mean(split, splits)} It has: {', '.join(splits)}.")
    return loaded[split or splits[0]] if splits else loaded
