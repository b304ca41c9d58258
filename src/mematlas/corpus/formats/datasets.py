"""Hugging Face datasets: a folder written by ``save_to_disk``, or the name of a dataset on the hub.

``folder[#split]`` or ``name[:config][@revision][#split]``; the split may be left out where there is only one.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.tables import open_table
from mematlas.errors import CorpusError, MissingExtra
from mematlas.registry import nearest
from mematlas.types import Ids

HUB = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<config>[^@#]+))?(@(?P<revision>[^#]+))?(#(?P<split>.+))?")
MARKS = ("dataset_info.json", "state.json", "dataset_dict.json")
BATCH_ROWS = 1024


class DatasetsFormat:
    """The library keeps its data in Arrow files, which it maps; nothing of a dataset's code is run."""

    name = "datasets"
    reads = frozenset({"row_length", "column", "cut"})

    def detect(self, path: Path) -> bool:
        """By the files that ``save_to_disk`` leaves. A hub name is never guessed: name the format."""
        return any((_split_off(path)[0] / mark).is_file() for mark in MARKS)

    def open(self, path: Path, options: CorpusOptions) -> Corpus:
        """Tokens are rows as they stand; text, or tokens with a row length named, are cut."""
        return open_table(self.name, path, DatasetTable(_load(path)), options)


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
        """See tables.Table.take. The files are mapped, so that what is damaged must be found before it is followed."""
        self._check(names, rows)
        chosen = self._dataset.select_columns(names)
        for start in range(0, len(rows), BATCH_ROWS):
            yield from chosen[rows[start : start + BATCH_ROWS].tolist()].to_batches()

    def scan(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        """See tables.Table.scan."""
        chosen = self._dataset.select_columns(names)
        for start in range(0, len(self), BATCH_ROWS):
            stop = min(start + BATCH_ROWS, len(self))
            self._check(names, np.arange(start, stop))
            yield from chosen[start:stop].to_batches()

    def _check(self, names: list[str], rows: Ids) -> None:
        """Validate the pieces of these columns that hold `rows`."""
        for name in names:
            if name not in self._columns:
                self._columns[name] = _Column(self._dataset.data.column(name).chunks)
            self._columns[name].check(rows if self._dataset._indices is None else None)


class _Column:
    """The pieces of a mapped column, each validated once, before it is read."""

    def __init__(self, pieces: list[pa.Array]) -> None:
        self._pieces = pieces
        self._ends = np.cumsum([len(piece) for piece in pieces])
        self._sound: set[int] = set()

    def check(self, rows: Ids | None) -> None:
        """Validate what holds `rows`, or everything.

        Raises:
            pa.ArrowInvalid: offsets lead outside of the file, or text is not UTF-8.
        """
        touched = range(len(self._pieces)) if rows is None else np.unique(np.searchsorted(self._ends, rows, "right"))
        for number in set(map(int, touched)) - self._sound:
            self._pieces[number].validate(full=True)
            self._sound.add(number)


def _split_off(path: Path) -> tuple[Path, str | None]:
    """`folder#split` as its two parts."""
    folder, mark, split = str(path).rpartition("#")
    return (Path(folder), split) if mark else (path, None)


def _load(path: Path) -> Any:
    """The one split that is meant."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"The format 'datasets' needs the library {error.name!r}, which is not installed; "
            f'run: pip install "mematlas[datasets]"'
        ) from error
    folder, split = _split_off(path)
    try:
        if folder.is_dir():
            found = datasets.load_from_disk(str(folder))
        else:
            parts = _hub_parts(path)
            split = parts["split"]
            found = datasets.load_dataset(parts["name"], parts["config"], revision=parts["revision"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, pa.ArrowException) as error:
        # the library trusts the JSON files of a folder to hold what it wrote
        reason = " ".join(str(error).split())
        raise CorpusError(f"The dataset {path} cannot be opened: {reason}; check name, files and network.") from error
    return _chosen_split(path, found, split)


def _hub_parts(path: Path) -> dict[str, str | None]:
    match = HUB.fullmatch(str(path))
    if match is None:
        raise CorpusError(
            f"{path} is neither a folder nor the name of a dataset; the form is name[:config][@revision][#split]."
        )
    return match.groupdict()


def _chosen_split(path: Path, found: Any, split: str | None) -> Any:
    """`found` itself if it has no splits, else the one named `split`, or the only one."""
    splits = list(found) if isinstance(found, dict) else []
    if not splits and split is not None:
        raise CorpusError(f"{path} has no splits; leave #{split} out.")
    if split is None and len(splits) > 1:
        raise CorpusError(f"{path} has the splits {', '.join(splits)}; name one: {path}#{splits[0]}.")
    if split is not None and split not in splits:
        raise CorpusError(f"{path} has no split {split!r}.{nearest(split, splits)} It has: {', '.join(splits)}.")
    return found[split or splits[0]] if splits else found
