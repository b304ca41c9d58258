"""The selected rows of a corpus and its control, and their division into shards."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mematlas.corpus.base import Corpus
from mematlas.corpus.selection import Positions
from mematlas.study.schemas.rows import ROWS
from mematlas.types import Ids, TokenRows


@dataclass(frozen=True, slots=True)
class RowSet:
    """Selected rows of one corpus. offset: added to its row ids, so that ids of control rows are distinct."""

    role: str
    corpus: Corpus
    positions: Positions
    offset: int = 0

    def ids(self, part: slice) -> Ids:
        return self.corpus.row_ids(self.positions[part]) + self.offset


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """All rows of a run, concatenated and divided into `count` shards of nearly equal size."""

    sets: tuple[RowSet, ...]
    count: int

    @property
    def total(self) -> int:
        return sum(len(rows.positions) for rows in self.sets)

    @property
    def largest(self) -> int:
        """The number of rows of the largest shard."""
        return -(-self.total // self.count)

    def size(self, index: int) -> int:
        return self._bound(index + 1) - self._bound(index)

    def _bound(self, index: int) -> int:
        return index * self.total // self.count

    def parts(self, index: int) -> list[tuple[RowSet, slice]]:
        """The rows of shard `index`, as slices of the row sets."""
        start, stop = self._bound(index), self._bound(index + 1)
        offset, parts = 0, []
        for rows in self.sets:
            low, high = max(start - offset, 0), min(stop - offset, len(rows.positions))
            if low < high:
                parts.append((rows, slice(low, high)))
            offset += len(rows.positions)
        return parts

    def read(self, index: int, width: int) -> tuple[TokenRows, Ids]:
        """The first `width` tokens of the shard's rows, and their ids."""
        parts = [(rows.corpus.read(rows.positions[part], width), rows.ids(part)) for rows, part in self.parts(index)]
        tokens = TokenRows(
            np.concatenate([part.ids for part, _ in parts]), np.concatenate([part.lengths for part, _ in parts])
        )
        return tokens, np.concatenate([ids for _, ids in parts])

    def rows_table(self, index: int) -> pa.Table:
        """The table of the shard's rows, one row each; see `ROWS`."""
        tables = []
        for rows, part in self.parts(index):
            provenance = rows.corpus.provenance(rows.positions[part])
            ids = rows.ids(part)
            columns = [pa.array(ids), pa.repeat(rows.role, len(ids))]
            columns += [
                pa.array(values, type=ROWS.field(name).type)
                for name, values in (
                    ("repetitions", provenance.repetitions),
                    ("document", provenance.document),
                    ("source", provenance.source),
                )
            ]
            tables.append(pa.table(columns, schema=ROWS))
        return pa.concat_tables(tables)


def default_shard_count(total: int) -> int:
    """Our choice: 256 rows per shard, so that little is lost when a run is stopped, but at most 2,000 shards."""
    return max(1, min(2000, -(-total // 256)))


def longest_row(rows: RowSet, width: int) -> int:
    """The length of the longest of the first thousand rows, at most `width`: a quick check before a long run."""
    return int(rows.corpus.read(rows.positions[:1000], width).lengths.max(initial=0))
