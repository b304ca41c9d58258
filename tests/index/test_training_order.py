"""A corpus in training order: rows that training happened to show side by side are no neighbours in the corpus."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mematlas.corpus.training_order import TrainingOrder
from mematlas.index.base import SCOPES
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from tests.index.oracle import Rows

EOD = 0


def shown(rows, order):
    return TrainingOrder(rows, np.array(order, np.int64), "by hand")


def counts(rows, ngram, eod=None, joined=False):
    scopes = Scan(CorpusStream(rows, None, eod, joined)).count_scopes([ngram])[:, 0]
    return dict(zip(SCOPES, scopes.tolist(), strict=True))


def test_rows_of_one_document_that_stand_apart_in_the_file_are_not_joined():
    """4 9 stands once in the document; a row that ends with 4 happened to be shown before one that begins with 9."""
    rows = Rows([[1, 2, 3, 4], [5, 5, 5, 5], [9, 8, 8, 8], [4, 9, 1, 1]], [7, 7, 7, 7])
    assert counts(rows, [4, 9])["documents"] == 1
    assert counts(shown(rows, [0, 2, 3, 1]), [4, 9]) == {"rows": 1, "documents": 1, "stream": 2}
    rows = Rows([[1, 2, 3, 4], [5, 5, 5, 5], [9, 1, 1, 1]], [7, 7, 7])
    assert counts(shown(rows, [0, 2, 1]), [4, 9]) == {"rows": 0, "documents": 0, "stream": 1}
    assert counts(shown(rows, [0, 2, 1]), [4, 9], EOD, joined=True)["documents"] == 0


def test_rows_that_are_shown_in_the_order_of_the_file_are_joined_each_time():
    rows = Rows([[1, 4], [9, 2], [4, 9]], [7, 7, 8])
    assert counts(shown(rows, [2, 0, 1, 0, 1]), [4, 9]) == {"rows": 1, "documents": 3, "stream": 3}
    assert counts(shown(rows, [0, 0, 1, 1]), [9, 2, 9, 2])["documents"] == 0


def test_a_row_without_tokens_between_neighbours_separates_nothing():
    rows = Rows([[1, 4], [], [9, 2]], [7, 7, 7])
    assert counts(shown(rows, [0, 1, 2]), [4, 9])["documents"] == 1
    assert counts(shown(rows, [0, 2, 1]), [4, 9])["documents"] == 0
    assert counts(shown(rows, [0, 1, 1, 2]), [4, 9])["documents"] == 0


class OrderedOracle:
    """Every token of the stream with the number of its document, by the definition."""

    def __init__(self, rows, order, eod, joined):
        self.tokens, self.documents = [], []
        document, latest = -1, None  # latest: index in the order of the last row that has tokens
        for place, position in enumerate(order):
            follows = latest is not None and all(order[at] == order[at - 1] + 1 for at in range(latest + 1, place + 1))
            is_same = latest is not None and rows.documents[position] is not None
            is_same = is_same and rows.documents[position] == rows.documents[order[latest]]
            for offset, token in enumerate(rows.rows[position]):
                is_after_eod = eod is not None and bool(self.tokens) and self.tokens[-1] == eod
                if (offset == 0 and not (follows and (joined or is_same))) or is_after_eod:
                    document += 1
                self.tokens.append(token)
                self.documents.append(document)
            latest = place if rows.rows[position] else latest

    def count(self, ngram):
        n = len(ngram)
        return sum(
            self.tokens[at : at + n] == list(ngram) and len(set(self.documents[at : at + n])) == 1
            for at in range(len(self.tokens) - n + 1)
        )


@st.composite
def orders(draw):
    token = st.sampled_from([0, 1, 2])
    rows = draw(st.lists(st.lists(token, max_size=4), min_size=1, max_size=6))
    rows[0] = rows[0] or [1]
    documents = draw(st.lists(st.sampled_from([None, 0, 1]), min_size=len(rows), max_size=len(rows)))
    order = [*draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)), 0, *range(len(rows))]
    return Rows(rows, documents), order


@pytest.mark.parametrize("joined", [False, True])
@settings(max_examples=150, deadline=None)
@given(orders(), st.sampled_from([None, EOD]), st.integers(1, 4), st.sampled_from([1, 4, 1 << 20]))
def test_counts_are_those_of_the_definition_in_any_parts(joined, rows_and_order, eod, parts, chunk):
    rows, order = rows_and_order
    eod = EOD if joined else eod
    oracle = OrderedOracle(rows, order, eod, joined)
    ngrams = [[a, b] for a in range(3) for b in range(3) if len(oracle.tokens) > 1]
    streams = [CorpusStream(shown(rows, order), None, eod, joined, (part, parts)) for part in range(parts)]
    found = sum(Scan(stream, 1, chunk).count_scopes(ngrams) for stream in streams)
    assert found[SCOPES.index("documents")].tolist() == [oracle.count(ngram) for ngram in ngrams]
