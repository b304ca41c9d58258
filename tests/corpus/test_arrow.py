"""Single Arrow files: as `datasets` writes them, the file format, compressed, several; damage is one line."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, text_of

ROWS = [[row * 10 + token for token in range(row % 5)] for row in range(23)]


def rows_of(corpus: Corpus, positions: list[int] | None = None) -> list[list[int]]:
    read = corpus.read(np.array(list(range(len(corpus))) if positions is None else positions), 40)
    return [row[:length] for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


def write_stream(path: Path, table: pa.Table, rows: int = 5) -> Path:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def write_file(path: Path, table: pa.Table, compression: str | None = None) -> Path:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=5)
    return path


def test_the_file_of_a_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"input_ids": ROWS, "row": list(range(100, 123))}).save_to_disk(str(tmp_path / "saved"))
    (file,) = (tmp_path / "saved").glob("*.arrow")
    corpus = open_corpus(file)
    assert corpus.format == "arrow"
    assert rows_of(corpus) == ROWS
    assert rows_of(corpus, [22, 3, 3, 0]) == [ROWS[22], ROWS[3], ROWS[3], ROWS[0]]
    assert corpus.row_ids(np.array([4, 1])).tolist() == [104, 101]


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_the_file_format(tmp_path: Path, compression: str | None) -> None:
    table = pa.table({"tokens": pa.array(ROWS, pa.large_list(pa.uint16()))})
    corpus = open_corpus(write_file(tmp_path / "rows", table, compression))
    assert corpus.format == "arrow"
    assert rows_of(corpus) == ROWS
    assert rows_of(corpus, [20, 1]) == [ROWS[20], ROWS[1]]
    feather.write_feather(table, tmp_path / "rows.feather")
    assert rows_of(open_corpus(tmp_path / "rows.feather")) == ROWS


def test_text_and_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for name, text in (("b.arrow", ["xyzw"]), ("a.arrow", ["abc", "de"])):
        write_stream(
            folder / name, pa.table({"text": pa.array(text).dictionary_encode(), "source": [name] * len(text)})
        )
    (folder / "cache.lock").write_bytes(b"")
    options = CorpusOptions(row_length=3, cut="window", encoder=ENCODER, cache=tmp_path / "cache")
    corpus = open_corpus(folder, options=options)
    assert [text_of(row) for row in rows_of(corpus)] == ["abc", "de", "xyz"]
    assert corpus.provenance(np.array([0, 2])).source == ["a.arrow", "b.arrow"]
    assert (corpus.details["skipped_files"], corpus.details["skipped_names"]) == (1, "cache.lock")
    write_stream(folder / "c.arrow", pa.table({"text": ["abc"]}))
    with pytest.raises(CorpusError, match=r"c\.arrow has other columns than .*a\.arrow: \['text'\], not"):
        open_corpus(folder, options=options)


def test_damaged_files(tmp_path: Path) -> None:
    table = pa.table({"tokens": ROWS})
    path = write_stream(tmp_path / "a.arrow", table)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"\xff\xff\xff\xff" + content[:40], b"not Arrow at all"):
        path.write_bytes(damaged)
        with pytest.raises(CorpusError, match=r"a\.arrow is not readable as Arrow \(.*\); it is damaged or truncated"):
            open_corpus(path, format="arrow")
    write_stream(path, table.slice(0, 0))
    with pytest.raises(CorpusError, match=r"a\.arrow has no row; a corpus needs at least one"):
        open_corpus(path)


def test_tokens_that_begin_like_a_stream(tmp_path: Path) -> None:
    (tmp_path / "tokens.bin").write_bytes(b"\xff\xff\xff\xff" + bytes(range(200)))
    with pytest.raises(CorpusError, match="has no signature of a known format"):
        open_corpus(tmp_path / "tokens.bin")
