"""The loops in numpy give what the compiled ones give, and the oracle's answers, on any corpus."""

import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mematlas.index import loops, suffix_arrays
from mematlas.index.base import SCOPES
from mematlas.index.compiled import matching as compiled_matching
from mematlas.index.compiled import suffixes as compiled_suffixes
from mematlas.index.matching import NGramMatcher
from mematlas.index.plain import matching, suffixes
from mematlas.index.suffix_arrays import suffix_order
from tests.index import test_scopes
from tests.index.oracle import Oracle
from tests.index.test_engines import EOD, check_answers, corpora, engine


@pytest.fixture(scope="module", autouse=True)
def without_compiled_loops():
    """What `loops` chooses where numba and pydivsufsort are not installed."""
    assert loops.matching is compiled_matching
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "matching", matching)
        patch.setattr(loops, "suffixes", suffixes)
        patch.setattr(suffix_arrays, "find_spec", lambda name: None)
        yield


def test_the_two_have_the_same_functions():
    for plain, compiled in ((matching, compiled_matching), (suffixes, compiled_suffixes)):
        public = {name for name in dir(plain) if callable(getattr(plain, name)) and name[0] in "cfim"}
        assert public
        assert public <= set(dir(compiled))


@pytest.mark.parametrize("kind", ["scan", "suffix array"])
@settings(max_examples=12, deadline=None)
@given(corpora(), st.sampled_from([None, EOD]), st.booleans(), st.sampled_from([2, 5, 1 << 20]))
def test_engines_agree_with_the_oracle(kind, corpus_and_ngrams, eod, joined, size):
    rows, ngrams = corpus_and_ngrams
    joined = joined and eod is not None
    with tempfile.TemporaryDirectory() as folder:
        index = engine(kind, rows, folder, eod=eod, joined=joined, shard=size, chunk=size)
        for scope in SCOPES:
            check_answers(index, Oracle(rows, eod, joined), ngrams, scope)


@pytest.mark.parametrize("test", ["equal_hashes_are_distinguished", "long_windows_are_counted_one_by_one"])
def test_matching_passes_the_tests_of_the_compiled_loops(test):
    assert loops.matching is matching
    getattr(test_scopes, f"test_{test}")()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
def test_counts_and_matches_are_those_of_the_compiled_loops(n):
    rng = np.random.default_rng(n)
    tokens = rng.integers(0, 3, 4000).astype(np.uint32)
    tokens[::9] += 2**31
    starts = rng.integers(0, len(tokens) - n, 50)
    ngrams = np.concatenate([np.lib.stride_tricks.sliding_window_view(tokens, n)[starts], np.full((2, n), 8)])
    rows, documents = np.arange(0, 4000, 17), np.arange(0, 4000, 210)
    answers = []
    for chosen in (matching, compiled_matching):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loops, "matching", chosen)
            matcher = NGramMatcher(ngrams.astype(np.uint32))
            totals = np.zeros((3, len(matcher)), np.int64)
            matcher.count(tokens, 3900, rows, documents, totals)
            matches = [matcher.match(tokens, length) for length in (3900, 4000)]
            answers.append((len(matcher), totals[:, matcher.inverse].tolist(), matches, matcher._table.ngrams))
    (size, totals, found, texts), (expected_size, expected, expected_found, expected_texts) = answers
    assert (size, totals) == (expected_size, expected)
    assert np.array(totals)[2].max() >= 1
    for ours, theirs in zip(found, expected_found, strict=True):
        assert np.array_equal(ours >= 0, theirs >= 0)
        assert np.array_equal(texts[ours[ours >= 0]], expected_texts[theirs[theirs >= 0]])


TOKENS = st.lists(st.sampled_from([0, 1, 2, 255, 256, 65534]), max_size=60)


@settings(max_examples=100, deadline=None)
@given(TOKENS, st.booleans(), st.sampled_from([np.uint16, np.uint32]))
def test_suffixes_are_sorted_as_by_the_library(values, by_bytes, dtype):
    tokens = np.array(values, dtype)
    order = suffix_order(tokens, by_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suffix_arrays, "find_spec", lambda name: "found")
        expected = suffix_order(tokens, by_bytes) if len(tokens) else []
    assert order.tolist() == list(expected)


@settings(max_examples=100, deadline=None)
@given(TOKENS.filter(len), st.booleans(), st.sampled_from([np.uint16, np.uint32]), st.sampled_from([None, 3, 5]))
def test_intervals_and_checks_are_those_of_the_compiled_loops(values, by_bytes, dtype, width):
    """On sorted tables, on ones with two entries exchanged, and on ones that point beyond the tokens."""
    tokens = np.array(values, dtype)
    table = suffix_order(tokens, by_bytes).astype("<u4")
    unit = tokens.itemsize if width else 1

    def stored(entries):
        bytes_ = (entries.astype("<i8") * unit).view(np.uint8).reshape(-1, 8)
        return np.ascontiguousarray(bytes_[:, :width]) if width else entries

    queries = [tokens[start : start + 2] for start in range(len(tokens) - 1)] + [np.array([1, 7], dtype)]
    ngrams = np.unique(np.array(queries, np.uint32), axis=0)
    found, expected = np.zeros((2, 2, len(ngrams)), np.int64)
    suffixes.intervals(tokens, stored(table), unit, by_bytes, ngrams, found)
    compiled_suffixes.intervals(tokens, stored(table), unit, by_bytes, ngrams, expected)
    assert found.tolist() == expected.tolist()
    starts = np.arange(0, len(tokens), 3)
    counts, expected_counts = np.zeros((2, len(ngrams)), np.int64)
    suffixes.count_inside(stored(table), unit, 5, found, starts, 2, counts)
    compiled_suffixes.count_inside(stored(table), unit, 5, found, starts, 2, expected_counts)
    assert counts.tolist() == expected_counts.tolist()
    beyond, exchanged, repeated = table.copy(), table.copy(), table.copy()
    beyond[len(table) // 2] = len(tokens) + 3
    exchanged[[0, -1]] = exchanged[[-1, 0]]
    repeated[-1] = repeated[0]
    for entries in (table, beyond, exchanged, repeated):
        arguments = (tokens, stored(entries), unit, by_bytes)
        assert suffixes.first_unsorted(*arguments) == compiled_suffixes.first_unsorted(*arguments)
    assert suffixes.first_unsorted(tokens, stored(table), unit, by_bytes) == -1


def test_blocks_of_a_table_are_checked_at_their_borders(monkeypatch):
    tokens = np.arange(20, dtype=np.uint16)
    table = np.arange(20, dtype="<u4")
    monkeypatch.setattr(suffixes, "_BLOCK", 4)
    monkeypatch.setattr(matching, "_BLOCK", 4)
    assert suffixes.first_unsorted(tokens, table, 1, False) == -1
    for wrong in range(1, 20):
        broken = table.copy()
        broken[wrong] = 0
        assert suffixes.first_unsorted(tokens, broken, 1, False) == wrong
    matcher = NGramMatcher(np.array([[3, 4], [18, 19], [0, 1]], np.uint32))
    starts = np.flatnonzero(matcher.match(tokens.astype(np.uint32), 20) >= 0)
    assert starts.tolist() == [0, 3, 18]
