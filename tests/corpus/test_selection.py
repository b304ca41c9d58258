"""Selections compared with lists and sets; the message of every error."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mematlas.corpus.selection import select
from mematlas.errors import CorpusError, OptionError


@given(length=st.integers(1, 300), count=st.integers(1, 300), seed=st.integers(0, 9))
def test_against_lists(length: int, count: int, seed: int) -> None:
    everything = list(range(length))
    assert select(length, "all")[:].tolist() == everything
    assert select(length, f"first:{count}")[:].tolist() == everything[:count]
    if seed < count <= length:
        assert select(length, f"slice:{seed}:{count}")[:].tolist() == everything[seed:count]
        assert (
            select(length, f"slice:{seed}:{count}")[np.arange(count - seed)[::2]].tolist() == everything[seed:count:2]
        )
    assert select(length, "all")[3:7].tolist() == everything[3:7]
    assert len(select(length, f"first:{count}")) == min(count, length)
    if count <= length:
        drawn = select(length, f"sample:{count}:{seed}")
        assert drawn.dtype == np.int64
        assert drawn.tolist() == sorted(set(drawn.tolist()) & set(everything))
        assert len(drawn) == count


def test_consecutive_positions_are_not_asked_for_one_by_one() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        list(select(3, "all"))


def test_samples_are_numpys() -> None:
    drawn = np.sort(np.random.default_rng(7).choice(1000, 20, replace=False))
    assert select(1000, "sample:20:7").tolist() == drawn.tolist()
    assert select(1000, "sample:20").tolist() == select(1000, "sample:20:0").tolist() != drawn.tolist()


def test_ids_are_positions_unless_the_corpus_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("7\n3\n\n7\n0\n")
    np.save(tmp_path / "ids.npy", np.array([[0, 3], [7, 7]], dtype=np.uint16))
    for name in ("ids.txt", "ids.npy"):
        assert select(8, f"ids:{tmp_path / name}").tolist() == [0, 3, 7]
    own = np.array([9, 7, 7, 3, 1, 0])
    assert select(6, f"ids:{tmp_path / 'ids.txt'}", row_ids=lambda at: own[at]).tolist() == [1, 2, 3, 5]


def test_ids_beyond_one_block(tmp_path: Path) -> None:
    length = 2_500_000
    wanted = sorted(random.Random(0).sample(range(length), 50))
    (tmp_path / "ids").write_text("\n".join(str(length - 1 - position) for position in wanted))
    assert select(length, f"ids:{tmp_path / 'ids'}", row_ids=lambda at: length - 1 - at).tolist() == wanted


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("frist:3", OptionError, r"No selection is called 'frist'\. Did you mean 'first'\? It is one of: all, first:N"),
        ("", OptionError, r"No selection is called ''\. It is one of"),
        ("all:3", OptionError, r"'all:3' is not of the form all"),
        ("first", OptionError, r"'first' is not of the form first:N, with numbers of 0 or more"),
        ("first:-1", OptionError, r"not of the form first:N"),
        ("first:0", OptionError, r"selects no row; N is 1 or more"),
        ("sample:3:1:2", OptionError, r"not of the form sample:N\[:SEED\]"),
        ("slice:3", OptionError, r"not of the form slice:A:B"),
        ("slice:3:11", CorpusError, r"slice:3:11 is not within the corpus' 10 rows; A < B <= 10"),
        ("slice:3:3", CorpusError, r"A < B"),
        ("sample:11", CorpusError, r"sample:11 selects more rows than the corpus has \(10\); select fewer"),
        ("ids:no-such-file", CorpusError, r"there is no file no-such-file; the form is ids:FILE"),
    ],
)
def test_refusals(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        select(10, spec)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3\n10\n-1\n", r"2 of 3 ids are not in the corpus of 10 rows, the first is -1; check .* this corpus"),
        ("3\nfour\n", r"is not a list of row ids \(.*'four'.*\); write one integer per line"),
        ("99999999999999999999", r"is not a list of row ids"),
        ("", r"has 0 values"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "ids.txt").write_text(content)
    with pytest.raises(CorpusError, match=message):
        select(10, f"ids:{tmp_path / 'ids.txt'}")


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([0.5]))
    with pytest.raises(CorpusError, match="has 1 values of float64; a list of row ids has one or more integers"):
        select(10, f"ids:{tmp_path / 'ids.npy'}")
    np.save(tmp_path / "ids.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(CorpusError, match="is not a list of row ids"):
        select(10, f"ids:{tmp_path / 'ids.npy'}")
