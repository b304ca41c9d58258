"""Places told as row, offset and document, against the oracle, whatever the pieces are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mematlas.index.base import SCOPES
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from tests.index.oracle import Oracle, Rows
from tests.index.test_engines import EOD, corpora


def told(oracle: Oracle, places: list[int]) -> list[tuple[int, int, int, int]]:
    """(position, row, offset in the row, document) of each place."""
    return [
        (place, oracle.row_of[place], place - oracle.row_of.index(oracle.row_of[place]), oracle.document_of[place])
        for place in places
    ]


@settings(max_examples=120, deadline=None)
@given(corpora(), st.sampled_from([None, EOD]), st.booleans(), st.sampled_from([1, 4, 7, 1 << 20]), st.integers(1, 3))
def test_places_are_those_of_the_oracle(made, eod, joined, piece, threads):
    rows, ngrams = made
    joined = joined and eod is not None
    oracle, scan = Oracle(rows, eod, joined), Scan(CorpusStream(rows, None, eod, joined), threads, piece)
    for scope in SCOPES:
        for limit in (1, 3, 1000):
            for ngram, found in zip(ngrams, scan.places(ngrams, limit, scope), strict=True):
                expected = oracle.places(ngram, scope)
                columns = (found.positions, found.rows, found.offsets, found.documents)
                assert (
                    list(zip(*(column.tolist() for column in columns), strict=True)) == told(oracle, expected)[:limit]
                )
                assert found.count == len(expected)


@pytest.mark.parametrize("piece", [1, 3, 5, 100])
def test_an_offset_is_counted_from_the_start_of_a_row_that_an_earlier_piece_began(piece):
    rows = Rows([[5, 6, 7, 8, 9, 1, 2, 3, 4, 8, 9], [8, 9, 7, 7, 7, 8, 9]])
    (found,) = Scan(CorpusStream(rows), 1, piece).places(np.array([[8, 9]]), 10, "rows")
    assert found.rows.tolist() == [0, 0, 1, 1]
    assert found.offsets.tolist() == [3, 9, 0, 5]
    assert found.documents.tolist() == [0, 0, 1, 1]
    assert found.positions.tolist() == [3, 9, 11, 16]
    assert found.count == 4
