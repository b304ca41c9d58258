"""The stream and the array under every binary format, against a plain list; memory use stays flat."""

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.reading.bytestream import BLOCK_ROWS, OPEN_FILES, ByteStream, FileArray
from mematlas.errors import CorpusError


def files_of(folder: Path, content: bytes, cuts: list[int]) -> list[Path]:
    """`content` as several files; equal cuts make empty ones."""
    borders = [0, *sorted(cuts), len(content)]
    paths = []
    for number, (start, stop) in enumerate(itertools.pairwise(borders)):
        paths.append(folder / f"part-{number}")
        paths[-1].write_bytes(content[start:stop])
    return paths


CONTENT = bytes(range(200))


@given(
    cuts=st.lists(st.integers(0, 200), max_size=5),
    spans=st.lists(st.tuples(st.integers(0, 96), st.integers(0, 20)), min_size=1, max_size=30),
    width=st.integers(1, 24),
)
def test_gather_agrees_with_a_list(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], spans: list[tuple[int, int]], width: int
) -> None:
    array = FileArray(ByteStream(files_of(tmp_path_factory.mktemp("parts"), CONTENT, cuts)), "<u2", skip=3)
    tokens = np.frombuffer(CONTENT[3:199], "<u2").tolist()
    assert len(array) == 98
    spans = [(start, min(length, 98 - start)) for start, length in spans]
    found = array.gather(np.array([s for s, _ in spans]), np.array([n for _, n in spans]), width)
    wanted = [(tokens[s : s + n][:width] + [0] * width)[:width] for s, n in spans]
    assert found.tolist() == wanted


def test_more_rows_than_a_block_and_far_apart(tmp_path: Path) -> None:
    values = np.arange(300_000, dtype="<u4")
    (tmp_path / "values").write_bytes(values.tobytes())
    array = FileArray(ByteStream([tmp_path / "values"]), "<u4")
    at = np.random.default_rng(1).integers(0, len(values), BLOCK_ROWS * 2 + 3)
    assert (array.take(at) == at).all()
    assert np.concatenate(list(array.chunks(70_001))).tolist() == values.tolist()


def test_where_the_system_cannot_read_into_a_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "values").write_bytes(np.arange(5000, dtype="<u2").tobytes())
    monkeypatch.delattr(os, "preadv")
    array = FileArray(ByteStream([tmp_path / "values"]), "<u2")
    assert array.slice(7, 10).tolist() == [7, 8, 9]
    assert array.gather(np.array([4000, 1]), np.array([2, 3]), 3).tolist() == [[4000, 4001, 0], [1, 2, 3]]


def test_what_was_sliced_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "values").write_bytes(bytes(8))
    with pytest.raises(ValueError, match="read-only"):
        FileArray(ByteStream([tmp_path / "values"]), "<u2").slice(0, 4)[0] = 1


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    count = OPEN_FILES + 20
    stream = ByteStream(files_of(tmp_path, bytes(range(count)), list(range(1, count))))
    assert stream.read(0, count) == stream.read(0, count) == bytes(range(count))


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "shrinks"
    path.write_bytes(bytes(100))
    stream = ByteStream([path])
    os.truncate(path, 40)
    with pytest.raises(CorpusError, match=r"shrinks ends at byte 40, but had 100 bytes when .* start again"):
        stream.read(10, 60)
    with pytest.raises(CorpusError, match="ends before byte 130"):
        ByteStream([path]).read(0, 130)


def resident_bytes() -> int:
    """Resident memory of this process, from /proc."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and needs sparse files")
def test_memory_stays_flat(tmp_path: Path) -> None:
    path, row = tmp_path / "sparse.bin", np.arange(1, 2050, dtype="<u2").tobytes()
    rows = 3 * (1 << 30) // len(row)
    with path.open("wb") as file:
        file.write(row)
        file.seek((rows - 1) * len(row))
        file.write(row)
    options = CorpusOptions(row_length=2049, token_dtype="uint16")
    before = resident_bytes()
    corpus = open_corpus(path, format="memmap", options=options)
    read = corpus.read(np.array([0, rows // 2, rows - 1]), 3)
    for start in range(0, 20_000, 5_000):  # 80 MB of the file
        corpus.read(np.arange(start, start + 5_000), 64)
    assert read.ids.tolist() == [[1, 2, 3], [0, 0, 0], [1, 2, 3]]
    assert resident_bytes() - before < 200 << 20
