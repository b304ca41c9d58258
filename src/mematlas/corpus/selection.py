"""Selects rows of a corpus: ``all | first:N | slice:A:B | sample:N[:SEED] | ids:FILE``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mematlas.errors import CorpusError, OptionError
from mematlas.io.local_copies import fetch
from mematlas.io.paths import study_path
from mematlas.registry import did_you_mean
from mematlas.types import Ids

FORMS = {
    "all": "all",
    "first": "first:N",
    "slice": "slice:A:B",
    "sample": "sample:N[:SEED]",
    "ids": "ids:FILE",
}
BLOCK_ROWS = 1 << 20


@dataclass(frozen=True, slots=True)
class PositionRange:
    """The positions start .. stop - 1, created only when indexed, so that ten million rows take no memory."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    __iter__ = None  # otherwise Python would call __getitem__ with 0, 1, 2 ... without end

    def __getitem__(self, part: slice | Ids) -> Ids:
        """The positions at a slice of step 1, or at indices [n]: [n] int64."""
        if isinstance(part, slice):
            low, high, _ = part.indices(len(self))
            return np.arange(self.start + low, self.start + high, dtype=np.int64)
        return self.start + part


#: Ascending, distinct positions, of which only `len` and indexing with a slice or an array are used.
Positions = PositionRange | Ids


def select(corpus_length: int, spec: str, *, row_ids: Callable[[Ids], Ids] | None = None) -> Positions:
    """The positions that `spec` selects, ascending and distinct.

    all; first:N (all if there are fewer); slice:A:B is A .. B-1; sample:N draws without replacement (seed 0 by
    default); ids:FILE lists row ids, one per line or as .npy.

    Args:
        row_ids: Corpus.row_ids, to look up the ids; None takes them as positions.

    Raises:
        OptionError: the form is unknown or its numbers are not numbers.
        CorpusError: there are fewer rows than requested, ids are not in the corpus, or the file is unreadable.
    """
    name, _, rest = spec.partition(":")
    if name not in FORMS:
        raise OptionError(
            f"No selection is called {name!r}.{did_you_mean(name, list(FORMS))} "
            f"It is one of: {', '.join(FORMS.values())}."
        )
    if name == "ids":
        return _positions_of(_read_ids(study_path(rest), spec), corpus_length, row_ids)
    numbers = _numbers(spec, rest)
    if name == "all":
        return PositionRange(0, corpus_length)
    if name == "first":
        return PositionRange(0, min(numbers[0], corpus_length))
    if name == "slice":
        return _slice(corpus_length, *numbers)
    return _sample(corpus_length, *numbers)


def _numbers(spec: str, rest: str) -> list[int]:
    """The numbers after the name; their count must be that of the form."""
    name = spec.partition(":")[0]
    parts = rest.split(":") if rest else []
    counts = {"all": (0,), "first": (1,), "slice": (2,), "sample": (1, 2)}[name]
    if len(parts) not in counts or not all(part.isascii() and part.isdigit() for part in parts):
        raise OptionError(f"The selection {spec!r} is not of the form {FORMS[name]}, with numbers of 0 or more.")
    numbers = [int(part) for part in parts]
    if name in ("first", "sample") and numbers[0] == 0:
        raise OptionError(f"The selection {spec!r} selects no row; N is 1 or more.")
    return numbers


def _slice(corpus_length: int, start: int, stop: int) -> PositionRange:
    if not start < stop <= corpus_length:
        raise CorpusError(
            f"slice:{start}:{stop} is not within the corpus' {corpus_length} rows; A < B <= {corpus_length} is needed."
        )
    return PositionRange(start, stop)


def _sample(corpus_length: int, count: int, seed: int = 0) -> Ids:
    if count > corpus_length:
        raise CorpusError(
            f"sample:{count} selects more rows than the corpus has ({corpus_length}); select fewer, or all."
        )
    return np.sort(np.random.default_rng(seed).choice(corpus_length, count, replace=False)).astype(np.int64)


def _read_ids(path: Path, spec: str) -> Ids:
    """The distinct ids in a file on this machine or in an object store (where a gallery's list may be)."""
    if not path.is_file():
        raise CorpusError(f"{spec}: there is no file {path}; the form is {FORMS['ids']}, one row id per line.")
    try:
        if path.suffix == ".npy":
            ids = np.load(fetch(path), allow_pickle=False)
        else:
            ids = np.array([int(line) for line in path.read_text(encoding="utf-8").split()], dtype=np.int64)
    except (ValueError, OverflowError, OSError) as error:
        raise CorpusError(
            f"{path} is not a list of row ids ({error}); write one integer per line, or an .npy file."
        ) from error
    if ids.dtype.kind not in "iu" or ids.size == 0:
        raise CorpusError(f"{path} has {ids.size} values of {ids.dtype}; a list of row ids has one or more integers.")
    return np.unique(ids.astype(np.int64))


def _positions_of(ids: Ids, corpus_length: int, row_ids: Callable[[Ids], Ids] | None) -> Ids:
    """The positions of these ids; a corpus may contain an id more than once."""
    matching, matched_ids = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, corpus_length, BLOCK_ROWS):
        positions = np.arange(start, min(start + BLOCK_ROWS, corpus_length), dtype=np.int64)
        block_ids = positions if row_ids is None else row_ids(positions)
        hits = np.isin(block_ids, ids)
        matching.append(positions[hits])
        matched_ids.append(block_ids[hits])
    absent = np.setdiff1d(ids, np.concatenate(matched_ids))
    if len(absent):
        raise CorpusError(
            f"{len(absent)} of {len(ids)} ids are not in the corpus of {corpus_length} rows, the first is {absent[0]}; "
            f"check that the list belongs to this corpus."
        )
    return np.concatenate(matching)
