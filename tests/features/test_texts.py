"""The TEXTS table: windows of a grid, text only where there is a decoder, and kinds of tokens."""

import zlib

import numpy as np
import polars as pl
import pytest

from mematlas.features.redundancy import distinct_ratio
from mematlas.features.texts import cached_decode, texts_table, token_kinds
from mematlas.study.schemas.features import TEXTS, TOKEN_KINDS
from mematlas.types import Grid

LETTERS = [chr(ord("a") + number) for number in range(26)]


def decode(ids: list[int]) -> list[str]:
    return [LETTERS[token % 26] for token in ids]


def table_of(ids, lengths=None, grid=None, decoder=decode, rows=None):
    ids = np.array(ids, np.int64)
    lengths = np.full(len(ids), ids.shape[1]) if lengths is None else np.array(lengths)
    rows = np.arange(len(ids)) + 100 if rows is None else np.array(rows)
    for array in (ids, lengths, rows):
        array.flags.writeable = False
    return texts_table(ids, lengths, rows, grid or Grid((2,), (4,)), decoder)


def test_the_schema_is_the_declared_one_even_of_no_row():
    assert table_of([[1, 2, 3, 4, 5, 6]]).schema.equals(TEXTS)
    assert table_of(np.zeros((0, 6))).schema.equals(TEXTS)
    assert table_of(np.zeros((0, 6))).num_rows == 0


def test_a_window_is_context_and_continuation_whatever_the_alignment():
    for align in ("start", "end"):
        table = pl.from_arrow(table_of(np.arange(8)[None, :], grid=Grid((2, 4), (1, 3), align)))
        cells = table.select("context", "continuation").rows()
        assert dict(zip(cells, table["bytes"], strict=True)) == {(2, 1): 3, (2, 3): 5, (4, 1): 5, (4, 3): 7}
    # the tokens themselves: only the end-aligned short context leaves out the row's first, repeated tokens
    row = [[9, 9, 1, 2, 3, 4, 5]]
    ratios = {
        align: pl.from_arrow(table_of(row, grid=Grid((2, 4), (3,), align))).filter(context=2)["distinct_1"].item()
        for align in ("start", "end")
    }
    assert ratios == {"start": 0.8, "end": 1.0}


def test_cells_that_a_row_is_too_short_for_are_left_out():
    table = pl.from_arrow(table_of([[1] * 6, [1] * 6], lengths=[6, 4], grid=Grid((2,), (2, 4))))
    assert table.select("row", "continuation").rows() == [(100, 2), (101, 2), (100, 4)]


def test_numbers_are_those_of_the_window():
    ids = np.random.default_rng(0).integers(0, 5, size=(20, 40))
    table = pl.from_arrow(table_of(ids, grid=Grid((16,), (16,))))
    texts = ["".join(decode(row[:32])) for row in ids.tolist()]
    assert table["bytes"].to_list() == [32] * 20
    assert table["compressed_bytes"].to_list() == [len(zlib.compress(text.encode(), 9)) for text in texts]
    for n in (1, 2, 3):
        assert table[f"distinct_{n}"].to_list() == distinct_ratio(ids[:, :32], n).tolist()


def test_templates_are_found_in_tokens_and_text():
    words = {1: "1 ", 2: "2 ", 3: "3 ", 4: "4 ", 5: "5 ", 6: "6 ", 7: "é"}
    table = pl.from_arrow(
        table_of(
            [[1, 2, 3, 4, 5, 6], [7, 1, 7, 1, 7, 1], [7, 3, 5, 1, 6, 2]], decoder=lambda ids: [words[i] for i in ids]
        )
    )
    assert table["incrementing"].to_list() == [True, False, False]
    assert table["repeating"].to_list() == [False, True, False]
    assert table["bytes"].to_list() == [12, 12, 12]


def test_without_a_decoder_text_is_null_and_nothing_else():
    table = pl.from_arrow(table_of([[1, 2, 1, 2, 1, 2]], decoder=None))
    assert table.select("incrementing", "bytes", "compressed_bytes").row(0) == (None, None, None)
    assert table.select("repeating", "distinct_1").row(0) == (True, pytest.approx(1 / 3))


def test_ratios_of_windows_shorter_than_the_ngram_are_null():
    table = pl.from_arrow(table_of([[1, 2]], grid=Grid((1,), (1,))))
    assert table.select("distinct_1", "distinct_2", "distinct_3").row(0) == (1.0, 1.0, None)


def test_blocks_change_no_number(monkeypatch):
    ids = np.random.default_rng(1).integers(0, 5, size=(30, 8))
    lengths = np.random.default_rng(2).integers(3, 9, size=30)
    grid = Grid((2, 4), (2, 4))
    expected = pl.from_arrow(table_of(ids, lengths, grid)).sort("row", "context", "continuation")
    monkeypatch.setattr("mematlas.features.texts._BLOCK_TOKENS", 50)
    assert pl.from_arrow(table_of(ids, lengths, grid)).sort("row", "context", "continuation").equals(expected)


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"not \(2, 6\), \(1,\) and \(2,\)"):
        table_of(np.zeros((2, 6)), lengths=[6])


def test_no_token_is_decoded_twice():
    decoded = []
    cached = cached_decode(lambda ids: decoded.extend(ids) or decode(ids))
    assert cached([3, 1, 3]) == ["d", "b", "d"]
    assert cached([1, 2, 3]) == ["b", "c", "d"]
    assert decoded == [3, 1, 2]


def test_kinds_of_tokens():
    texts = [
        "the",
        " the",
        "42",
        " 7",
        " ",
        "\n\t",
        "!",
        " ->",
        "a1",
        "don't",
        "",
        "\N{REPLACEMENT CHARACTER}",
        "ß",
        "a b",
    ]
    kinds = token_kinds(len(texts), lambda ids: [texts[token] for token in ids])
    assert kinds.dtype == np.int8
    assert [TOKEN_KINDS[kind] for kind in kinds] == [
        *("letters", "letters", "digits", "digits", "space", "space", "punctuation", "punctuation"),
        *("mixed", "mixed", "mixed", "mixed", "letters", "mixed"),
    ]
