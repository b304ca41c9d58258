"""Tables of all tokens and pairs against the oracle."""

from collections import Counter

import polars as pl
from hypothesis import given, settings

from mematlas.index.base import SCOPES
from mematlas.index.frequencies import bigram_counts, unigram_counts, write_ngram_tables
from mematlas.index.stream import CorpusStream
from tests.index.oracle import Oracle, Rows
from tests.index.test_engines import corpora


class Cut:
    """A stream in chunks of a few tokens, so that pairs cross them."""

    def __init__(self, stream, size):
        self.stream, self.size = stream, size

    def chunks(self, overlap):
        return self.stream.chunks(overlap, self.size)


@settings(max_examples=60, deadline=None)
@given(corpora())
def test_every_pair_is_counted(corpus_and_ngrams):
    rows, _ = corpus_and_ngrams
    oracle = Oracle(rows, 0)
    if max(oracle.tokens) > 10**6:
        return  # a table of all ids up to the highest would not fit
    for size in (1, 4, 1000):
        stream = Cut(CorpusStream(rows, None, 0), size)
        singles = unigram_counts(stream)
        assert {token: count for token, count in enumerate(singles.tolist()) if count} == Counter(oracle.tokens)
        for scope in SCOPES:
            pairs, counts = bigram_counts(stream, scope)
            actual = {tuple(pair): count for pair, count in zip(pairs.T.tolist(), counts.tolist(), strict=True)}
            neighbours = set(zip(oracle.tokens[:-1], oracle.tokens[1:], strict=True))
            expected = {pair: len(oracle.positions(pair, scope)) for pair in neighbours}
            assert actual == {pair: count for pair, count in expected.items() if count}


def test_tables_record_the_scope_of_the_counts(tmp_path):
    stream = CorpusStream(Rows([[1, 2, 1], [2, 9]]), None, None)
    singles, pairs = write_ngram_tables(stream, tmp_path, "rows")
    assert pl.read_parquet(singles).rows() == [(1, 2), (2, 2), (9, 1)]
    assert pl.read_parquet(pairs).rows() == [(1, 2, 1), (2, 1, 1), (2, 9, 1)]
    assert pl.read_parquet_metadata(pairs)["mematlas.scope"] == "rows"


def test_a_pair_across_a_boundary_counts_in_the_stream_only():
    pairs, counts = bigram_counts(CorpusStream(Rows([[5, 6], [7, 8]])), "stream")
    assert dict(zip(map(tuple, pairs.T.tolist()), counts.tolist(), strict=True)) == {(5, 6): 1, (6, 7): 1, (7, 8): 1}
    pairs, _ = bigram_counts(CorpusStream(Rows([[5, 6], [7, 8]])), "rows")
    assert pairs.T.tolist() == [[5, 6], [7, 8]]
