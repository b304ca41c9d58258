"""Shards as one stream: rows that straddle them, and every way in which a set of shards can be incomplete."""

import os
from pathlib import Path

import numpy as np
import pytest

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.formats.pythia import ROW_LENGTH, rows_of_step, step_of
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import packed, write_idx, write_shards

ROWS = [[(row * 7919 + token * 31) % 50_000 for token in range(ROW_LENGTH)] for row in range(7)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven rows in three shards of 5 000.25 tokens: both borders lie within a row, one within a token."""
    shards = write_shards(tmp_path / "pythia", packed(ROWS), 10_001)
    assert len(shards) == 3
    return tmp_path / "pythia"


def test_rows_straddle_shards(folder: Path) -> None:
    corpus = open_corpus(folder)
    assert corpus.format == "pythia"
    assert corpus.read(np.arange(7), ROW_LENGTH).ids.tolist() == ROWS
    assert corpus.read(np.array([4, 2]), 5).ids.tolist() == [ROWS[4][:5], ROWS[2][:5]]
    assert corpus.details == {
        "row_length": ROW_LENGTH,
        "token_dtype": "uint16",
        "shards": 3,
        "rows_per_step": 1024,
        "index": False,
        "dropped_tail_bytes": 0,
        "skipped_files": 0,
        "skipped_names": None,
    }


def test_the_index_says_how_many_rows(folder: Path) -> None:
    write_idx(folder / "document.idx", [ROW_LENGTH] * 7, list(range(8)))
    assert open_corpus(folder).details["index"] is True
    write_idx(folder / "document.idx", [ROW_LENGTH] * 8, list(range(9)))
    with pytest.raises(CorpusError, match=r"declares 8 rows \(32784 bytes\), but the shards have 28686; .* truncated"):
        open_corpus(folder)
    write_idx(folder / "document.idx", [65] * 7, list(range(8)))
    with pytest.raises(CorpusError, match=r"rows of 65 uint16 tokens, not 2049 uint16; .* --row-length 65"):
        open_corpus(folder)


def test_steps() -> None:
    assert rows_of_step(0) == range(0, 1024)
    assert rows_of_step(142_999)[-1] == 146_431_999
    assert [step_of(row) for row in (0, 1023, 1024)] == [0, 0, 1]


def test_a_partial_row_is_dropped_and_counted(tmp_path: Path) -> None:
    write_shards(tmp_path / "p", packed(ROWS) + bytes(11), 10_001)
    corpus = open_corpus(tmp_path / "p")
    assert (len(corpus), corpus.details["dropped_tail_bytes"]) == (7, 11)
    with pytest.raises(CorpusError, match=r"28697 bytes, less than one row of 20000 tokens"):
        open_corpus(tmp_path / "p", options=CorpusOptions(row_length=20_000))


def test_a_missing_shard(folder: Path) -> None:
    (folder / "document-00001-of-00002.bin").unlink()
    with pytest.raises(
        CorpusError, match=r"lacks 1 of 3 shards, the first is document-00001-of-00002\.bin; .* download"
    ):
        open_corpus(folder)


def test_truncated_shards(folder: Path) -> None:
    whole = (folder / "document-00001-of-00002.bin").read_bytes()
    os.truncate(folder / "document-00001-of-00002.bin", 9_000)
    with pytest.raises(CorpusError, match=r"00001-of-00002\.bin has 9000 bytes, the first shard 10001; .* truncated"):
        open_corpus(folder)
    (folder / "document-00001-of-00002.bin").write_bytes(whole)
    os.truncate(folder / "document-00002-of-00002.bin", 0)
    with pytest.raises(CorpusError, match=r"00002-of-00002\.bin has 0 bytes"):
        open_corpus(folder)


def test_two_sets_in_one_folder(folder: Path) -> None:
    (folder / "document-00000-of-00020.bin").write_bytes(b"ab")
    with pytest.raises(CorpusError, match=r"mixes shards of several sets \(of-00002, of-00020\)"):
        open_corpus(folder)
