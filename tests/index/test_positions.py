"""Occurrences with row, offset and document, against the oracle, whatever the chunk size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mematlas.index.base import SCOPES
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from tests.index.oracle import Oracle, Rows
from tests.index.test_engines import EOD, corpora


def located(oracle: Oracle, positions: list[int]) -> list[tuple[int, int, int, int]]:
    """(position, row, offset in the row, document) of each position."""
    rows = [oracle.row_of[position] for position in positions]
    return [
        (position, row, position - oracle.row_of.index(row), oracle.document_of[position])
        for position, row in zip(positions, rows, strict=True)
    ]


@settings(max_examples=120, deadline=None)
@given(corpora(), st.sampled_from([None, EOD]), st.booleans(), st.sampled_from([1, 4, 7, 1 << 20]), st.integers(1, 3))
def test_occurrences_are_those_of_the_oracle(corpus_and_ngrams, eod, joined, chunk_tokens, threads):
    rows, ngrams = corpus_and_ngrams
    joined = joined and eod is not None
    oracle, scan = Oracle(rows, eod, joined), Scan(CorpusStream(rows, None, eod, joined), threads, chunk_tokens)
    for scope in SCOPES:
        for limit in (1, 3, 1000):
            for ngram, occurrences in zip(ngrams, scan.occurrences(ngrams, limit, scope), strict=True):
                positions = oracle.positions(ngram, scope)
                columns = (occurrences.positions, occurrences.rows, occurrences.offsets, occurrences.documents)
                actual = list(zip(*(column.tolist() for column in columns), strict=True))
                assert actual == located(oracle, positions)[:limit]
                assert occurrences.count == len(positions)


@pytest.mark.parametrize("chunk_tokens", [1, 3, 5, 100])
def test_an_offset_is_counted_from_the_start_of_a_row_that_an_earlier_chunk_began(chunk_tokens):
    rows = Rows([[5, 6, 7, 8, 9, 1, 2, 3, 4, 8, 9], [8, 9, 7, 7, 7, 8, 9]])
    (occurrences,) = Scan(CorpusStream(rows), 1, chunk_tokens).occurrences(np.array([[8, 9]]), 10, "rows")
    assert occurrences.rows.tolist() == [0, 0, 1, 1]
    assert occurrences.offsets.tolist() == [3, 9, 0, 5]
    assert occurrences.documents.tolist() == [0, 0, 1, 1]
    assert occurrences.positions.tolist() == [3, 9, 11, 16]
    assert occurrences.count == 4
