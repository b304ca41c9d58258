"""Both engines against the oracle: any corpus, any boundaries, any n-gram, any division into chunks and shards."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mematlas.errors import IndexFault
from mematlas.index.base import SCOPES
from mematlas.index.building import IndexOptions, build_index
from mematlas.index.folder import StoredStream, open_index
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from tests.index.oracle import Oracle, Rows

EOD = 0
ENGINES = ("scan", "scan of an index", "suffix array")


def engine(kind, rows, folder, *, eod=EOD, joined=False, shard=1 << 20, chunk=1 << 20, threads=1, vocabulary=None):
    if kind == "scan":
        return Scan(CorpusStream(rows, vocabulary, eod, joined), threads, chunk)
    options = IndexOptions("by hand", vocabulary, eod, joined, shard_tokens=shard, workers=1)
    build_index(rows, Path(folder), options)
    return (
        Scan(StoredStream(Path(folder)), threads, chunk) if kind == "scan of an index" else open_index(Path(folder))[0]
    )


def check_answers(index, oracle, ngrams, scope):
    expected = [oracle.positions(ngram, scope) for ngram in ngrams]
    assert index.count(ngrams, scope).tolist() == [len(positions) for positions in expected]
    assert index.contains(ngrams, scope).tolist() == [bool(positions) for positions in expected]
    for limit in (1, 3, 1000):
        results = index.positions(ngrams, limit, scope)
        assert [positions.tolist() for positions in results] == [positions[:limit] for positions in expected]
    assert [documents.tolist() for documents in index.documents(ngrams, scope)] == [
        oracle.documents(ngram, scope) for ngram in ngrams
    ]
    for ngram, following in zip(ngrams, index.next_counts(ngrams, scope), strict=True):
        tokens, counts = following.tokens.tolist(), following.counts.tolist()
        assert dict(zip(tokens, counts, strict=True)) == oracle.next_counts(ngram, scope)
        assert tokens == sorted(tokens)


@st.composite
def corpora(draw):
    """A corpus of few distinct tokens, so that n-grams repeat, overlap and cross boundaries; and some n-grams."""
    alphabet = draw(st.sampled_from([[0, 1], [0, 1, 2, 3], [0, 7, 65535], [0, 5, 65536, 2**32 - 1], [0, 256, 1]]))
    token = st.sampled_from(alphabet)
    rows = draw(st.lists(st.lists(token, min_size=1, max_size=9), min_size=1, max_size=12))
    numbers = draw(st.one_of(st.none(), st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))))
    corpus = Rows(rows, numbers or [])
    if max(alphabet) < 65536 and draw(st.booleans()):
        corpus.details["token_dtype"] = "uint16"
    stream = [token for row in rows for token in row]
    ngrams = []
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(stream) - 1))
        ngrams.append(stream[start : start + draw(st.integers(1, min(8, len(stream))))])
    ngrams += draw(st.lists(st.lists(token, min_size=1, max_size=min(4, len(stream))), max_size=3))
    return corpus, ngrams


@pytest.mark.parametrize("kind", ENGINES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    corpora(),
    st.sampled_from([None, EOD]),
    st.booleans(),
    st.sampled_from([2, 3, 5, 17, 1 << 20]),
    st.sampled_from([1, 4, 7, 1 << 20]),
    st.sampled_from([1, 3]),
)
def test_engines_agree_with_the_oracle(kind, corpus_and_ngrams, eod, joined, shard, chunk, threads):
    rows, ngrams = corpus_and_ngrams
    joined = joined and eod is not None
    with tempfile.TemporaryDirectory() as folder:
        index = engine(kind, rows, folder, eod=eod, joined=joined, shard=shard, chunk=chunk, threads=threads)
        for scope in SCOPES:
            check_answers(index, Oracle(rows, eod, joined), ngrams, scope)


@settings(max_examples=60, deadline=None)
@given(corpora(), st.sampled_from([None, EOD]), st.booleans(), st.integers(1, 5), st.sampled_from([1, 4, 1 << 20]))
def test_counts_of_parts_add_up(corpus_and_ngrams, eod, joined, parts, chunk):
    rows, ngrams = corpus_and_ngrams
    joined = joined and eod is not None
    expected = Scan(CorpusStream(rows, None, eod, joined)).count_scopes(ngrams)
    streams = [CorpusStream(rows, None, eod, joined, (index, parts)) for index in range(parts)]
    assert np.array_equal(sum(Scan(stream, 1, chunk).count_scopes(ngrams) for stream in streams), expected)


def test_a_part_out_of_range_is_refused():
    with pytest.raises(IndexFault, match=r"Part 3 of 3 does not exist; parts run from 0 to 2\."):
        CorpusStream(Rows([[1]]), part=(3, 3))


def test_every_public_name_can_be_imported():
    from mematlas import index

    assert all(getattr(index, name) for name in index.__all__)
