"""Headerless tokens: which options are required, what is dropped, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import packed


def opened(path: Path, row_length: int | None = 4, token_dtype: str | None = "uint16") -> Corpus:
    return open_corpus(path, format="memmap", options=CorpusOptions(row_length=row_length, token_dtype=token_dtype))


def test_uint32_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "tokens.npy"  # as OLMo names them
    path.write_bytes(packed([[1, 70_000, 4_000_000_000, 9]], "I"))
    corpus = opened(path, 2, "uint32")
    assert corpus.read(np.array([1, 0]), 2).ids.tolist() == [[4_000_000_000, 9], [1, 70_000]]
    assert corpus.details == {"row_length": 2, "token_dtype": "uint32", "dropped_tail_tokens": 0}


def test_a_partial_row_is_dropped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "tokens.bin").write_bytes(packed([list(range(11))]))
    corpus = opened(tmp_path / "tokens.bin")
    assert len(corpus) == 2
    assert corpus.details["dropped_tail_tokens"] == 3


def test_a_wrong_row_length_leaves_a_tail(tmp_path: Path) -> None:
    (tmp_path / "tokens.bin").write_bytes(packed([list(range(96))] * 20))
    corpus = opened(tmp_path / "tokens.bin", 77)
    assert (len(corpus), corpus.details["dropped_tail_tokens"]) == (24, 20 * 96 - 24 * 77)


def test_fingerprint_depends_on_how_it_is_cut(tmp_path: Path) -> None:
    (tmp_path / "tokens.bin").write_bytes(packed([list(range(16))]))
    path = tmp_path / "tokens.bin"
    assert len({opened(path).fingerprint, opened(path, 8).fingerprint, opened(path, 4, "uint32").fingerprint}) == 3


def test_a_partial_token_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tokens.bin").write_bytes(packed([list(range(8))])[:-1])
    with pytest.raises(CorpusError, match=r"15 bytes, not a multiple of 2, .* truncated, or .* --token-dtype"):
        opened(tmp_path / "tokens.bin")


@pytest.mark.parametrize(
    ("row_length", "token_dtype", "message"),
    [
        (None, "uint16", r"no header with its row length; name it: --row-length 2049"),
        (0, "uint16", r"row length 0 is not positive"),
        (9, "uint16", r"8 tokens, less than one row of 9; name a shorter --row-length"),
        (4, None, r"no header with its dtype; name it: --token-dtype uint16"),
        (4, "int64", r"No token dtype is called 'int64'; headerless tokens are one of uint16, uint32"),
    ],
)
def test_what_must_be_named(tmp_path: Path, row_length: int | None, token_dtype: str | None, message: str) -> None:
    (tmp_path / "tokens.bin").write_bytes(packed([list(range(8))]))
    with pytest.raises(CorpusError, match=message):
        opened(tmp_path / "tokens.bin", row_length, token_dtype)
