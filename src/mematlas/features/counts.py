"""How often what a row holds stands in the corpus: its 1-, 2- and 3-grams, and its windows as a whole.

Source: P1 (n-gram counts at every position of a row) and P9 (exact copies of the row); both count over all of the
training corpus. Here every count says within what it was taken: rows, documents, or the stream of all tokens.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.index.base import SCOPES, Scope
from mematlas.study.schemas.features import COPIES, COUNTS
from mematlas.types import Grid, Ids, TokenRows

#: Tokens start .. stop - 1 of a row.
Span = tuple[int, int]

_GRAMS: Final = {"unigrams": 1, "bigrams": 2, "trigrams": 3}


class Counter(Protocol):
    """What counts n-grams in a corpus; `mematlas.index.scan.Scan` is one."""

    def count_scopes(self, ngrams: Sequence[NDArray[Any]]) -> Ids:
        """[3, q] occurrences, for SCOPES, of q n-grams, which come in arrays of one length each."""
        ...


def counted_spans(grid: Grid) -> list[Span]:
    """All spans of a row that are looked for: n-grams ending at each position, continuations, windows; each once."""
    grams = {(end - n, end) for n in _GRAMS.values() for end in range(n, grid.width + 1)}
    cells = {span for context, continuation in _cells(grid) for span in _spans(grid, context, continuation)}
    return sorted(grams | cells)


def count_tables(
    rows: TokenRows,
    row_ids: Ids,
    grid: Grid,
    counter: Counter,
    tokens: int,
    scope: Scope,
    kinds: NDArray[np.int8] | None,
) -> tuple[pa.Table, pa.Table]:
    """The COUNTS and COPIES tables of some rows (`mematlas.study.schemas.features`).

    Args:
        rows: the first tokens of n rows, as many as the grid reads; read only.
        row_ids: shape (n,).
        grid: the cells. Cells that a row is too short for are left out.
        counter: asked once.
        tokens: of the corpus, or as many as the grid reads if it has more; what is longer stands there no time.
        scope: of COUNTS; COPIES has all three.
        kinds: of each token id (`mematlas.features.texts.token_kinds`), None without a tokenizer.

    Raises:
        ValueError: the rows are not of the grid's width.
    """
    if rows.ids.shape != (len(row_ids), grid.width):
        raise ValueError(f"rows must be of shape ({len(row_ids)}, {grid.width}), not {rows.ids.shape}")
    counts = _count(rows, grid, counter, tokens)
    return _counts_table(rows, row_ids, counts, SCOPES.index(scope), kinds), _copies_table(rows, row_ids, counts, grid)


def asked_ngrams(rows: TokenRows, grid: Grid, tokens: int) -> list[NDArray[np.uint32]]:
    """What `count_tables` asks its counter for: of each span that fits into a corpus of `tokens`, the n-grams
    [k, stop - start] of those k rows that are long enough."""
    ids = rows.ids.astype(np.uint32)  # as an index keeps them: half the memory
    return [ids[rows.lengths >= stop, start:stop] for start, stop in _asked_spans(grid, tokens)]


def _asked_spans(grid: Grid, tokens: int) -> list[Span]:
    return [(start, stop) for start, stop in counted_spans(grid) if stop - start <= tokens]


def _cells(grid: Grid) -> Iterator[tuple[int, int]]:
    return ((context, continuation) for context in grid.contexts for continuation in grid.continuations)


def _spans(grid: Grid, context: int, continuation: int) -> tuple[Span, Span]:
    """Of a cell: its continuation, and its window, which is context and continuation."""
    split = grid.split(context)
    return (split, split + continuation), (split - context, split + continuation)


def _count(rows: TokenRows, grid: Grid, counter: Counter, tokens: int) -> dict[Span, Ids]:
    """For each span the [3, k] counts of those k rows that are long enough for it."""
    sizes = {span: int((rows.lengths >= span[1]).sum()) for span in counted_spans(grid)}
    found = {span: np.zeros((len(SCOPES), size), np.int64) for span, size in sizes.items()}
    asked = _asked_spans(grid, tokens)
    counts = counter.count_scopes(asked_ngrams(rows, grid, tokens))
    ends = np.cumsum([found[span].shape[1] for span in asked])
    found.update(zip(asked, np.split(counts, ends[:-1], axis=1), strict=True))
    return found


def _counts_table(
    rows: TokenRows, row_ids: Ids, counts: dict[Span, Ids], scope: int, kinds: NDArray[np.int8] | None
) -> pa.Table:
    columns: dict[str, Any] = {"row": row_ids}
    for name, n in _GRAMS.items():
        values = np.zeros(rows.ids.shape, np.int64)
        for end in range(n, rows.ids.shape[1] + 1):
            values[rows.lengths >= end, end - 1] = counts[end - n, end][scope]
        unknown = np.broadcast_to(np.arange(rows.ids.shape[1]) < n - 1, values.shape)
        columns[name] = _lists(values, unknown, rows.lengths, pa.int64())
    columns["kinds"] = pa.nulls(len(row_ids), COUNTS.field("kinds").type)
    if kinds is not None and len(kinds):
        beyond = rows.ids >= len(kinds)
        columns["kinds"] = _lists(kinds[np.where(beyond, 0, rows.ids)], beyond, rows.lengths, pa.int8())
    return pa.table(columns, schema=COUNTS)


def _lists(values: NDArray[Any], unknown: NDArray[np.bool_], lengths: Ids, of: pa.DataType) -> pa.ListArray:
    """The first `lengths` values of each row as a list; null where unknown."""
    there = np.arange(values.shape[1]) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[there], of, mask=unknown[there]))


def _copies_table(rows: TokenRows, row_ids: Ids, counts: dict[Span, Ids], grid: Grid) -> pa.Table:
    """One block of lines a cell."""
    blocks = []
    for context, continuation in _cells(grid):
        spans = dict(zip(("continuation", "window"), _spans(grid, context, continuation), strict=True))
        there = row_ids[rows.lengths >= spans["window"][1]]
        cell = {
            "row": there,
            "context": np.full(len(there), context, np.int32),
            "continuation": np.full(len(there), continuation, np.int32),
        }
        for part, span in spans.items():
            cell |= {f"{part}_{name}": counts[span][place] for place, name in enumerate(SCOPES)}
        blocks.append(pa.table(cell, schema=COPIES))
    return pa.concat_tables(blocks)
