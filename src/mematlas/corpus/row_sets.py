"""The selected rows of a corpus and its control, and their division into shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from mematlas.corpus.base import Corpus
from mematlas.corpus.selection import Positions
from mematlas.errors import CorpusError
from mematlas.study.schemas.rows import ROWS
from mematlas.types import Grid, Ids, TokenRows

_BLOCK_TOKENS: Final = 1 << 20  # tokens read at once in a pass over all selected rows, which bounds its memory
_LONGEST_ROWS: Final = 1000  # rows read at once while the longest one is looked for


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


def position_blocks(positions: Positions, width: int) -> Iterator[Ids]:
    """The positions in blocks whose rows have about a million tokens, of `width` tokens each."""
    rows = max(1, _BLOCK_TOKENS // max(1, width))
    for start in range(0, len(positions), rows):
        yield positions[start : start + rows]


def default_shard_count(total: int) -> int:
    """Our choice: 256 rows per shard, so that little is lost when a run is stopped, but at most 2,000 shards."""
    return max(1, min(2000, -(-total // 256)))


def longest_row(rows: RowSet, enough: int) -> int:
    """The length of the longest selected row, at most `enough`; reading stops at the first row that is so long.

    Rows are read in widths that double, so memory depends on their lengths and not on `enough`.
    """
    longest, positions = 0, rows.positions
    for start in range(0, len(positions), _LONGEST_ROWS):
        block, width = positions[start : start + _LONGEST_ROWS], max(64, longest + 1)
        while len(block):
            width = min(width, enough)
            unfinished = []  # rows that may have more tokens than were read
            for part in position_blocks(block, width):
                lengths = rows.corpus.read(part, width).lengths
                longest = max(longest, int(lengths.max()))
                if longest >= enough:
                    return enough
                unfinished.append(part[lengths == width])
            block, width = np.concatenate(unfinished), 2 * width
        if rows.corpus.details.get("row_length") == longest:  # no row is longer
            break
    return longest


def require_grid(sets: Sequence[RowSet], grid: Grid) -> None:
    """Refuse a context or a continuation for which all selected rows are too short.

    Raises:
        CorpusError: there is one; nothing of its size was allocated.
    """
    context, continuation = min(grid.contexts), min(grid.continuations)
    needed = [("context", length, grid.span(length, continuation)[1]) for length in grid.contexts]
    needed += [("continuation", length, grid.span(context, length)[1]) for length in grid.continuations]
    longest = max(longest_row(rows, max(tokens for _, _, tokens in needed)) for rows in sets)
    for name, length, tokens in needed:
        if tokens > longest:
            raise CorpusError(
                f"--{name} {length} needs rows of {tokens} tokens, but the longest of the selected rows has {longest}; "
                f"leave it out, choose a shorter one, or give longer rows."
            )
