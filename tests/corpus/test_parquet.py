"""Parquet: every list type, ragged rows, several files and row groups; at most one batch is in memory."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.formats import parquet as parquet_format
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, text_of

RAGGED = [[row * 10 + token for token in range(row % 5)] for row in range(23)]


def rows_of(corpus: Corpus, positions: list[int] | None = None) -> list[list[int]]:
    read = corpus.read(np.array(list(range(len(corpus))) if positions is None else positions), 40)
    return [row[:length] for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("of_type", [pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.uint16())])
def test_ragged_lists(tmp_path: Path, of_type: pa.DataType) -> None:
    table = pa.table({"input_ids": pa.array(RAGGED, of_type)})
    pq.write_table(table, tmp_path / "rows", row_group_size=4)
    corpus = open_corpus(tmp_path / "rows")
    assert corpus.format == "parquet"
    assert rows_of(corpus) == RAGGED
    assert rows_of(corpus, [22, 3, 3, 11]) == [RAGGED[22], RAGGED[3], RAGGED[3], RAGGED[11]]
    assert corpus.details == {"column": "input_ids", "own_row_ids": False}


def test_fixed_size_lists(tmp_path: Path) -> None:
    rows = [[n, n + 1, n + 2] for n in range(9)]
    pq.write_table(pa.table({"Tokens": pa.array(rows, pa.list_(pa.int32(), 3))}), tmp_path / "rows.parquet")
    corpus = open_corpus(tmp_path / "rows.parquet")
    assert rows_of(corpus) == rows
    assert corpus.read(np.array([4]), 2).ids.tolist() == [[4, 5]]


def columns_of(start: int, stop: int) -> pa.Table:
    numbers = list(range(start, stop))
    return pa.table(
        {
            "index": pa.array([n * 1000 + 7 for n in numbers], pa.int64()),
            "token_ids": pa.array([[n, n] for n in numbers], pa.list_(pa.int32())),
            "document": pa.array([n // 3 for n in numbers], pa.uint32()),
            "source": pa.array([None if n == 5 else f"set-{n % 2}" for n in numbers]).dictionary_encode(),
            "repetitions": pa.array([None if n == 6 else 1 << n for n in numbers], pa.int16()),
        }
    )


@pytest.mark.parametrize("name", ["", "*.parquet"])
def test_a_folder_or_a_glob_with_ids_and_provenance(tmp_path: Path, name: str) -> None:
    for start, stop in [(0, 6), (6, 7), (7, 14)]:
        pq.write_table(columns_of(start, stop), tmp_path / f"train-{start:03}.parquet", row_group_size=4)
    corpus = open_corpus(tmp_path / name)
    positions = np.array([13, 5, 6, 5, 0])
    assert rows_of(corpus, positions.tolist()) == [[13, 13], [5, 5], [6, 6], [5, 5], [0, 0]]
    assert corpus.row_ids(positions).tolist() == [13007, 5007, 6007, 5007, 7]
    provenance = corpus.provenance(positions)
    assert provenance.document == [4, 1, 2, 1, 0]
    assert provenance.source == ["set-1", None, "set-0", None, "set-0"]
    assert provenance.repetitions == [1 << 13, 32, None, 32, 1]
    assert corpus.details["own_row_ids"] is True


def test_batches_within_a_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_format, "BATCH_ROWS", 3)
    pq.write_table(pa.table({"tokens": RAGGED}), tmp_path / "rows.parquet")
    corpus = open_corpus(tmp_path / "rows.parquet")
    for positions in ([0, 1], [2, 3, 4], [22], [1], list(range(23)), [5, 21, 6, 0]):
        assert rows_of(corpus, positions) == [RAGGED[position] for position in positions]


def test_memory_holds_a_batch_not_a_column(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(0, 50_000, 20_000 * 512).astype(np.int32)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(tokens), 512)  # 41 MB in one row group
    pq.write_table(pa.table({"tokens": rows}), tmp_path / "rows.parquet", use_dictionary=False)
    del rows
    corpus = open_corpus(tmp_path / "rows.parquet")
    before = pa.total_allocated_bytes()
    read = corpus.read(np.array([0, 19_999]), 512)
    assert (read.ids[1] == tokens[-512:]).all()
    assert pa.total_allocated_bytes() - before < 20 << 20


def test_text_and_long_tokens_are_cut(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["abcde", "f", "ghij"], pa.large_string()), "tokens": [[1, 2, 3], [4], [5, 6]]})
    pq.write_table(table, tmp_path / "rows.parquet")
    options = CorpusOptions(row_length=2, encoder=ENCODER, cache=tmp_path / "cache", column="text")
    corpus = open_corpus(tmp_path / "rows.parquet", options=options)
    assert [text_of(row) for row in rows_of(corpus)] == ["ab", "cd", "gh", "ij"]
    assert corpus.provenance(np.arange(4)).document == [0, 0, 2, 2]
    tokens = open_corpus(tmp_path / "rows.parquet", options=CorpusOptions(row_length=2, cache=tmp_path / "cache"))
    assert rows_of(tokens) == [[1, 2], [5, 6]]
    assert tokens.details["dropped_tokens"] == 2


@pytest.mark.parametrize("size", [4, 150, -1, -5])
def test_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"tokens": RAGGED}), path)
    os.truncate(path, size % path.stat().st_size)
    with pytest.raises(
        CorpusError, match=r"rows\.parquet is not readable as Parquet \(.*\); it is damaged or truncated"
    ):
        open_corpus(path)


def test_damaged_pages(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"tokens": RAGGED}), path)
    content = bytearray(path.read_bytes())
    content[4:120] = bytes(116)
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="is not readable as Parquet"):
        rows_of(open_corpus(path))


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ({"tokens": [[1.5]]}, None, r"the column 'tokens' is list<.*double>; it must be text or a list of integers"),
        ({"tokens": [3]}, None, r"the column 'tokens' is int64; .* name another: --column"),
        ({"tokens": [[1]]}, "tokns", r"no column 'tokns'\. Did you mean 'tokens'\? It has: tokens"),
        ({"a": [[1]], "b": [1]}, None, r"none of the columns tokens, .*; it has: a, b; name"),
        ({"tokens": pa.array([], pa.list_(pa.int32()))}, None, r"has no row; a corpus needs at least one"),
    ],
)
def test_tables_that_are_no_corpus(tmp_path: Path, table: dict[str, object], column: str | None, message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / "rows.parquet", options=CorpusOptions(column=column))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1], None], r"has null instead of tokens"),
        ([[1], [None]], r"has null instead of tokens"),
        ([[1], [4, -3]], r"Row 1 has the token -3; token ids are 0 or more"),
    ],
)
def test_values_that_are_no_tokens(tmp_path: Path, rows: list[object], message: str) -> None:
    pq.write_table(pa.table({"tokens": rows}), tmp_path / "rows.parquet")
    with pytest.raises(CorpusError, match=message):
        rows_of(open_corpus(tmp_path / "rows.parquet"))
    cut = CorpusOptions(row_length=1, cache=tmp_path / "cache")
    with pytest.raises(CorpusError, match=message.replace("Row 1 ", "")):
        open_corpus(tmp_path / "rows.parquet", options=cut)


def test_null_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "rows.parquet")
    options = CorpusOptions(row_length=1, encoder=ENCODER, cache=tmp_path / "cache")
    with pytest.raises(CorpusError, match="has null instead of text"):
        open_corpus(tmp_path / "rows.parquet", options=options)


def test_files_of_other_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"tokens": [[1]]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"ids": [[1]]}), tmp_path / "b.parquet")
    with pytest.raises(
        CorpusError, match=r"b\.parquet has other columns than .*a\.parquet: \['ids'\], not \['tokens'\]"
    ):
        open_corpus(tmp_path)
