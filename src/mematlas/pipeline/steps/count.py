"""A corpus counted in parts by an executor's workers: exactly, no matter which worker counts which part, and how often.

A part is a range of rows, fixed by the corpus; an n-gram belongs to the part that it starts in, even if it extends
past its end (`mematlas.index.stream.CorpusStream`). Counts are integers, so those of all parts add up to the corpus'.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mematlas.corpus.base import MOVED
from mematlas.corpus.row_sets import ShardPlan
from mematlas.corpus.training_order import read_training_order
from mematlas.errors import CorpusError
from mematlas.executors.pool import enter_folder
from mematlas.index.base import Scope, check_boundaries
from mematlas.index.stream import CorpusStream, MeteredStream, row_width
from mematlas.scoring.reopen import ScoredRows, reopen_rows
from mematlas.study import Study, shard_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mematlas.executors.base import WorkerFactory
    from mematlas.index.queries import DistinctQueries
    from mematlas.index.scan import Scan
    from mematlas.index.stream import RowSource
    from mematlas.types import Ids

#: Our choice: counting a part takes long compared with sending its counts, and there are enough parts for many workers.
PART_TOKENS: Final = 1 << 26
FEWEST_PARTS: Final = 16


@dataclass(frozen=True, slots=True)
class CountOptions:
    """How the corpus is counted.

    scope: of the n-gram counts (copies are counted in every scope); eod: id of the token that ends a document, None
    if documents end with rows; joined: rows are consecutive pieces of one text; order: .npy file of row positions in
    training order, None to count every row of the corpus once.
    """

    scope: Scope = "documents"
    eod: int | None = None
    joined: bool = False
    order: Path | None = None

    def corpus(self, scored: ScoredRows) -> "RowSource":
        """What is counted: the corpus of the scored rows, in training order if that is known.

        Raises:
            CorpusError: the order is absent, or that of another corpus.
            IndexFault: the scope's rows or documents do not begin where the corpus says.
        """
        train = next(rows.corpus for rows in scored.sets if rows.role == "train")
        is_moved = bool(train.details.get(MOVED))
        check_boundaries(scored.run.settings["corpus"], self.scope, is_moved, self.joined)
        return train if self.order is None else read_training_order(self.order, train)

    def stream(self, corpus: "RowSource", part: tuple[int, int] = (0, 1)) -> "CorpusStream":
        """The corpus, or one part of it, as a stream of tokens."""
        return CorpusStream(corpus, None, self.eod, self.joined, part)


def part_count(corpus: "RowSource") -> int:
    """The number of parts that a corpus is cut into."""
    tokens = len(corpus) * row_width(corpus.details)[0]
    return min(len(corpus), max(FEWEST_PARTS, -(-tokens // PART_TOKENS)))


@dataclass(frozen=True, slots=True)
class CountTask:
    """The unit of work: the n-grams of one of `groups` groups of scored rows, in one of `parts` parts of the corpus."""

    group: int
    groups: int
    part: int
    parts: int

    def __str__(self) -> str:
        rows = shard_name(self.group, self.groups)
        return f"part {self.part + 1} of {self.parts} of the corpus, counted for the rows of {rows}"


@dataclass(frozen=True, slots=True, eq=False)
class PartCounts:
    """The result of a task. rows, tokens, documents: the numbers of those that start in the part; totals: [3, t] of the
    n-grams of each length, in the order of `DistinctQueries`, of the narrowest integer type."""

    task: CountTask
    rows: int
    tokens: int
    documents: int
    totals: "Sequence[NDArray[Any]]"


@dataclass(frozen=True, slots=True)
class _CountSpec:
    """What a worker needs to count. corpus: fingerprint of what is counted; tokenizer: whether the corpus is text, so
    that it needs one; folder: the base of relative paths."""

    study: Path
    run: str
    options: CountOptions
    corpus: str
    tokenizer: bool
    groups: int
    folder: Path


def count_workers(
    study: Study, scored: ScoredRows, options: CountOptions, corpus: str, groups: int
) -> "WorkerFactory[CountTask, PartCounts]":
    """A picklable factory of workers that count parts. corpus: its fingerprint; groups: of the scored rows."""
    is_text = any("encoder" in rows.corpus.details for rows in scored.sets)
    spec = _CountSpec(study.folder, scored.run.key, options, corpus, is_text, groups, Path.cwd())
    return partial(_PartCounter, spec)


class _PartCounter:
    """Counts parts, with the n-grams of one group of rows at a time in memory."""

    def __init__(self, spec: _CountSpec, threads: int) -> None:
        enter_folder(spec.folder)
        scored = reopen_rows(Study(spec.study), spec.run, tokenizer=spec.tokenizer)
        self._options, self._threads = spec.options, threads
        self._corpus = spec.options.corpus(scored)
        if self._corpus.fingerprint != spec.corpus:
            raise CorpusError(
                f"A worker found another training order in {spec.options.order} than the command did; let all "
                "machines see the same file, and do not change it while counting goes on."
            )
        self._plan, self._grid = ShardPlan(scored.sets, spec.groups), scored.grid
        self._queries: tuple[int, DistinctQueries] | None = None

    def __call__(self, task: CountTask) -> PartCounts:
        from mematlas.index.scan import Scan

        count = len(self._corpus)
        rows = (task.part + 1) * count // task.parts - task.part * count // task.parts
        stream = MeteredStream(self._options.stream(self._corpus, (task.part, task.parts)))
        totals = Scan(stream, self._threads).count_distinct(self._group_queries(task.group))
        narrow = [total.astype(np.min_scalar_type(total.max(initial=0))) for total in totals]
        return PartCounts(task, rows, stream.tokens, stream.documents, narrow)

    def _group_queries(self, group: int) -> "DistinctQueries":
        from mematlas.features.counts import query_ngrams
        from mematlas.index.scan import Scan

        if self._queries is None or self._queries[0] != group:
            self._queries = None
            rows, _ = self._plan.read(group, self._grid.width)
            stream = self._options.stream(self._corpus)
            ngrams = query_ngrams(rows, self._grid, stream.length(self._grid.width))
            self._queries = group, Scan(stream).prepare(ngrams)
        return self._queries[1]


class CountTotals:
    """The sums of the counts of parts, added as they arrive. tokens, documents: of all parts counted so far."""

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

    def add(self, counts: PartCounts) -> "list[Ids] | None":
        """Add the counts of a part.

        Returns:
            The group's totals in the whole corpus if this was its last part (they are dropped here then); else None.
        """
        task = counts.task
        self._sizes[task.part] = counts.tokens, counts.documents
        arrived, sums = self._groups.pop(task.group, (0, [np.zeros(of.shape, np.int64) for of in counts.totals]))
        for total, addend in zip(sums, counts.totals, strict=True):
            total += addend
        if arrived + 1 == task.parts:
            return sums
        self._groups[task.group] = arrived + 1, sums
        return None


class PrecomputedCounter:
    """A counter (`mematlas.features.counts.NGramCounter`) of n-grams whose totals are known already."""

    def __init__(self, scan: "Scan", totals: "list[Ids]") -> None:
        self._scan, self._totals = scan, totals

    def count_scopes(self, ngrams: "Sequence[NDArray[Any]]") -> "Ids":
        queries = self._scan.prepare(ngrams)
        return queries.expand(self._totals) if queries.groups else np.zeros((3, 0), np.int64)
