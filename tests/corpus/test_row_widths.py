"""Lengths far beyond the longest row are refused before anything of their size is allocated."""

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mematlas
from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.row_sets import RowSet, longest_row, require_grid
from mematlas.corpus.selection import PositionRange
from mematlas.errors import CorpusError
from mematlas.index.stream import CorpusStream
from mematlas.types import Grid
from tests.corpus.writers import ENCODER, WRITERS, Rows

HUGE = [10**7, 10**8, 10**9]


@pytest.fixture(autouse=True)
def memory_limit() -> "pytest.Generator[None]":  # type: ignore[name-defined]
    """Fails a test that allocates more than 64 MB at any moment."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20, f"{peak} bytes"


def row_set(path: Path, options: CorpusOptions, format: str | None = None) -> RowSet:
    corpus = open_corpus(path, format=format, options=options)
    return RowSet("train", corpus, PositionRange(0, len(corpus)))


def ragged(tmp_path: Path, lengths: list[int]) -> RowSet:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"tokens": [list(range(length)) for length in lengths]}), path)
    return row_set(path, CorpusOptions())


@pytest.mark.parametrize("name", WRITERS)
def test_the_longest_row_of_every_format(tmp_path: Path, rows: Rows, name: str) -> None:
    path, options = WRITERS[name](tmp_path, rows)
    opened = row_set(path, options, name if name == "memmap" else None)
    assert [longest_row(opened, enough) for enough in (1, 8, 9, 10, *HUGE)] == [1, 8, 9, 9, 9, 9, 9]


@pytest.mark.parametrize("seed", range(5))
def test_the_longest_of_ragged_rows(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.choice([0, 1, 63, 64, 65, 128, 700, 3000]) for _ in range(draw.randrange(1, 30))]
    opened = ragged(tmp_path, lengths)
    for enough in (1, 63, 64, 65, 100, 129, 2999, 3001, 10**9):
        assert longest_row(opened, enough) == min(enough, max(lengths))


def test_a_long_row_after_the_first_thousand(tmp_path: Path) -> None:
    opened = ragged(tmp_path, [3] * 2500 + [90] + [3] * 100)
    assert longest_row(opened, 10**9) == 90
    require_grid([opened], Grid((32,), (32, 58)))


@pytest.mark.parametrize("length", [33, 65, *HUGE])
@pytest.mark.parametrize("align", ["start", "end"])
def test_a_context_or_continuation_beyond_all_rows(tmp_path: Path, align: str, length: int) -> None:
    opened = ragged(tmp_path, [64, 20, 40])
    require_grid([opened], Grid((16, 32), (16, 32), align))  # type: ignore[arg-type]
    with pytest.raises(
        CorpusError, match=rf"--continuation {length} needs rows of {32 + length} tokens, but .* has 64"
    ):
        require_grid([opened], Grid((32,), (16, length), align))  # type: ignore[arg-type]
    if length > 33:
        with pytest.raises(
            CorpusError, match=rf"--context {length} needs rows of {32 + length} tokens, .* 64; leave it out, choose a"
        ):
            require_grid([opened], Grid((length,), (32,), align))  # type: ignore[arg-type]


def test_a_length_that_one_of_two_sets_has(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    sets = [ragged(tmp_path, [64]), ragged(tmp_path / "control", [96])]
    require_grid(sets, Grid((32, 64), (32,)))
    with pytest.raises(CorpusError, match=r"--context 65 needs rows of 97 tokens, but the longest .* has 96"):
        require_grid(sets, Grid((32, 65), (32,)))


def parquet(folder: Path) -> tuple[Path, dict[str, object]]:
    pq.write_table(pa.table({"tokens": [list(range(64))] * 20}), folder / "rows.parquet")
    return folder / "rows.parquet", {}


def npy(folder: Path) -> tuple[Path, dict[str, object]]:
    np.save(folder / "rows.npy", np.tile(np.arange(64), (20, 1)))
    return folder / "rows.npy", {}


def json_lines(folder: Path) -> tuple[Path, dict[str, object]]:
    (folder / "rows.jsonl").write_text((json.dumps({"tokens": list(range(64))}) + "\n") * 20)
    return folder / "rows.jsonl", {}


def memmap(folder: Path) -> tuple[Path, dict[str, object]]:
    (folder / "rows.bin").write_bytes(np.tile(np.arange(64, dtype="<u2"), 20).tobytes())
    return folder / "rows.bin", {"format": "memmap", "row_length": 64, "token_dtype": "uint16"}


@pytest.mark.parametrize("length", HUGE)
@pytest.mark.parametrize("option", ["context", "continuation"])
@pytest.mark.parametrize("write", [parquet, npy, json_lines, memmap])
@pytest.mark.parametrize("others", [[], [16]])
def test_scoring_refuses_them(
    tmp_path: Path,
    write: Callable[[Path], tuple[Path, dict[str, object]]],
    option: str,
    length: int,
    others: list[int],
) -> None:
    path, options = write(tmp_path)
    options |= {"context": [16], "continuation": [16], option: [*others, length]}
    with pytest.raises(CorpusError) as caught:
        mematlas.score("uniform:64", corpus=str(path), study=tmp_path / "study", cache=tmp_path / "cache", **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert f"{length + 16}" in message
    assert "64" in message
    assert not (tmp_path / "study" / "runs").exists()


@pytest.mark.parametrize("length", HUGE)
@pytest.mark.parametrize("cut", ["rows", "window"])
def test_text_rows_of_that_length(tmp_path: Path, cut: str, length: int) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "abcdefg"}\n' * 20)
    options = CorpusOptions(row_length=length, cut=cut, encoder=ENCODER, cache=tmp_path / "cache")  # type: ignore[arg-type]
    if cut == "rows":
        with pytest.raises(CorpusError, match=rf"has no row: none of its 20 documents has {length} tokens"):
            open_corpus(tmp_path / "a.jsonl", options=options)
        return
    opened = row_set(tmp_path / "a.jsonl", options)
    assert longest_row(opened, length) == 7
    (chunk,) = CorpusStream(opened.corpus, vocabulary=128).chunks(0)  # of an index
    assert len(chunk.tokens) == 7 * 20
