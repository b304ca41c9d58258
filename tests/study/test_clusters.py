"""Clusters of rows: documents, and copies and near-copies, against an oracle that compares every two rows."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mematlas.study import clusters
from mematlas.study.clusters import PIECE_TOKENS, cluster_rows, join_copies, join_near_copies, number_by_appearance


def oracle(labels, texts, shared=0.0):
    """Join two rows at a time until nothing changes."""
    groups = list(labels)
    pieces = [{tuple(text[i : i + 13]) for i in range(len(text) - 12)} for text in texts]
    while True:
        before = list(groups)
        for a in range(len(groups)):
            for b in range(len(groups)):
                common = len(pieces[a] & pieces[b])
                if groups[a] == groups[b] or (common > 0 and common >= shared * min(len(pieces[a]), len(pieces[b]))):
                    low = min(groups[a], groups[b])
                    groups = [low if group in (groups[a], groups[b]) else group for group in groups]
        if groups == before:
            return number_by_appearance(np.array(groups)).tolist()


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 1), max_size=16)), min_size=1, max_size=7))
def test_rows_are_joined_as_the_oracle_joins_them(rows):
    labels = np.unique([key for key, _ in rows], return_inverse=True)[1]
    texts = [text for _, text in rows]
    assert number_by_appearance(join_copies(labels, texts)).tolist() == oracle(labels, texts)


@given(st.lists(st.lists(st.integers(0, 1), max_size=40), min_size=1, max_size=7), st.sampled_from([0.1, 0.5, 1.0]))
def test_rows_of_many_common_pieces_are_joined_as_the_oracle_joins_them(texts, shared):
    labels = np.arange(len(texts))
    assert number_by_appearance(join_copies(labels, texts, shared)).tolist() == oracle(labels, texts, shared)


def test_texts_with_a_set_phrase_are_independent_and_copies_are_not(monkeypatch):
    monkeypatch.setattr(clusters, "_BLOCK_ROWS", 2)
    random = np.random.default_rng(0)
    texts = [random.integers(0, 1000, 60).tolist() for _ in range(5)]
    for text in texts[:4]:
        text[5:20] = range(15)
    texts[4] = texts[1][:30]
    assert join_copies(np.arange(5), texts).tolist() == [0] * 5
    assert number_by_appearance(join_copies(np.arange(5), texts, 0.5)).tolist() == [0, 1, 2, 3, 1]


def rows_of(documents, roles=None):
    count = len(documents)
    columns = {"row": range(count), "role": roles or ["train"] * count, "source": ["f"] * count}
    return pl.LazyFrame({**columns, "document": pl.Series(documents, dtype=pl.Int64)})


def test_rows_of_one_document_are_a_cluster_and_those_of_none_are_their_own():
    assert cluster_rows(rows_of([7, 7, None, 3, None, 7]))["cluster"].to_list() == [0, 0, 1, 2, 3, 0]
    assert cluster_rows(rows_of([1, 1, 1], ["train", "train", "control"]))["cluster"].to_list() == [0, 0, 1]


def test_independent_rows_have_no_clusters():
    assert cluster_rows(rows_of([None, None])) is None
    assert cluster_rows(rows_of([1, 2, 3])) is None
    assert cluster_rows(rows_of([])) is None


def test_documents_with_a_common_piece_of_13_tokens_are_joined():
    random = np.random.default_rng(0)
    texts = [random.integers(0, 1000, 30).tolist() for _ in range(5)]
    texts[3][10 : 10 + PIECE_TOKENS] = texts[1][2 : 2 + PIECE_TOKENS]
    texts[4][: PIECE_TOKENS - 1] = texts[2][: PIECE_TOKENS - 1]
    tokens = pl.LazyFrame({"row": range(5), "tokens": texts})
    assert cluster_rows(rows_of([None] * 5), tokens)["cluster"].to_list() == [0, 1, 2, 1, 3]
    without_one = tokens.filter(pl.col("row") != 3)
    assert cluster_rows(rows_of([None] * 5), without_one) is None


def test_above_the_limit_only_whole_rows_are_compared(monkeypatch):
    monkeypatch.setattr(clusters, "MAX_PIECES", 10)
    whole, shifted = list(range(20)), list(range(1, 21))
    assert join_copies(np.arange(4), [whole, shifted, whole, [5]]).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("texts", [[None, None], [[1] * 12, [1] * 12], [[], []]])
def test_rows_too_short_for_a_piece_are_not_joined(texts):
    assert join_copies(np.arange(2), texts).tolist() == [0, 1]


def near_of(numbers):
    return pl.LazyFrame(
        {"row": numbers.keys(), "cluster": numbers.values()}, schema={"row": pl.Int64, "cluster": pl.Int64}
    )


def test_rows_that_near_copies_connect_are_joined_with_their_documents():
    rows = rows_of([1, 1, 2, None, None, 3], ["train", "train", "train", "train", "control", "train"])
    near = near_of({0: 7, 2: 7, 3: 9, 4: 9, 5: 8, 40: 8})  # row 40 is not among these
    assert cluster_rows(rows, near=near)["cluster"].to_list() == [0, 0, 0, 1, 1, 2]
    assert cluster_rows(rows_of([None] * 3), near=near_of({0: 4, 1: 5, 2: 6})) is None, "no near-copies join nothing"


def test_near_copies_without_a_common_piece_of_13_tokens_are_joined_where_they_are_known():
    """Rows of 12 tokens are too short for a piece; one with another last token is a near-copy (J = 7 / 9)."""
    from mematlas.features.near_copies import near_copies

    texts = [list(range(20)), [*range(11), 99, *range(12, 20)], list(range(12)), [*range(50, 62)], list(range(12))]
    tokens = pl.LazyFrame({"row": range(5), "tokens": texts})
    found = near_copies(tokens.collect()["tokens"], np.ones(5, bool)).with_columns(row=pl.int_range(pl.len()))
    rows = rows_of([None] * 5)
    assert cluster_rows(rows, tokens) is None
    assert cluster_rows(rows, tokens, near=found.lazy())["cluster"].to_list() == [0, 1, 2, 3, 2]


@pytest.mark.parametrize("seed", range(3))
def test_joined_near_copies_are_the_connected_components(seed):
    random = np.random.default_rng(seed)
    labels, cluster = random.integers(0, 12, 30), random.integers(0, 25, 30)
    known = random.random(30) < 0.7
    near = near_of({int(row): int(cluster[row]) for row in np.flatnonzero(known)})
    joined = join_near_copies(labels, pl.Series(range(30)), near)
    expected = np.arange(30)
    for _ in range(30):
        for one in range(30):
            for other in range(30):
                if labels[one] == labels[other] or (known[one] and known[other] and cluster[one] == cluster[other]):
                    expected[one] = expected[other] = min(expected[one], expected[other])
    assert number_by_appearance(joined).tolist() == number_by_appearance(expected).tolist()
    assert join_near_copies(labels, pl.Series(range(30)), None) is labels
