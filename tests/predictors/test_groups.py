"""Rows that must stay together: those of a document, those with 13 tokens in common, and chains of both."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from mematlas.predictors.groups import connected_groups, document_groups, documents_are_known
from mematlas.study.clusters import PIECE_TOKENS


def fresh(count, start):
    return list(range(start, start + count))


@pytest.mark.parametrize(("shared", "is_joined"), [(PIECE_TOKENS, True), (PIECE_TOKENS - 1, False)])
def test_thirteen_tokens_in_common_join_and_twelve_do_not(shared, is_joined):
    passage = fresh(shared, 0)
    texts = [fresh(5, 100) + passage + fresh(7, 200), fresh(9, 300) + passage, passage + fresh(20, 400)]
    assert PIECE_TOKENS == 13
    assert connected_groups("xyz", texts).tolist() == ([0, 0, 0] if is_joined else [0, 1, 2])


def test_the_same_tokens_in_another_order_do_not_join():
    assert connected_groups("xy", [fresh(40, 0), fresh(40, 0)[::-1]]).tolist() == [0, 1]


def test_chains_join_their_ends():
    ab, bc = fresh(13, 0), fresh(13, 50)
    texts = [ab + fresh(5, 100), fresh(30, 200), bc + ab, fresh(5, 300) + bc, []]
    assert connected_groups(["a", "other", "b", "c", "c"], texts).tolist() == [0, 1, 0, 0, 0]  # the last by its key


def test_short_and_absent_texts_join_nothing():
    assert connected_groups("abc", [[1] * 12, [1] * 12, ()]).tolist() == [0, 1, 2]
    assert connected_groups((), ()).tolist() == []


_NEAR = {"row": pl.Int64, "cluster": pl.Int64}


def stub(records, tokens=None, near=None):
    """A stand-in for the part of a study that document_groups reads."""
    schema = {"row": pl.Int64, "role": pl.String, "source": pl.String, "document": pl.Int64}
    rows = pl.LazyFrame(records, schema=schema, orient="row")
    words = pl.LazyFrame(
        {"row": list(tokens or {}), "tokens": list((tokens or {}).values())},
        schema={"row": pl.Int64, "tokens": pl.List(pl.Int32)},
    )
    copies = pl.LazyFrame({"row": list(near or {}), "cluster": list((near or {}).values())}, schema_overrides=_NEAR)
    return SimpleNamespace(
        scan_rows=lambda run: rows,
        feature_kinds=lambda run: ["counts", *["tokens"] * (tokens is not None), *["near"] * (near is not None)],
        scan_features=lambda kind, run: {"tokens": words, "near": copies}[kind],
    )


def test_rows_of_a_document_are_a_group_and_unknown_ones_are_alone():
    records = [
        (5, "train", "a", 1),
        (6, "train", "a", 2),
        (7, "train", "b", 1),  # another source counts its own documents
        (8, "train", "a", 1),
        (9, "control", "a", 1),
        (10, "train", None, 1),
        (11, "train", None, None),
        (12, "train", None, None),
        (13, "train", "b", None),  # of a known source, but of unknown document
        (14, "train", "b", None),
    ]
    groups = document_groups(stub(records), [14, 8, 6, 5, 7, 9, 10, 11, 12, 13])
    assert groups.tolist() == [0, 1, 2, 1, 3, 4, 5, 6, 7, 8]
    assert groups.dtype == np.int64


def test_a_row_given_twice_is_in_one_group():
    records = [(1, "train", None, None), (2, "train", None, None)]
    assert document_groups(stub(records), [1, 2, 1]).tolist() == [0, 1, 0]


def test_texts_join_documents_where_features_are_there():
    records = [
        (1, "train", "s", 1),
        (2, "train", "s", 2),
        (3, "train", "s", 2),
        (4, "train", "s", 4),
        (5, "train", "s", 5),
    ]
    tokens = {1: fresh(20, 0), 3: fresh(20, 7), 4: fresh(20, 8), 2: fresh(20, 90), 99: fresh(40, 0)}
    assert document_groups(stub(records), [1, 2, 3, 4, 5]).tolist() == [0, 1, 1, 2, 3]
    # row 3 shares 13 tokens with row 1 and 19 with row 4; row 5 has no features
    assert document_groups(stub(records, tokens), [1, 2, 3, 4, 5]).tolist() == [0, 0, 0, 0, 1]
    # rows that were not given join nothing: 99 would join 1 and 4
    assert document_groups(stub(records, tokens), [1, 4, 5]).tolist() == [0, 1, 2]


def test_near_copies_are_on_one_side_where_they_are_known():
    records = [(row, "train", "s", row) for row in range(1, 6)]
    tokens = {1: fresh(20, 0), 2: fresh(20, 30), 3: fresh(20, 60), 4: fresh(20, 90)}
    rows = [1, 2, 3, 4, 5]
    assert document_groups(stub(records, tokens), rows).tolist() == [0, 1, 2, 3, 4]
    near = {1: 0, 3: 0, 4: 1, 99: 1, 5: 1}
    assert document_groups(stub(records, tokens, near), rows).tolist() == [0, 1, 0, 2, 2]
    assert document_groups(stub(records, None, near), rows).tolist() == [0, 1, 0, 2, 2]
    assert document_groups(stub(records, tokens, {row: row for row in rows}), rows).tolist() == [0, 1, 2, 3, 4]


def test_documents_are_known_if_the_corpus_names_one():
    assert documents_are_known(stub([(1, "train", "s", None), (2, "train", "s", 4)]))
    assert not documents_are_known(stub([(1, "train", "s", None), (2, "control", "s", 4)]))
