"""The contract of every format in FORMATS, including those of other packages."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.formats import FORMATS
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import WRITERS, Rows

Opened = tuple[Corpus, Path, CorpusOptions]
Open = Callable[[str], Opened]


@pytest.fixture
def open_as(tmp_path: Path, rows: Rows) -> Open:
    """Writes `rows` in a format and opens them; the format is given only if it cannot be detected."""

    def opened(name: str) -> Opened:
        path, options = WRITERS[name](tmp_path, rows)
        return open_corpus(path, format=name if name == "memmap" else None, options=options), path, options

    return opened


def expected(rows: Rows, positions: list[int], width: int) -> tuple[Rows, list[int]]:
    """The oracle: lists, truncated and padded one by one."""
    taken = [rows[position][:width] for position in positions]
    return [row + [0] * (width - len(row)) for row in taken], [len(row) for row in taken]


def test_each_format_has_a_writer() -> None:
    assert set(WRITERS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
class TestFormat:
    def test_is_detected_and_named(self, name: str, open_as: Open, rows: Rows) -> None:
        corpus, _, _ = open_as(name)
        assert corpus.format == name
        assert FORMATS.load(name).name == name
        assert len(corpus) == len(rows)

    @pytest.mark.parametrize("width", [1, 4, 9, 30])
    def test_reads_what_a_list_would(self, name: str, open_as: Open, rows: Rows, width: int) -> None:
        corpus, _, _ = open_as(name)
        draw = np.random.default_rng(width)
        for positions in ([], [0], [36, 0, 36], [8, 7, 6, 7], draw.integers(0, 37, 80).tolist(), list(range(37))):
            read = corpus.read(np.array(positions, dtype=np.int64), width)
            ids, lengths = expected(rows, positions, width)
            assert read.ids.shape == (len(positions), width)
            assert read.ids.dtype == read.lengths.dtype == np.int64
            assert read.ids.tolist() == ids
            assert read.lengths.tolist() == lengths

    def test_ids_and_provenance_have_one_entry_a_row(self, name: str, open_as: Open) -> None:
        corpus, _, _ = open_as(name)
        positions = np.array([3, 3, 30, 0])
        assert corpus.row_ids(positions).tolist() == [3, 3, 30, 0]
        provenance = corpus.provenance(positions)
        assert [len(provenance.document), len(provenance.source), len(provenance.repetitions)] == [4, 4, 4]

    def test_refuses_positions_outside(self, name: str, open_as: Open) -> None:
        corpus, _, _ = open_as(name)
        for position in (-1, 37):
            for ask in (corpus.row_ids, corpus.provenance, lambda at: corpus.read(at, 2)):
                with pytest.raises(ValueError, match=r"0 \.\. 36"):
                    ask(np.array([position]))
        with pytest.raises(ValueError, match="width must be positive"):
            corpus.read(np.array([0]), 0)

    def test_fingerprint_follows_content_not_place(self, name: str, open_as: Open, rows: Rows, tmp_path: Path) -> None:
        corpus, path, options = open_as(name)
        elsewhere, changed = tmp_path / "elsewhere", tmp_path / "changed"
        elsewhere.mkdir()
        changed.mkdir()
        for part in [part for part in tmp_path.iterdir() if part not in (elsewhere, changed)]:
            (shutil.copytree if part.is_dir() else shutil.copy)(part, elsewhere / part.name)
        moved = open_corpus(elsewhere / path.relative_to(tmp_path), format=name, options=options)
        assert moved.fingerprint == corpus.fingerprint
        rows[20][4] ^= 1
        other, options = WRITERS[name](changed, rows)
        assert open_corpus(other, format=name, options=options).fingerprint != corpus.fingerprint

    @pytest.mark.parametrize("row_length", [7, 40])
    def test_every_token_is_in_a_row_or_counted(self, name: str, tmp_path: Path, rows: Rows, row_length: int) -> None:
        if name in ("npy", "megatron"):  # their rows are as long as the file says
            pytest.skip("takes no other row length")
        path, options = WRITERS[name](tmp_path, [[token for row in rows for token in row]])
        corpus = open_corpus(
            path, format=name if name == "memmap" else None, options=replace(options, row_length=row_length)
        )
        kept = int(corpus.read(np.arange(len(corpus)), row_length).lengths.sum())
        dropped = [corpus.details.get(detail, 0) for detail in ("dropped_tokens", "dropped_tail_tokens")]
        dropped.append(corpus.details.get("dropped_tail_bytes", 0) // 2)  # type: ignore[operator]
        assert sum(dropped) == 9 * 37 - kept > 0  # type: ignore[arg-type]

    def test_details_are_plain(self, name: str, open_as: Open) -> None:
        corpus, _, _ = open_as(name)
        assert all(type(value) in (int, str, bool, type(None)) for value in corpus.details.values())

    def test_absent_and_empty(self, name: str, tmp_path: Path) -> None:
        _, options = WRITERS[name](tmp_path, [[97, 98, 99]])
        with pytest.raises(CorpusError, match=r"There is no file|has no shard|neither a folder|cannot be opened"):
            open_corpus(tmp_path / "absent and gone", format=name, options=options)
        (tmp_path / "empty").write_bytes(b"")
        with pytest.raises(CorpusError, match=r"is empty|There is no file|has no shard|neither a folder"):
            open_corpus(tmp_path / "empty", format=name, options=options)

    def test_refuses_an_option_that_it_does_not_use(self, name: str, tmp_path: Path) -> None:
        unused = {"row_length": 7, "token_dtype": "uint16", "column": "text", "cut": "window"}
        for option in unused.keys() - FORMATS.load(name).reads:
            with pytest.raises(CorpusError, match=f"format '{name}' does not use --.* leave it out"):
                open_corpus(tmp_path, format=name, options=CorpusOptions(**{option: unused[option]}))
