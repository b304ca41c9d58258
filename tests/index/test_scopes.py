"""One planted n-gram: a copy inside a document, one across a document boundary, one across a row boundary."""

import numpy as np
import pytest

from mematlas.errors import IndexFault
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from tests.index.oracle import Rows
from tests.index.test_engines import ENGINES, engine

PLANTED = [7, 8, 9]
EOD = 0
#: 7 8 9 inside a document; 7 | 8 9 across two rows of one document
ROWS = Rows([[1, 7, 8, 9, 2, 3], [4, 5, 7], [8, 9, 5], [6, 7, 8]], [0, 1, 1, 2])
ROWS_WITH_EOD = Rows([[1, 7, 8, 9, 2, 0, 3], [4, 7, 8, 0, 9], [5, 6, 7], [8, 9, 6]], [0, 1, 2, 2])


@pytest.mark.parametrize("kind", ENGINES)
def test_a_planted_ngram_counts_as_the_scopes_say(kind, tmp_path):
    index = engine(kind, ROWS, tmp_path, eod=None)
    counts = {scope: int(index.count([PLANTED], scope)[0]) for scope in ("rows", "documents", "stream")}
    assert counts == {"rows": 1, "documents": 2, "stream": 2}
    rows = Rows([[7, 8, 9, 1, 7], [8, 9, 2, 7, 8], [9, 3]], [0, 0, 1])  # inside; over a row; over a document too
    index = engine(kind, rows, tmp_path / "other", eod=None)
    counts = {scope: int(index.count([PLANTED], scope)[0]) for scope in ("rows", "documents", "stream")}
    assert counts == {"rows": 1, "documents": 2, "stream": 3}


@pytest.mark.parametrize("kind", ENGINES)
def test_an_end_of_document_token_is_a_boundary_inside_a_row(kind, tmp_path):
    across = [8, EOD, 9]
    with_eod = engine(kind, ROWS_WITH_EOD, tmp_path / "eod", eod=EOD)
    without = engine(kind, ROWS_WITH_EOD, tmp_path / "none", eod=None)
    assert [int(with_eod.count([across], scope)[0]) for scope in ("rows", "documents", "stream")] == [1, 0, 1]
    assert [int(without.count([across], scope)[0]) for scope in ("rows", "documents", "stream")] == [1, 1, 1]
    assert int(with_eod.count([[2, EOD]], "documents")[0]) == 1, "the token belongs to the document that it ends"


@pytest.mark.parametrize("kind", ENGINES)
def test_documents_continue_through_joined_rows(kind, tmp_path):
    rows = Rows([[1, 7, 8], [9, 0, 7], [8, 9, 2]])
    separate = engine(kind, rows, tmp_path / "separate", eod=EOD)
    joined = engine(kind, rows, tmp_path / "joined", eod=EOD, joined=True)
    assert int(separate.count([PLANTED], "documents")[0]) == 0
    assert int(joined.count([PLANTED], "documents")[0]) == 2
    assert int(joined.count([PLANTED], "rows")[0]) == 0
    assert [found.tolist() for found in joined.documents([PLANTED])] == [[0, 1]]


def test_joined_rows_without_a_token_that_ends_documents_are_refused():
    with pytest.raises(IndexFault, match=r"Joined rows need the end-of-document token, .*: --eod ID\."):
        CorpusStream(ROWS, joined=True)


def test_an_end_of_document_token_outside_the_vocabulary_is_refused():
    with pytest.raises(IndexFault, match=r"--eod 12 is outside the vocabulary, 0 to 9; name one of its ids\."):
        CorpusStream(ROWS, 10, 12)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    ("ngrams", "scope", "message"),
    [
        ([[1], []], "rows", r"An empty n-gram cannot be searched for; give at least one token\."),
        ([[1, 10]], "rows", r"The token id 10 is outside the vocabulary, 0 to 9; were the ids made with the index's"),
        ([[1, -1]], "rows", r"The token id -1 is outside the vocabulary, 0 to 9"),
        ([[1] * 16], "stream", r"An n-gram of 16 tokens is longer than the corpus \(15\); shorten it\."),
        ([[1]], "books", r"This index does not support the scope 'books'; choose one of: rows, documents, stream\."),
        ([[0.5]], "rows", r"N-grams are token ids, not float64 values; encode the text first\."),
    ],
)
def test_invalid_queries_are_refused(kind, tmp_path, ngrams, scope, message):
    index = engine(kind, ROWS, tmp_path, eod=None, vocabulary=10)
    for query in (index.count, index.contains, index.documents, index.next_counts):
        with pytest.raises(IndexFault, match=message):
            query(ngrams, scope)
    with pytest.raises(IndexFault, match=message):
        index.positions(ngrams, 3, scope)


@pytest.mark.parametrize("kind", ENGINES)
def test_no_queries_give_no_results(kind, tmp_path):
    index = engine(kind, ROWS, tmp_path, eod=None)
    assert index.count([]).tolist() == []
    assert index.positions([], 1) == index.documents([]) == index.next_counts([]) == []
    assert index.count(np.zeros((0, 3), np.int64)).tolist() == []


def test_a_token_of_the_corpus_outside_the_vocabulary_is_reported():
    with pytest.raises(
        IndexFault, match=r"The corpus contains the token 9, outside the vocabulary, 0 to 8; name the token"
    ):
        Scan(CorpusStream(ROWS, 9)).count([[1]])


def test_equal_hashes_are_distinguished():
    """A Thue-Morse word and its complement have one polynomial hash modulo 2^64, whatever the odd multiplier."""
    from mematlas.index.matching import NGramMatcher

    word = np.array([bin(place).count("1") % 2 for place in range(2048)], np.uint32)
    both = NGramMatcher(np.stack([word, 1 - word]))
    assert len(set(both._table.keys.tolist())) == 1, "no collision: the test tests nothing"
    assert len(both) == 2
    tokens = np.concatenate([1 - word, [5], word, [5], 1 - word]).astype(np.uint32)
    none, total = np.zeros(0, np.int64), np.zeros((3, 2), np.int64)
    both.count(tokens, len(tokens), none, none, total)
    assert total[2][both.inverse].tolist() == [1, 2]
    single = NGramMatcher(word[None])
    assert np.flatnonzero(single.match(tokens, len(tokens)) >= 0).tolist() == [2049]


def test_long_windows_are_counted_one_by_one():
    from mematlas.index.matching import NGramMatcher

    random = np.random.default_rng(5)
    tokens = random.integers(0, 2, 5000).astype(np.uint32)
    tokens[::7] += 70000
    windows = np.lib.stride_tricks.sliding_window_view(tokens, 9)
    matcher = NGramMatcher(windows[::3])
    total = np.zeros((3, len(matcher)), np.int64)
    none = np.zeros(0, np.int64)
    matcher.count(tokens, len(tokens), none, none, total)
    distinct, counts = np.unique(windows, axis=0, return_counts=True)
    expected = {tuple(window): count for window, count in zip(distinct.tolist(), counts.tolist(), strict=True)}
    assert total[2][matcher.inverse].tolist() == [expected[tuple(window)] for window in windows[::3].tolist()]
    assert len(matcher) == len({tuple(window) for window in windows[::3].tolist()})


@pytest.mark.parametrize("kind", ENGINES)
def test_arrays_of_ngrams_may_be_mixed_with_single_ones(kind, tmp_path):
    index = engine(kind, ROWS, tmp_path, eod=None)
    mixed = [np.array([[7, 8], [8, 9]]), [7], np.array([[8, 9, 5], [7, 8, 9]]), [8, 9], np.zeros((0, 4), np.int64)]
    single = [[7, 8], [8, 9], [7], [8, 9, 5], [7, 8, 9], [8, 9]]
    assert index.count(mixed, "stream").tolist() == index.count(single, "stream").tolist() == [3, 2, 3, 1, 2, 2]
    assert index.count(np.array([[7, 8], [8, 9]]), "stream").tolist() == [3, 2]


def test_a_lower_bound_of_the_length_does_not_read_the_whole_corpus():
    class Counting(Rows):
        def read(self, positions, width):
            read.append(len(positions))
            return super().read(positions, width)

    read: list[int] = []
    stream = CorpusStream(Counting([[1, 2, 3]] * 20_000, details={"row_length": 3}))
    assert stream.length(5) >= 5
    assert sum(read) < 2000
    assert stream.length(10**6) == 60_000
