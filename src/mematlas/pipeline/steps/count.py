"""A corpus counted in parts by an executor's workers: exactly, whoever counts which part, how often and when.

A part is a stretch of rows, fixed by the corpus; an n-gram belongs to the part that it starts in, also where it reaches
over its end (`index.stream.CorpusStream`). Counts are integers, so that those of all parts add up to the corpus' own.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mematlas.corpus.training_order import read_order
from mematlas.errors import CorpusError
from mematlas.executors.pool import enter_folder
from mematlas.index.base import Scope
from mematlas.index.stream import CorpusStream, Measured, row_width
from mematlas.scoring.reopen import ScoredRows, reopen_rows
from mematlas.study import Study, shard_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mematlas.executors.base import MakeWorker
    from mematlas.index.queries import DistinctQueries
    from mematlas.index.scan import Scan
    from mematlas.index.stream import RowSource
    from mematlas.types import Ids

#: Our choice: a part is long beside what its counts take to travel, and there are enough parts for many workers.
PART_TOKENS: Final = 1 << 26
FEWEST_PARTS: Final = 16


@dataclass(frozen=True, slots=True)
class Counting:
    """How the corpus is counted.

    scope: of the n-gram counts (copies are counted in every scope); eod: id of the token that ends a document, None
    where documents end with rows; joined: rows are consecutive cuts of one text; order: .npy of the positions of rows
    as training showed them, None to count every row of the corpus once.
    """

    scope: Scope = "documents"
    eod: int | None = None
    joined: bool = False
    order: Path | None = None

    def corpus(self, scored: ScoredRows) -> "RowSource":
        """What is counted: the corpus of the scored rows, as training showed it where that is known.

        Raises:
            CorpusError: the order is absent, or that of another corpus.
        """
        train = next(rows.corpus for rows in scored.sets if rows.role == "train")
        return train if self.order is None else read_order(self.order, train)

    def stream(self, corpus: "RowSource", part: tuple[int, int] = (0, 1)) -> "CorpusStream":
        """The corpus, or one part of it, as a stream of tokens."""

        return CorpusStream(corpus, None, self.eod, self.joined, part)


def parts_of(corpus: "RowSource") -> int:
    """Into how many parts a corpus is cut, whoever counts them."""

    tokens = len(corpus) * row_width(corpus.details)[0]
    return min(len(corpus), max(FEWEST_PARTS, -(-tokens // PART_TOKENS)))


@dataclass(frozen=True, slots=True)
class Part:
    """The unit of work: the n-grams of a group of scored rows, looked for in one part of the corpus."""

    group: int
    groups: int
    number: int
    parts: int

    def __str__(self) -> str:
        rows = shard_name(self.group, self.groups)
        return f"part {self.number + 1} of {self.parts} of the corpus, counted for the rows of {rows}"


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What a part holds. rows, tokens, documents: that stand, or start, in it; totals: [3, t] of the n-grams of each
    length, in the order of `index.asked.DistinctQueries`, as narrow integers."""

    part: Part
    rows: int
    tokens: int
    documents: int
    totals: "Sequence[NDArray[Any]]"


@dataclass(frozen=True, slots=True)
class _Errand:
    """What a worker needs. corpus: fingerprint of what is counted; tokenizer: whether the corpus is text, so that it
    needs one; folder: that which relative paths are seen from."""

    study: Path
    run: str
    counting: Counting
    corpus: str
    tokenizer: bool
    groups: int
    folder: Path


def counters(
    study: Study, scored: ScoredRows, counting: Counting, corpus: str, groups: int
) -> "MakeWorker[Part, Counted]":
    """From a number of threads to a worker that counts parts, in whatever process it is called."""
    is_text = any("encoder" in rows.corpus.details for rows in scored.sets)
    errand = _Errand(study.folder, scored.run.key, counting, corpus, is_text, groups, Path.cwd())
    return partial(_PartCounter, errand)


class _PartCounter:
    """Counts parts; it holds the n-grams of one group of rows at a time."""

    def __init__(self, errand: _Errand, threads: int) -> None:
        from mematlas.corpus.row_sets import ShardPlan

        enter_folder(errand.folder)
        scored = reopen_rows(Study(errand.study), errand.run, tokenizer=errand.tokenizer)
        self._counting, self._threads = errand.counting, threads
        self._corpus = errand.counting.corpus(scored)
        if self._corpus.fingerprint != errand.corpus:
            raise CorpusError(
                f"A worker found another training order in {errand.counting.order} than the command did; let all "
                "machines see the same file, and leave it as it is while counting goes on."
            )
        self._plan, self._grid = ShardPlan(scored.sets, errand.groups), scored.grid
        self._asked: tuple[int, DistinctQueries] | None = None

    def __call__(self, part: Part) -> Counted:
        from mematlas.index.scan import Scan

        count = len(self._corpus)
        rows = (part.number + 1) * count // part.parts - part.number * count // part.parts
        stream = Measured(self._counting.stream(self._corpus, (part.number, part.parts)))
        totals = Scan(stream, self._threads).totals(self._of(part.group))
        narrow = [total.astype(np.min_scalar_type(total.max(initial=0))) for total in totals]
        return Counted(part, rows, stream.tokens, stream.documents, narrow)

    def _of(self, group: int) -> "DistinctQueries":
        from mematlas.features.counts import asked_ngrams
        from mematlas.index.scan import Scan

        if self._asked is None or self._asked[0] != group:
            self._asked = None
            rows, _ = self._plan.read(group, self._grid.width)
            stream = self._counting.stream(self._corpus)
            ngrams = asked_ngrams(rows, self._grid, stream.length(self._grid.width))
            self._asked = group, Scan(stream).ask(ngrams)
        return self._asked[1]


class Sums:
    """The counts of parts, added up as they come. tokens, documents: of all parts that any group has."""

    def __init__(self) -> None:
        self._sizes: dict[int, tuple[int, int]] = {}
        self._groups: dict[int, tuple[int, list[Ids]]] = {}

    @property
    def is_empty(self) -> bool:
        return not self._sizes

    @property
    def tokens(self) -> int:
        return sum(tokens for tokens, _ in self._sizes.values())

    @property
    def documents(self) -> int:
        return sum(documents for _, documents in self._sizes.values())

    def add(self, counted: Counted) -> "list[Ids] | None":
        """Once the group's last part has come, its counts in the whole corpus, and they are let go here."""
        part = counted.part
        self._sizes[part.number] = counted.tokens, counted.documents
        number, totals = self._groups.pop(part.group, (0, [np.zeros(of.shape, np.int64) for of in counted.totals]))
        for total, of in zip(totals, counted.totals, strict=True):
            total += of
        if number + 1 == part.parts:
            return totals
        self._groups[part.group] = number + 1, totals
        return None


class AddedUp:
    """A counter (`features.counts.Counter`) of n-grams whose totals are there already."""

    def __init__(self, scan: "Scan", totals: "list[Ids]") -> None:
        self._scan, self._totals = scan, totals

    def count_scopes(self, ngrams: "Sequence[NDArray[Any]]") -> "Ids":
        asked = self._scan.ask(ngrams)
        return asked.spread(self._totals) if asked.groups else np.zeros((3, 0), np.int64)
