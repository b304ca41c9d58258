"""What is left out of a corpus is counted in all formats, and named in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.left_out import LeftOut, left_out_line, read_left_out, recorded_left_out
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.row_counts import count_shared_rows, count_short_rows
from mematlas.corpus.row_sets import RowSet
from mematlas.corpus.selection import PositionRange
from tests.corpus.writers import ENCODER


def all_rows(corpus, role="train"):
    return RowSet(role, corpus, PositionRange(0, len(corpus)))


def line_of(path, **options):
    corpus = open_corpus(path, options=CorpusOptions(**options), format=None)
    return left_out_line(read_left_out(corpus.details, len(corpus)))


def write_jsonl(path, lengths, key="tokens"):
    documents = [list(range(1, 1 + length)) if key == "tokens" else "x" * length for length in lengths]
    path.write_text("".join(json.dumps({key: document}) + "\n" for document in documents))
    return path


def test_short_documents_and_ends_of_documents_are_named_with_their_totals(tmp_path):
    path = write_jsonl(tmp_path / "chat.jsonl", [15] * 1000 + [150])
    assert line_of(path, row_length=64, cache=tmp_path / "cache") == (
        "left out: 1,000 of 1,001 documents, shorter than 64 tokens; 15,022 of 15,150 tokens, in those documents and "
        "at the ends of documents, where they fill no row"
    )


def test_text_is_no_different(tmp_path):
    path = write_jsonl(tmp_path / "texts.jsonl", [7, 8, 9], "text")
    assert line_of(path, text_row_length=8, encoder=ENCODER, cache=tmp_path / "cache") == (
        "left out: 1 of 3 documents, shorter than 8 tokens; 8 of 24 tokens, in those documents and at the ends of "
        "documents, where they fill no row"
    )


def test_a_window_of_each_document_keeps_short_documents(tmp_path):
    path = write_jsonl(tmp_path / "chat.jsonl", [3, 3, 20])
    options = {"row_length": 8, "cut": "window", "cache": tmp_path / "cache"}
    assert line_of(path, **options) == "left out: 12 tokens, after the one window of each document"
    corpus = open_corpus(path, options=CorpusOptions(**options))
    assert count_short_rows(all_rows(corpus), 4) == 2


def test_the_end_of_a_headerless_file_is_named(tmp_path):
    np.arange(960, dtype="<u2").tofile(tmp_path / "tokens.bin")
    corpus = open_corpus(
        tmp_path / "tokens.bin", format="memmap", options=CorpusOptions(row_length=77, token_dtype="uint16")
    )
    assert left_out_line(read_left_out(corpus.details, len(corpus)), "control") == (
        "left out of the control: 36 of 960 tokens, at the end of the file, where they fill no row"
    )


def test_where_nothing_is_left_out_there_is_no_line(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(6).reshape(2, 3))
    assert line_of(tmp_path / "rows.npy") is None


def test_files_that_were_not_read_are_named():
    details = {"skipped_files": 2, "skipped_names": "a.png, b.pdf"}
    assert [str(part) for part in read_left_out(details)] == ["2 files, not read (a.png, b.pdf)"]
    assert [str(part) for part in read_left_out({"skipped_files": 1})] == ["1 file, not read"]


def test_bytes_at_the_end_of_the_pythia_shards_are_tokens():
    details = {"row_length": 2049, "dropped_tail_bytes": 22}
    assert [str(part) for part in read_left_out(details, 2)] == [
        "11 of 4,109 tokens, at the end of the file, where they fill no row"
    ]


@pytest.mark.parametrize(
    ("part", "is_over_half"),
    [
        (LeftOut("documents", 5, 10, "short"), False),
        (LeftOut("documents", 6, 10, "short"), True),
        (LeftOut("rows", 6, 10, "short"), True),
        (LeftOut("tokens", 9, 10, "at the end"), False),
        (LeftOut("files", 9, None, "not read"), False),
    ],
)
def test_over_half_is_of_documents_or_rows(part, is_over_half):
    assert part.is_over_half is is_over_half


def test_older_runs_have_the_details_of_their_corpus():
    details = {"row_length": 64, "cut": "rows", "documents": 3, "short_documents": 2, "dropped_tokens": 0}
    assert recorded_left_out({"corpus_details": details}) == {
        "train": [LeftOut("documents", 2, 3, "shorter than 64 tokens")]
    }
    assert recorded_left_out({"corpus_details": details, "left_out": {}}) == {}
    assert recorded_left_out({}) == {}


# --------------------------------------------------------------------------------------------------- over selected rows


def npy(path, rows):
    np.save(path, np.array(rows))
    return open_corpus(path)


def parquet(path, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"tokens": rows}), path)
    return open_corpus(path)


def test_short_rows_are_counted_among_those_selected(tmp_path):
    rows = all_rows(parquet(tmp_path / "rows.parquet", [[1], [1, 2], [1, 2, 3], []]))
    assert [count_short_rows(rows, needed) for needed in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert count_short_rows(replace(rows, positions=PositionRange(1, 3)), 3) == 1


@pytest.mark.parametrize("block_tokens", [1, 4, 1 << 20])
def test_shared_rows_are_equal_over_the_width_of_the_grid(tmp_path, monkeypatch, block_tokens):
    monkeypatch.setattr("mematlas.corpus.row_sets._BLOCK_TOKENS", block_tokens)
    train = all_rows(npy(tmp_path / "train.npy", [[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]]))
    control = all_rows(
        npy(tmp_path / "control.npy", [[5, 6, 7, 0], [5, 6, 7, 1], [1, 2, 0, 0], [9, 9, 9, 9]]), "control"
    )
    assert [count_shared_rows(train, control, width) for width in (2, 3, 4)] == [4, 3, 1]
    assert count_shared_rows(replace(train, positions=PositionRange(0, 1)), control, 2) == 1


def test_rows_of_other_lengths_and_empty_rows_are_not_shared(tmp_path):
    train = all_rows(parquet(tmp_path / "train.parquet", [[1, 2], [], [3, 0]]))
    control = all_rows(parquet(tmp_path / "control.parquet", [[1, 2, 0], [], [3], [1, 2]]), "control")
    assert count_shared_rows(train, control, 3) == 1


@pytest.mark.parametrize("seed", range(3))
def test_shared_rows_are_those_that_a_set_of_rows_has(tmp_path, seed):
    random = np.random.default_rng(seed)
    train, control = random.integers(0, 3, (200, 6)), random.integers(0, 3, (50, 6))
    sets = all_rows(npy(tmp_path / "a.npy", train)), all_rows(npy(tmp_path / "b.npy", control), "control")
    known = set(map(tuple, train[:, :5].tolist()))
    assert count_shared_rows(*sets, 5) == sum(tuple(row) in known for row in control[:, :5].tolist())
