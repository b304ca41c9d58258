"""The COUNTS and COPIES tables against a scan of lists, for any scope, alignment, boundaries and lengths."""

import numpy as np
import polars as pl
import pytest

from mematlas.errors import IndexFault
from mematlas.features.counts import count_tables, counted_spans
from mematlas.index.base import SCOPES
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from mematlas.study.schemas.features import COPIES, COUNTS, TOKEN_KINDS
from mematlas.types import Grid, TokenRows
from tests.index.oracle import Oracle, Rows

EOD = 0
GRID = Grid((2, 4), (1, 3))


def corpus(seed=0, documents=False):
    """Ragged rows of few distinct tokens, so that n-grams recur, across boundaries too."""
    random = np.random.default_rng(seed)
    rows = [random.integers(0, 4, random.integers(1, 12)).tolist() for _ in range(25)]
    rows += [rows[3], rows[3], rows[7]]
    return Rows(rows, np.sort(random.integers(0, 9, len(rows))).tolist() if documents else [])


def scored(rows, width):
    """Rows as a corpus reads them, in read-only arrays."""
    token_rows = Rows(rows).read(range(len(rows)), width)
    for array in (token_rows.ids, token_rows.lengths):
        array.flags.writeable = False
    return token_rows


def count(rows, ids, source, grid=GRID, scope="documents", kinds=None, eod=EOD, joined=False, **scan):
    stream = CorpusStream(source, None, eod, joined)
    tables = count_tables(
        scored(rows, grid.width), np.array(ids), grid, Scan(stream, **scan), sum(map(len, source.rows)), scope, kinds
    )
    assert tables[0].schema.equals(COUNTS)
    assert tables[1].schema.equals(COPIES)
    return pl.from_arrow(tables[0]), pl.from_arrow(tables[1])


def expected_lists(oracle, row, n, scope):
    return [None if end < n else len(oracle.positions(row[end - n : end], scope)) for end in range(1, len(row) + 1)]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("align", ["start", "end"])
@pytest.mark.parametrize(("eod", "joined", "documents"), [(None, False, True), (EOD, False, True), (EOD, True, False)])
def test_counts_and_copies_are_those_of_a_list_scan(scope, align, eod, joined, documents):
    source = corpus(documents=documents)
    oracle = Oracle(source, eod, joined)
    grid = Grid(GRID.contexts, GRID.continuations, align)
    control = [[3, 3, 2, 2, 1, 1, 0], [9, 9, 9]]
    rows = [*source.rows[2:9], *control]
    ids = [100 - number for number in range(len(rows))]
    counts, copies = count(rows, ids, source, grid, scope, eod=eod, joined=joined)
    assert counts["row"].to_list() == ids
    for row, record in zip(rows, counts.iter_rows(named=True), strict=True):
        for name, n in (("unigrams", 1), ("bigrams", 2), ("trigrams", 3)):
            assert record[name] == expected_lists(oracle, row[: grid.width], n, scope)
    starts = {
        (row_id, context, continuation): (row, grid.continuation_start(context))
        for row_id, row in zip(ids, rows, strict=True)
        for context in grid.contexts
        for continuation in grid.continuations
        if len(row) >= grid.continuation_start(context) + continuation
    }
    assert set(copies.select("row", "context", "continuation").rows()) == set(starts)
    for record in copies.iter_rows(named=True):
        row, start = starts[record["row"], record["context"], record["continuation"]]
        stop = start + record["continuation"]
        for name in SCOPES:
            assert record[f"continuation_{name}"] == len(oracle.positions(row[start:stop], name))
            assert record[f"window_{name}"] == len(oracle.positions(row[start - record["context"] : stop], name))


def test_a_copy_across_a_boundary_counts_as_the_scopes_say():
    # "1 2 3 4 5" inside a row, across rows of one document, and across documents
    source = Rows([[1, 2, 3, 4, 5], [7, 1, 2, 3], [4, 5, 7, 1, 2], [3, 4, 5, 8]], [0, 1, 1, 2])
    _, copies = count([[1, 2, 3, 4, 5]], [6], source, Grid((2,), (3,)), eod=None)
    assert copies.row(0, named=True) == {
        "row": 6,
        "context": 2,
        "continuation": 3,
        "continuation_rows": 2,
        "continuation_documents": 3,
        "continuation_stream": 3,
        "window_rows": 1,
        "window_documents": 2,
        "window_stream": 3,
    }
    within = {scope: count([[1, 2, 3, 4, 5]], [6], source, Grid((2,), (3,)), scope, eod=None)[0] for scope in SCOPES}
    assert {scope: frame["trigrams"].item().to_list() for scope, frame in within.items()} == {
        "rows": [None, None, 2, 1, 2],
        "documents": [None, None, 2, 2, 3],
        "stream": [None, None, 3, 3, 3],
    }


def test_chunks_threads_and_groups_of_rows_change_no_number():
    source = corpus(seed=1, documents=True)
    expected = count(source.rows, range(28), source)
    for options in ({"chunk_tokens": 5}, {"chunk_tokens": 11, "threads": 3}, {"threads": 2}):
        assert all(a.equals(b) for a, b in zip(expected, count(source.rows, range(28), source, **options), strict=True))
    parts = [count(source.rows[start : start + 9], range(28)[start : start + 9], source) for start in range(0, 28, 9)]
    assert pl.concat(part[0] for part in parts).equals(expected[0])
    keys = ("row", "context", "continuation")
    assert pl.concat(part[1] for part in parts).sort(keys).equals(expected[1].sort(keys))


def test_all_arrays_of_n_grams_are_counted_in_one_pass():
    source, read = corpus(seed=2), []
    scan = Scan(CorpusStream(source, None, EOD), on_tokens=read.append)
    arrays = [np.array([[1], [2], [1]]), np.zeros((0, 2), int), np.array([[1, 2, 3]]), np.array([[3, 1, 2], [1, 2, 3]])]
    counts = scan.count_scopes(arrays)
    assert sum(read) == sum(map(len, source.rows))
    assert np.array_equal(counts, np.concatenate([scan.count_scopes(array) for array in arrays], axis=1))
    with pytest.raises(IndexFault, match="longer than the corpus"):
        scan.count_scopes([np.ones((1, 999), int)])


def test_spans_longer_than_the_corpus_count_zero():
    counts, copies = count([[5, 6, 5, 6, 5, 6, 5]], [1], Rows([[5, 6, 7, 5]]))
    assert counts["bigrams"].item().to_list() == [None, 1, 0, 1, 0, 1, 0]
    assert copies.filter(context=4, continuation=3).select("window_stream", "continuation_stream").row(0) == (0, 0)
    assert copies.filter(context=2, continuation=1).select("window_stream", "continuation_stream").row(0) == (0, 2)


def test_spans_that_cells_share_are_counted_once():
    spans = counted_spans(Grid((2, 4), (1, 3)))
    assert len(spans) == len(set(spans))
    assert {(0, 7), (4, 7), (2, 5), (0, 5), (0, 3), (2, 3)} <= set(spans)  # windows, continuations
    assert {(0, 1), (6, 7), (5, 7), (0, 2)} <= set(spans)  # n-grams
    assert (2, 5) in spans
    assert (2, 7) not in spans
    assert (2, 7) in counted_spans(Grid((2, 4), (3,), "end"))


def test_kinds_are_those_of_the_tokens_and_null_where_unknown():
    kinds = np.array([TOKEN_KINDS.index(name) for name in ("space", "letters", "digits")], np.int8)
    source = Rows([[1, 2, 0, 3, 1, 1, 1], [2, 1]])
    counts, _ = count(source.rows, [0, 1], source, kinds=kinds)
    assert counts["kinds"].to_list() == [[0, 1, 2, None, 0, 0, 0], [1, 0]]
    counts, _ = count(source.rows, [0, 1], source, kinds=None)
    assert counts["kinds"].to_list() == [None, None]


def test_no_row_gives_empty_tables_and_a_wrong_width_is_an_error():
    counts, copies = count([], np.zeros(0, np.int64), corpus())
    assert (counts.height, copies.height) == (0, 0)
    rows = TokenRows(np.ones((2, 6), np.int64), np.array([6, 6]))
    with pytest.raises(ValueError, match=r"shape \(2, 7\), not \(2, 6\)"):
        count_tables(rows, np.arange(2), GRID, Scan(CorpusStream(corpus())), 99, "rows", None)
