"""Megatron indexes written byte by byte from the description of the format."""

import struct
from pathlib import Path

import numpy as np
import pytest

from mematlas.corpus.formats.megatron import STRIDE
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import packed, write_idx

RAGGED = [[5, 6, 7], [8], [], [9, 10, 11, 12, 13], [14, 15]]
LENGTHS = [3, 1, 0, 5, 2]


def write(folder: Path, code: int = 8, item: int = 2, letter: str = "H", **changes: object) -> Path:
    (folder / "corpus.bin").write_bytes(packed(RAGGED, letter))
    write_idx(folder / "corpus.idx", LENGTHS, [0, 2, 2, 3, 5], code=code, item=item, **changes)  # type: ignore[arg-type]
    return folder / "corpus"


@pytest.mark.parametrize("name", ["corpus", "corpus.bin", "corpus.idx"])
def test_ragged_rows_by_either_path(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    corpus = open_corpus(tmp_path / name)
    read = corpus.read(np.array([3, 2, 0, 4]), 4)
    assert read.ids.tolist() == [[9, 10, 11, 12], [0, 0, 0, 0], [5, 6, 7, 0], [14, 15, 0, 0]]
    assert read.lengths.tolist() == [4, 0, 3, 2]
    assert corpus.details == {
        "row_length": None,
        "shortest_row": 0,
        "longest_row": 5,
        "token_dtype": "uint16",
        "documents": 4,
    }


def test_documents_may_be_empty(tmp_path: Path) -> None:
    provenance = open_corpus(write(tmp_path)).provenance(np.array([4, 0, 1, 2, 3]))
    assert provenance.document == [3, 0, 0, 2, 3]
    assert provenance.source == provenance.repetitions == [None] * 5


def test_documents_of_a_long_index(tmp_path: Path) -> None:
    starts = np.sort(np.random.default_rng(2).integers(0, 4000, 3 * STRIDE)).tolist()
    documents = [0, *starts, 4000]
    (tmp_path / "long.bin").write_bytes(packed([[1]] * 4000))
    write_idx(tmp_path / "long.idx", [1] * 4000, documents)
    positions = np.random.default_rng(3).permutation(4000)
    found = open_corpus(tmp_path / "long").provenance(positions).document
    assert found == [max(n for n, start in enumerate(documents) if start <= position) for position in positions]


@pytest.mark.parametrize(
    ("code", "item", "letter"), [(1, 1, "B"), (2, 1, "b"), (3, 2, "h"), (4, 4, "i"), (5, 8, "q"), (8, 2, "H")]
)
def test_every_integer_code(tmp_path: Path, code: int, item: int, letter: str) -> None:
    corpus = open_corpus(write(tmp_path, code, item, letter))
    assert corpus.read(np.array([3, 1]), 5).ids.tolist() == [[9, 10, 11, 12, 13], [8, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": 6}, r"dtype code 6; tokens are integers: 1, 2, 3, 4, 5, 8"),
        ({"version": 2}, r"version 2; only version 1"),
        ({"magic": b"TNTIDX\x00\x00\x00"}, r"older TNTIDX format; .* write it again as mmap"),
        ({"item": 4}, r"points outside .*corpus\.bin \(22 bytes of uint16 tokens\)"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    prefix = write(tmp_path, **changes)  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match=message):
        open_corpus(prefix)


def test_truncated_files(tmp_path: Path) -> None:
    prefix = write(tmp_path)
    index, tokens = tmp_path / "corpus.idx", tmp_path / "corpus.bin"
    whole = index.read_bytes()
    for size, message in [
        (len(whole) - 8, r"126 bytes, but its header declares 134 \(5 seq"),
        (20, r"within its header"),
    ]:
        index.write_bytes(whole[:size])
        with pytest.raises(CorpusError, match=message):
            open_corpus(prefix)
    index.write_bytes(whole)
    for content, message in [
        (tokens.read_bytes()[:-2], "points outside"),
        (bytes(24), r"24 bytes, but .* declares 22"),
    ]:
        tokens.write_bytes(content)
        with pytest.raises(CorpusError, match=message):
            open_corpus(prefix)
    tokens.unlink()
    with pytest.raises(CorpusError, match=r"There is no file .*corpus\.bin"):
        open_corpus(prefix)


def test_an_offset_near_the_largest_number(tmp_path: Path) -> None:
    prefix = write(tmp_path)
    content = bytearray((tmp_path / "corpus.idx").read_bytes())
    struct.pack_into("<q", content, 34 + 4 * 5 + 8, 2**63 - 2)
    (tmp_path / "corpus.idx").write_bytes(content)
    with pytest.raises(CorpusError, match="points outside"):
        open_corpus(prefix)


@pytest.mark.parametrize("documents", [[0, 2, 4], [1, 5], [0, 3, 2, 5], []])
def test_document_indexes_that_do_not_fit(tmp_path: Path, documents: list[int]) -> None:
    write(tmp_path)
    write_idx(tmp_path / "corpus.idx", LENGTHS, documents)
    with pytest.raises(CorpusError, match="does not ascend from 0 to 5, the number of sequences"):
        open_corpus(tmp_path / "corpus")


def test_other_indexes(tmp_path: Path) -> None:
    fairseq = b"MMIDIDX\x00\x00" + struct.pack("<QBQ", 1, 8, 2) + struct.pack("<2i2q", 3, 4, 0, 6)
    (tmp_path / "fairseq.idx").write_bytes(fairseq)
    with pytest.raises(CorpusError, match=r"fairseq's variant, which has no document index; write .* Megatron"):
        open_corpus(tmp_path / "fairseq")
    (tmp_path / "tokengrams.idx").write_bytes(struct.pack("<6Q", *range(6)))
    with pytest.raises(CorpusError, match=r"begins with .*, not with .* it is not a Megatron index"):
        open_corpus(tmp_path / "tokengrams.idx", format="megatron")


def test_no_sequence(tmp_path: Path) -> None:
    write_idx(tmp_path / "none.idx", [], [0])
    (tmp_path / "none.bin").write_bytes(b"\x00\x00")
    with pytest.raises(CorpusError, match="has no sequence; a corpus needs at least one row"):
        open_corpus(tmp_path / "none")
