"""Which rows of a corpus are meant: ``all | first:N | slice:A:B | sample:N[:SEED] | ids:FILE``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mematlas.errors import CorpusError, OptionError
from mematlas.io.local_copies import fetch
from mematlas.io.paths import study_path
from mematlas.registry import nearest
from mematlas.types import Ids

FORMS = {
    "all": "all",
    "first": "first:N",
    "slice": "slice:A:B",
    "sample": "sample:N[:SEED]",
    "ids": "ids:FILE",
}
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """The positions start .. stop - 1, made only where they are asked for: ten million rows take no memory."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    __iter__ = None  # else Python would ask for places one by one, without end

    def __getitem__(self, part: slice | Ids) -> Ids:
        """The positions at a slice of step 1, or at places [n]: [n] int64."""
        if isinstance(part, slice):
            low, high, _ = part.indices(len(self))
            return np.arange(self.start + low, self.start + high, dtype=np.int64)
        return self.start + part


#: Positions, ascending and distinct: `len` and `[slice or places]` are all that is asked of them.
Positions = Span | Ids


def select(corpus_length: int, spec: str, *, row_ids: Callable[[Ids], Ids] | None = None) -> Positions:
    """The positions that `spec` names, ascending and distinct.

    all; first:N (all if there are fewer); slice:A:B is A .. B-1; sample:N draws without replacement (seed 0 unless
    named); ids:FILE lists row ids, one a line or as .npy.

    Args:
        row_ids: Corpus.row_ids, to look the ids up; None takes them for positions.

    Raises:
        OptionError: the form is unknown or its numbers are not numbers.
        CorpusError: more rows are asked for than there are, ids are not in the corpus, or the file is unreadable.
    """
    name, _, rest = spec.partition(":")
    if name not in FORMS:
        raise OptionError(
            f"No selection is called {name!r}.{nearest(name, list(FORMS))} It is one of: {', '.join(FORMS.values())}."
        )
    if name == "ids":
        return _positions_of(_ids_in(study_path(rest), spec), corpus_length, row_ids)
    numbers = _numbers(spec, rest)
    if name == "all":
        return Span(0, corpus_length)
    if name == "first":
        return Span(0, min(numbers[0], corpus_length))
    if name == "slice":
        return _slice(corpus_length, *numbers)
    return _sample(corpus_length, *numbers)


def _numbers(spec: str, rest: str) -> list[int]:
    """The numbers behind the name, as many as the form has."""
    name = spec.partition(":")[0]
    parts = rest.split(":") if rest else []
    counts = {"all": (0,), "first": (1,), "slice": (2,), "sample": (1, 2)}[name]
    if len(parts) not in counts or not all(part.isascii() and part.isdigit() for part in parts):
        raise OptionError(f"The selection {spec!r} is not of the form {FORMS[name]}, with numbers of 0 or more.")
    numbers = [int(part) for part in parts]
    if name in ("first", "sample") and numbers[0] == 0:
        raise OptionError(f"The selection {spec!r} asks for no row; N is 1 or more.")
    return numbers


def _slice(corpus_length: int, start: int, stop: int) -> Span:
    if not start < stop <= corpus_length:
        raise CorpusError(
            f"slice:{start}:{stop} is not within the corpus' {corpus_length} rows; A < B <= {corpus_length} is needed."
        )
    return Span(start, stop)


def _sample(corpus_length: int, count: int, seed: int = 0) -> Ids:
    if count > corpus_length:
        raise CorpusError(
            f"sample:{count} asks for more rows than the corpus has ({corpus_length}); ask for fewer, or for all."
        )
    return np.sort(np.random.default_rng(seed).choice(corpus_length, count, replace=False)).astype(np.int64)


def _ids_in(path: Path, spec: str) -> Ids:
    """The distinct ids that a file lists, of this machine or in an object store, where a gallery's are."""
    if not path.is_file():
        raise CorpusError(f"{spec}: there is no file {path}; the form is {FORMS['ids']}, one row id a line.")
    try:
        if path.suffix == ".npy":
            ids = np.load(fetch(path), allow_pickle=False)
        else:
            ids = np.array([int(line) for line in path.read_text(encoding="utf-8").split()], dtype=np.int64)
    except (ValueError, OverflowError, OSError) as error:
        raise CorpusError(f"{path} is no list of row ids ({error}); write one integer a line, or an .npy.") from error
    if ids.dtype.kind not in "iu" or ids.size == 0:
        raise CorpusError(
            f"{path} holds {ids.size} values of {ids.dtype}; a list of row ids has integers, one or more."
        )
    return np.unique(ids.astype(np.int64))


def _positions_of(ids: Ids, corpus_length: int, row_ids: Callable[[Ids], Ids] | None) -> Ids:
    """Where these ids are; a corpus may carry an id more than once."""
    found, known = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, corpus_length, BLOCK):
        positions = np.arange(start, min(start + BLOCK, corpus_length), dtype=np.int64)
        of_rows = positions if row_ids is None else row_ids(positions)
        hits = np.isin(of_rows, ids)
        found.append(positions[hits])
        known.append(of_rows[hits])
    absent = np.setdiff1d(ids, np.concatenate(known))
    if len(absent):
        raise CorpusError(
            f"{len(absent)} of {len(ids)} ids are not in the corpus of {corpus_length} rows, the first is {absent[0]}; "
            f"check that the list belongs to this corpus."
        )
    return np.concatenate(found)
