"""NumPy arrays of every integer dtype and both ranks; damaged and unsuitable arrays."""

from pathlib import Path

import numpy as np
import pytest

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i4", ">i8", "<u8"])
def test_round_trip(tmp_path: Path, dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    np.save(tmp_path / "rows.npy", array)
    corpus = open_corpus(tmp_path / "rows.npy")
    assert corpus.read(np.array([2, 0]), 3).ids.tolist() == [[8, 9, 10], [0, 1, 2]]
    assert corpus.details["row_length"] == 4


def test_flat_arrays_need_a_row_length(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.arange(11))
    corpus = open_corpus(tmp_path / "flat.npy", options=CorpusOptions(row_length=5))
    assert corpus.read(np.array([1]), 9).ids.tolist() == [[5, 6, 7, 8, 9, 0, 0, 0, 0]]
    assert corpus.details["dropped_tail_tokens"] == 1
    with pytest.raises(CorpusError, match=r"flat array, which has no row length of its own; name it: --row-length"):
        open_corpus(tmp_path / "flat.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), r"has float64 values, but token ids are integers"),
        (np.zeros((2, 3), bool), r"has bool values, but token ids are integers"),
        (np.asfortranarray(np.arange(6).reshape(2, 3)), r"Fortran order, .*numpy\.ascontiguousarray"),
        (np.zeros((2, 3, 4), int), r"the shape \(2, 3, 4\); a corpus is a 2-D array"),
        (np.zeros((0, 4), int), r"the shape \(0, 4\); .* not empty"),
    ],
)
def test_arrays_that_are_no_corpus(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "rows.npy", array)
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / "rows.npy")


def test_another_row_length_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((2, 3), int))
    with pytest.raises(CorpusError, match=r"rows of 3 tokens, not 4; leave --row-length out"):
        open_corpus(tmp_path / "rows.npy", options=CorpusOptions(row_length=4))


def test_truncated(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((20, 30), "i4"))
    whole = (tmp_path / "rows.npy").read_bytes()
    (tmp_path / "rows.npy").write_bytes(whole[:-1])
    with pytest.raises(CorpusError, match=r"has 2527 bytes, but its header declares 2528 .* truncated; write it again"):
        open_corpus(tmp_path / "rows.npy")
    (tmp_path / "rows.npy").write_bytes(whole[:40])
    with pytest.raises(CorpusError, match=r"no readable \.npy header"):
        open_corpus(tmp_path / "rows.npy")


def test_negative_tokens_name_their_row(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1, 2], [3, -100]]))
    corpus = open_corpus(tmp_path / "rows.npy")
    assert corpus.read(np.array([0, 1]), 1).ids.tolist() == [[1], [3]]
    with pytest.raises(CorpusError, match=r"Row 1 has the token -100; token ids are 0 or more"):
        corpus.read(np.array([0, 1]), 2)
