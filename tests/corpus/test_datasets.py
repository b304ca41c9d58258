"""Datasets of the Hugging Face library, built here; nothing is downloaded."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.formats.datasets import _hub_parts
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError, MissingExtra
from tests.corpus.writers import ENCODER, text_of

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()

COLUMNS = {
    "text": ["abcd", "efg", "hi"],
    "tokens": [[1, 2, 3], [], [4]],
    "row": [30, 10, 20],
    "source": ["x", None, "y"],
    "repetitions": [1, None, 64],
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(str(tmp_path / "saved"), num_shards=2)
    return tmp_path / "saved"


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    parts = {"train": COLUMNS, "test": {"text": ["zzz"], "tokens": [[9]]}}
    of_splits = datasets.DatasetDict({name: datasets.Dataset.from_dict(part) for name, part in parts.items()})
    of_splits.save_to_disk(str(tmp_path / "splits"))
    return tmp_path / "splits"


def test_tokens_ids_and_provenance(saved: Path) -> None:
    corpus = open_corpus(saved)
    assert corpus.format == "datasets"
    read = corpus.read(np.array([2, 0, 1, 2]), 2)
    assert (read.ids.tolist(), read.lengths.tolist()) == ([[4, 0], [1, 2], [0, 0], [4, 0]], [1, 2, 0, 1])
    assert corpus.row_ids(np.array([2, 0])).tolist() == [20, 30]
    provenance = corpus.provenance(np.array([2, 1, 0]))
    assert provenance.source == ["y", None, "x"]
    assert provenance.repetitions == [64, None, 1]
    assert provenance.document == [None, None, None]


def test_text_is_cut(saved: Path, tmp_path: Path) -> None:
    options = CorpusOptions(column="text", row_length=2, encoder=ENCODER, cache=tmp_path / "cache")
    corpus = open_corpus(saved, options=options)
    assert [text_of(row) for row in corpus.read(np.arange(4), 2).ids.tolist()] == ["ab", "cd", "ef", "hi"]
    assert corpus.provenance(np.arange(4)).document == [0, 0, 1, 2]


def test_splits_are_named(splits: Path) -> None:
    assert len(open_corpus(f"{splits}#train")) == 3
    assert open_corpus(f"{splits}#test").read(np.array([0]), 1).ids.tolist() == [[9]]
    with pytest.raises(CorpusError, match=r"has the splits train, test; name one: .*splits#train"):
        open_corpus(splits)
    with pytest.raises(CorpusError, match=r"has no split 'tran'\. Did you mean 'train'\? It has: train, test"):
        open_corpus(f"{splits}#tran")


def test_a_folder_without_splits(saved: Path) -> None:
    with pytest.raises(CorpusError, match=r"has no splits; leave #train out"):
        open_corpus(f"{saved}#train")


def test_truncated(saved: Path) -> None:
    shard = sorted(saved.glob("*.arrow"))[1]
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(CorpusError, match=r"The dataset .* cannot be opened: .*; check name, files and network"):
        open_corpus(saved)


def test_hub_names() -> None:
    parts = _hub_parts(Path("owner/some-set:config.a@v1.0#duped.70m"))
    assert parts == {"name": "owner/some-set", "config": "config.a", "revision": "v1.0", "split": "duped.70m"}
    assert _hub_parts(Path("wikitext"))["config"] is None
    with pytest.raises(CorpusError, match=r"neither a folder nor the name of a dataset; the form is name\[:config\]"):
        _hub_parts(Path("/no/such/folder"))


def test_without_the_library(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r'run: pip install "mematlas\[datasets\]"'):
        open_corpus(saved)
