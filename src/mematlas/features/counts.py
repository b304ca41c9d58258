"""How often the contents of a row occur in the corpus: its 1-, 2- and 3-grams, and its complete windows.

Source: P1 (n-gram counts at every position of a row) and P9 (exact copies of the row); both count over all of the
training corpus. Here every count has a scope: within rows, within documents, or in the stream of all tokens.
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

_NGRAM_SIZES: Final = {"unigrams": 1, "bigrams": 2, "trigrams": 3}


class NGramCounter(Protocol):
    """Counts n-grams in a corpus; `mematlas.index.scan.Scan` implements it."""

    def count_scopes(self, ngrams: Sequence[NDArray[Any]]) -> Ids:
        """[3, q] counts, for SCOPES, of q n-grams, which are given as one array per length."""
        ...


def counted_spans(grid: Grid) -> list[Span]:
    """All distinct spans of a row that are counted: n-grams ending at each position, continuations, and windows."""
    ngrams = {(end - n, end) for n in _NGRAM_SIZES.values() for end in range(n, grid.width + 1)}
    cells = {span for context, continuation in _cells(grid) for span in _cell_spans(grid, context, continuation)}
    return sorted(ngrams | cells)


def count_tables(
    rows: TokenRows,
    row_ids: Ids,
    grid: Grid,
    counter: NGramCounter,
    tokens: int,
    scope: Scope,
    kinds: NDArray[np.int8] | None,
) -> tuple[pa.Table, pa.Table]:
    """The COUNTS and COPIES tables of some rows (`mematlas.study.schemas.features`).

    Args:
        rows: the first tokens of n rows, as many as the grid reads; not modified.
        row_ids: shape (n,).
        grid: the cells. Cells that a row is too short for are left out.
        counter: called once.
        tokens: number of tokens of the corpus, or any number >= the grid's width if it has more; longer spans get
            count 0.
        scope: of COUNTS; COPIES has all three.
        kinds: of each token id (`mematlas.features.texts.token_kinds`), None without a tokenizer.

    Raises:
        ValueError: the rows are not of the grid's width.
    """
    if rows.ids.shape != (len(row_ids), grid.width):
        raise ValueError(f"rows must have shape ({len(row_ids)}, {grid.width}), not {rows.ids.shape}")
    counts = _count_spans(rows, grid, counter, tokens)
    return _counts_table(rows, row_ids, counts, SCOPES.index(scope), kinds), _copies_table(rows, row_ids, counts, grid)


def query_ngrams(rows: TokenRows, grid: Grid, tokens: int) -> list[NDArray[np.uint32]]:
    """The n-grams that `count_tables` counts: for each span that fits into a corpus of `tokens`, an array
    [k, stop - start] of the k rows that are long enough."""
    ids = rows.ids.astype(np.uint32)  # the type that an index uses: half the memory
    return [ids[rows.lengths >= stop, start:stop] for start, stop in _query_spans(grid, tokens)]


def _query_spans(grid: Grid, tokens: int) -> list[Span]:
    return [(start, stop) for start, stop in counted_spans(grid) if stop - start <= tokens]


def _cells(grid: Grid) -> Iterator[tuple[int, int]]:
    return ((context, continuation) for context in grid.contexts for continuation in grid.continuations)


def _cell_spans(grid: Grid, context: int, continuation: int) -> tuple[Span, Span]:
    """The continuation of a cell, and its window, which is context and continuation."""
    split = grid.continuation_start(context)
    return (split, split + continuation), (split - context, split + continuation)


def _count_spans(rows: TokenRows, grid: Grid, counter: NGramCounter, tokens: int) -> dict[Span, Ids]:
    """For each span the [3, k] counts of the k rows that are long enough for it."""
    sizes = {span: int((rows.lengths >= span[1]).sum()) for span in counted_spans(grid)}
    span_counts = {span: np.zeros((len(SCOPES), size), np.int64) for span, size in sizes.items()}
    spans = _query_spans(grid, tokens)
    counts = counter.count_scopes(query_ngrams(rows, grid, tokens))
    ends = np.cumsum([sizes[span] for span in spans])
    span_counts.update(zip(spans, np.split(counts, ends[:-1], axis=1), strict=True))
    return span_counts


def _counts_table(
    rows: TokenRows, row_ids: Ids, counts: dict[Span, Ids], scope: int, kinds: NDArray[np.int8] | None
) -> pa.Table:
    columns: dict[str, Any] = {"row": row_ids}
    for name, n in _NGRAM_SIZES.items():
        values = np.zeros(rows.ids.shape, np.int64)
        for end in range(n, rows.ids.shape[1] + 1):
            values[rows.lengths >= end, end - 1] = counts[end - n, end][scope]
        is_null = np.broadcast_to(np.arange(rows.ids.shape[1]) < n - 1, values.shape)
        columns[name] = _list_array(values, is_null, rows.lengths, pa.int64())
    columns["kinds"] = pa.nulls(len(row_ids), COUNTS.field("kinds").type)
    if kinds is not None and len(kinds):
        is_unknown = rows.ids >= len(kinds)
        columns["kinds"] = _list_array(kinds[np.where(is_unknown, 0, rows.ids)], is_unknown, rows.lengths, pa.int8())
    return pa.table(columns, schema=COUNTS)


def _list_array(values: NDArray[Any], is_null: NDArray[np.bool_], lengths: Ids, dtype: pa.DataType) -> pa.ListArray:
    """The first `lengths` values of each row as a list, with nulls where `is_null`."""
    is_token = np.arange(values.shape[1]) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[is_token], dtype, mask=is_null[is_token]))


def _copies_table(rows: TokenRows, row_ids: Ids, counts: dict[Span, Ids], grid: Grid) -> pa.Table:
    """One block of rows per cell."""
    blocks = []
    for context, continuation in _cells(grid):
        spans = dict(zip(("continuation", "window"), _cell_spans(grid, context, continuation), strict=True))
        long_enough = row_ids[rows.lengths >= spans["window"][1]]
        cell = {
            "row": long_enough,
            "context": np.full(len(long_enough), context, np.int32),
            "continuation": np.full(len(long_enough), continuation, np.int32),
        }
        for part, span in spans.items():
            cell |= {f"{part}_{name}": counts[span][index] for index, name in enumerate(SCOPES)}
        blocks.append(pa.table(cell, schema=COPIES))
    return pa.concat_tables(blocks)
