"""Rows chosen from a corpus and its control, and how they are cut into shards."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mematlas.corpus.base import Corpus
from mematlas.corpus.selection import Positions
from mematlas.study.schemas.rows import ROWS
from mematlas.types import Ids, TokenRows


@dataclass(frozen=True, slots=True)
class RowSet:
    """Some rows of one corpus. offset: added to its row ids, so that control rows have ids of their own."""

    role: str
    corpus: Corpus
    positions: Positions
    offset: int = 0

    def ids(self, part: slice) -> Ids:
        return self.corpus.row_ids(self.positions[part]) + self.offset


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """All rows of a run, in one line, cut into `count` shards of nearly equal size."""

    sets: tuple[RowSet, ...]
    count: int

    @property
    def total(self) -> int:
        return sum(len(rows.positions) for rows in self.sets)

    @property
    def largest(self) -> int:
        """Rows of the largest shard."""
        return -(-self.total // self.count)

    def size(self, index: int) -> int:
        return self._bound(index + 1) - self._bound(index)

    def _bound(self, index: int) -> int:
        return index * self.total // self.count

    def parts(self, index: int) -> list[tuple[RowSet, slice]]:
        """The rows of shard `index`, as slices of the row sets."""
        start, stop, before, found = self._bound(index), self._bound(index + 1), 0, []
        for rows in self.sets:
            low, high = max(start - before, 0), min(stop - before, len(rows.positions))
            if low < high:
                found.append((rows, slice(low, high)))
            before += len(rows.positions)
        return found

    def read(self, index: int, width: int) -> tuple[TokenRows, Ids]:
        """The first `width` tokens of the shard's rows, and their ids."""
        parts = [(rows.corpus.read(rows.positions[part], width), rows.ids(part)) for rows, part in self.parts(index)]
        tokens = TokenRows(
            np.concatenate([found.ids for found, _ in parts]), np.concatenate([found.lengths for found, _ in parts])
        )
        return tokens, np.concatenate([ids for _, ids in parts])

    def rows_table(self, index: int) -> pa.Table:
        """One line a row of the shard; see `ROWS`."""
        tables = []
        for rows, part in self.parts(index):
            origin = rows.corpus.provenance(rows.positions[part])
            ids = rows.ids(part)
            columns = [pa.array(ids), pa.repeat(rows.role, len(ids))]
            columns += [
                pa.array(values, type=ROWS.field(name).type)
                for name, values in (
                    ("repetitions", origin.repetitions),
                    ("document", origin.document),
                    ("source", origin.source),
                )
            ]
            tables.append(pa.table(columns, schema=ROWS))
        return pa.concat_tables(tables)


def default_shards(total: int) -> int:
    """Our choice: 256 rows a shard, so that little is lost when a run is stopped, and at most 2,000 shards."""
    return max(1, min(2000, -(-total // 256)))


def longest_row(rows: RowSet, width: int) -> int:
    """The longest of the first thousand rows, as far as `width` reaches: a quick look before long work."""
    return int(rows.corpus.read(rows.positions[:1000], width).lengths.max(initial=0))
