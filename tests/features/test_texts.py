"""The TEXTS table: windows of a grid, text only where there is a decoder, and kinds of tokens."""

import zlib

import numpy as np
import polars as pl
import pytest

from mematlas.features.texts import decoder_and_token_kinds, texts_table, token_kinds
from mematlas.stats.redundancy import distinct_ratio
from mematlas.study.schemas.features import TEXTS, TOKEN_KINDS
from mematlas.types import Encoder, Grid
from tests.byte_level_tokenizer import CHINESE, HINDI, byte_level_encoder

LETTERS = [chr(ord("a") + number) for number in range(26)]


def decode(windows: list[list[int]]) -> list[str]:
    return ["".join(LETTERS[token % 26] for token in window) for window in windows]


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
    texts = decode(ids[:, :32].tolist())
    assert table["bytes"].to_list() == [32] * 20
    assert table["compressed_bytes"].to_list() == [len(zlib.compress(text.encode(), 9)) for text in texts]
    for n in (1, 2, 3):
        assert table[f"distinct_{n}"].to_list() == distinct_ratio(ids[:, :32], n).tolist()


def test_templates_are_found_in_tokens_and_text():
    words = {1: "1 ", 2: "2 ", 3: "3 ", 4: "4 ", 5: "5 ", 6: "6 ", 7: "é"}
    table = pl.from_arrow(
        table_of(
            [[1, 2, 3, 4, 5, 6], [7, 1, 7, 1, 7, 1], [7, 3, 5, 1, 6, 2]],
            decoder=lambda windows: ["".join(words[token] for token in window) for window in windows],
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


@pytest.mark.parametrize("text", [CHINESE, HINDI, "the cat sat on the mat", "naïve café", "👩🏽‍🚀 " * 3])
def test_characters_of_several_tokens_are_whole(tmp_path, text):
    encoder = byte_level_encoder(tmp_path)
    (ids,) = encoder.encode([text])
    assert any("\N{REPLACEMENT CHARACTER}" in token for token in encoder.decode(ids)) is (not text.isascii())
    decoder, kinds = decoder_and_token_kinds(encoder)
    table = pl.from_arrow(table_of([ids], grid=Grid((2,), (len(ids) - 2,)), decoder=decoder))
    assert table["bytes"].item() == len(text.encode())
    assert table["compressed_bytes"].item() == len(zlib.compress(text.encode(), 9))
    assert len(kinds) == encoder.vocabulary


def test_a_character_that_the_window_cuts_is_replaced_and_no_other(tmp_path):
    encoder = byte_level_encoder(tmp_path)
    ids = encoder.encode([CHINESE])[0][:64]  # 21 characters of three bytes, and one byte of the next
    table = pl.from_arrow(table_of([ids], grid=Grid((32,), (32,)), decoder=encoder.decode_windows))
    text = CHINESE[:21] + "\N{REPLACEMENT CHARACTER}"
    assert encoder.decode_windows([ids]) == [text]
    assert table.select("bytes", "compressed_bytes").row(0) == (66, len(zlib.compress(text.encode(), 9)))


def test_a_window_keeps_the_space_that_it_begins_with_and_may_be_empty(tmp_path):
    encoder = byte_level_encoder(tmp_path)
    assert encoder.decode_windows([]) == []
    assert encoder.decode_windows([[], *encoder.encode([" cat", "the cat"])]) == ["", " cat", "the cat"]


def test_without_a_function_for_windows_text_is_null_not_wrong():
    encoder = Encoder("old", "old-1", 3, encode=lambda texts: [], decode=lambda ids: ["a"] * len(ids))
    decoder, kinds = decoder_and_token_kinds(encoder)
    assert decoder is None
    assert len(kinds) == 3
    assert decoder_and_token_kinds(None) == (None, None)


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
