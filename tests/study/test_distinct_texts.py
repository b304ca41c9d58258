"""Which rows are copies of each other, against an oracle that compares the tokens themselves."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mematlas.study.distinct_texts import copied_rows
from mematlas.study.token_hashes import span_hashes


def copies(texts, roles=None, **settings):
    rows = pl.LazyFrame({"row": range(len(texts)), "role": roles or ["train"] * len(texts)})
    tokens = pl.LazyFrame({"row": range(len(texts)), "tokens": pl.Series(texts, dtype=pl.List(pl.Int32))})
    copied = copied_rows(rows, tokens, {"context": [2], "continuation": [1], **settings})
    return {} if copied is None else {tuple(line[:3]): line[3] for line in copied.iter_rows()}


def oracle(texts, roles, contexts, continuations, align):
    """The lowest row of the same role with the same window, of every row that has a copy."""
    found = {}
    for context in contexts:
        start = 0 if align == "start" else max(contexts) - context
        for length in continuations:
            end = start + context + length
            windows = [(role, tuple(text[start:end])) for role, text in zip(roles, texts, strict=True)]
            whole = [len(text) >= end for text in texts]
            for row, window in enumerate(windows):
                same = [other for other, is_whole in enumerate(whole) if is_whole and windows[other] == window]
                if whole[row] and len(same) > 1:
                    found[row, context, length] = same[0]
    return found


ROWS = st.lists(st.tuples(st.sampled_from(["train", "control"]), st.lists(st.integers(0, 1), max_size=6)), max_size=9)


@given(ROWS, st.sampled_from(["start", "end"]))
def test_copies_are_those_that_the_oracle_finds(rows, align):
    roles, texts = [role for role, _ in rows], [text for _, text in rows]
    grid = {"context": [1, 2], "continuation": [1, 3]}
    assert copies(texts, roles, **grid, align=align) == oracle(texts, roles, *grid.values(), align)


def test_rows_that_differ_behind_the_window_are_one_text():
    assert copies([[7, 8, 9, 1], [7, 8, 9, 2], [7, 8, 1, 1]]) == {(0, 2, 1): 0, (1, 2, 1): 0}


def test_the_same_text_in_the_control_is_another_text():
    same = [[1, 2, 3]] * 4
    assert copies(same, ["train", "train", "control", "control"]) == {(row, 2, 1): row - row % 2 for row in range(4)}
    assert copies(same[:2], ["train", "control"]) == {}


def test_rows_without_known_tokens_are_not_told_apart():
    rows = pl.LazyFrame({"row": [0, 1], "role": ["train"] * 2})
    assert copied_rows(rows, None, {"context": [2], "continuation": [1]}) is None
    assert copies([None, None]) == {}
    assert copies([[1, 2], [1, 2]]) == {}  # too short for the cell


def test_the_order_of_tokens_counts():
    hashes = span_hashes(pl.Series([[1, 2, 3], [2, 1, 3], [3, 2, 1]]), [(0, 3)]).struct.field("0")
    assert hashes.n_unique() == 3


@pytest.mark.parametrize("start", [0, 1])
def test_a_span_hashes_alike_wherever_its_row_stands(start):
    texts = pl.Series([[5], [1, 2, 3], None, [0, 2, 3], [1, 2, 3]], dtype=pl.List(pl.Int32))
    hashes = span_hashes(texts, [(start, 3)]).struct.field("0").to_list()
    assert hashes[0] is None
    assert hashes[2] is None
    assert hashes[1] == hashes[4]
    assert (hashes[1] == hashes[3]) == (start == 1)
