"""The OCCURRENCES table against planted copies, and which continuations are located."""

import numpy as np
import polars as pl
import pytest

from mematlas.features.occurrences import (
    MAX_LISTED,
    OccurrenceQuery,
    occurrence_queries,
    occurrences_table,
    recited_cells,
)
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from mematlas.study.schemas.features import OCCURRENCES
from mematlas.types import Grid, Provenance
from tests.index.oracle import Rows

X = [7, 8, 9]


class RowsOfFiles(Rows):
    """Rows with ids 100, 101, ..., each from a file of its own."""

    def row_ids(self, positions):
        return np.asarray(positions) + 100

    def provenance(self, positions):
        provenance = super().provenance(positions)
        return Provenance(provenance.document, [f"{position}.txt" for position in positions], provenance.repetitions)


def query(row, in_corpus=True, offset=2, tokens=X):
    return OccurrenceQuery(row, 2, len(tokens), in_corpus, offset, np.array(tokens))


def locate(rows, *queries, scope="rows", eod=None, joined=False, **options):
    scan = Scan(CorpusStream(rows, None, eod, joined), 1)
    return pl.from_arrow(occurrences_table(scan, rows, queries, scope, **options))


def test_the_rows_own_occurrence_is_left_out_and_the_others_are_listed():
    rows = RowsOfFiles([[1, 2, *X, 4], [5, *X, *X], [1, 2, *X, 6]], [3, 3, None])
    found = locate(rows, query(102))
    assert found.schema == pl.from_arrow(OCCURRENCES.empty_table()).schema
    assert found.select("elsewhere", "place", "corpus_row", "offset", "source").rows() == [
        (3, 1, 100, 2, "0.txt"),
        (3, 2, 101, 1, "1.txt"),
        (3, 3, 101, 4, "1.txt"),
    ]
    assert found.select("document", "stream_document").rows() == [(3, 0), (3, 0), (3, 0)]
    assert found["same_row"].to_list() == [False] * 3
    assert found["training_step"].to_list() == [None] * 3


def test_another_offset_of_the_row_itself_is_another_occurrence():
    found = locate(RowsOfFiles([[1, 2, *X, *X]]), query(100))
    assert found.select("elsewhere", "corpus_row", "offset", "same_row").rows() == [(1, 100, 5, True)]


def test_a_row_that_occurs_nowhere_else_has_one_record_without_an_occurrence():
    found = locate(RowsOfFiles([[1, 2, *X], [3, 4, 5, 6]]), query(100))
    assert found.select("row", "elsewhere", "place", "corpus_row").rows() == [(100, 0, None, None)]


def test_every_occurrence_of_a_control_row_is_listed_even_where_ids_and_offsets_are_equal():
    rows = RowsOfFiles([[1, 2, *X], [3, 4, 5, 6]])
    assert locate(rows, query(900, in_corpus=False))["elsewhere"].to_list() == [1]
    table = locate(rows, query(100, in_corpus=False)).select("elsewhere", "corpus_row", "same_row")
    assert table.rows() == [(1, 100, False)]
    assert locate(rows, query(900, in_corpus=False, tokens=[9, 9])).select("elsewhere", "place").rows() == [(0, None)]


@pytest.mark.parametrize("own", [0, MAX_LISTED, MAX_LISTED + 4])
def test_ten_occurrences_are_listed_and_all_are_counted_wherever_the_rows_own_is(own):
    rows = RowsOfFiles([[1, 2, *X]] * (MAX_LISTED + 5))
    found = locate(rows, query(100 + own))
    assert found["elsewhere"].to_list() == [MAX_LISTED + 4] * MAX_LISTED
    assert found["place"].to_list() == list(range(1, MAX_LISTED + 1))
    assert found["corpus_row"].to_list() == [100 + at for at in range(MAX_LISTED + 5) if at != own][:MAX_LISTED]


def test_a_continuation_across_the_end_of_a_document_is_not_known_within_documents():
    rows = RowsOfFiles([[1, 2, 7, 0, 9], [3, 7, 0, 9]])
    across = query(100, tokens=[7, 0, 9])
    assert locate(rows, across, scope="documents", eod=0).select("elsewhere", "place").rows() == [(None, None)]
    assert locate(rows, across, scope="rows", eod=0).select("elsewhere", "corpus_row").rows() == [(1, 101)]


def test_steps_are_known_where_the_corpus_or_the_user_gives_the_rows_per_step():
    rows = RowsOfFiles([[1, 2, *X], [4, *X]])
    assert locate(rows, query(100), rows_per_step=10)["training_step"].to_list() == [10]
    rows.details["rows_per_step"] = 50
    assert locate(rows, query(100))["training_step"].to_list() == [2]


def test_no_queries_give_an_empty_table():
    assert locate(RowsOfFiles([[1, 2, 3]])).schema == pl.from_arrow(OCCURRENCES.empty_table()).schema


# ------------------------------------------------------------------------------------------------ what is located


def scores(*records):
    names = ("model", "row", "context", "continuation", "matches", "verbatim")
    return pl.LazyFrame(records, schema=dict.fromkeys(names, pl.Int64) | {"model": pl.String}, orient="row")


def test_what_any_of_the_models_recites_is_located_once():
    table = scores(
        ("a", 0, 2, 3, 3, 3),
        ("b", 0, 2, 3, 3, 3),
        ("a", 1, 2, 3, 2, 1),
        ("b", 1, 2, 3, None, 3),
        ("c", 2, 2, 3, 3, 3),
        ("a", 3, 2, 3, None, None),
    )
    rows = pl.LazyFrame({"row": [0, 1, 2, 3], "role": ["train", "control", "train", "train"]})
    found = recited_cells(table, rows, ["a", "b"])
    assert found.rows() == [(0, 2, 3, "train"), (1, 2, 3, "control")]


def test_of_too_many_the_control_rows_come_first_then_a_sample_that_is_always_the_same():
    rows = pl.LazyFrame({"row": range(100), "role": ["control" if row in (50, 99) else "train" for row in range(100)]})
    table = scores(*(("a", row, 2, 3, 3, 3) for row in reversed(range(100))))
    found = recited_cells(table, rows, ["a"], limit=10)
    assert found.height == 10
    assert {50, 99} <= set(found["row"])
    assert found["row"].to_list() != [*range(8), 50, 99]
    assert found.equals(recited_cells(table, rows, ["a"], limit=10))


@pytest.mark.parametrize(("align", "first"), [("start", [3, 4]), ("end", [5, 6])])
def test_a_continuation_starts_where_the_grid_says(align, first):
    ids = np.array([[1, 2, 3, 4, 5, 6], [11, 12, 13, 14, 15, 16]])
    cells = pl.DataFrame({"row": [8, 9], "context": [2, 2], "continuation": [2, 2], "role": ["train", "control"]})
    grid = Grid((2, 4), (2,), align)
    queries = list(occurrence_queries(ids, np.array([6, 5]), np.array([8, 9]), cells, grid))
    assert [query.row for query in queries] == ([8, 9] if align == "start" else [8])
    assert queries[0].tokens.tolist() == first
    assert (queries[0].offset, queries[0].in_corpus) == (first[0] - 1, True)
    assert [query.in_corpus for query in queries[1:]] == [False] * (len(queries) - 1)
