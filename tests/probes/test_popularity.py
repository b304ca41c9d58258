"""Popularity from an index, against counts by hand: whole words, documents with both, and windows."""

import re

import numpy as np
import polars as pl
import pytest

from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError, IndexFault, OptionError
from mematlas.index.building import IndexOptions, build_index
from mematlas.index.lookup import open_any_index
from mematlas.probes.items.task_file import Item
from mematlas.probes.recall.config import resolve_recall
from mematlas.probes.recall.popularity import WordIndex, read_popularity
from tests.byte_level_tokenizer import byte_level_encoder

DOCUMENTS = [
    "Tin is Sn. Tin is a metal, and tintin is not.",
    "Sn stands far away from its name, which comes after many other words that say nothing: Tin",
    "testing Tinting Sns xSn",
    "Iron is Fe",
    "(Tin) Fe",
]
ITEMS = [Item("tin", "Tin", "Sn"), Item("iron", "Iron", "Fe"), Item("gold", "Gold", "Au")]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexed")
    encoder = byte_level_encoder(folder / "tokenizer", tuple(DOCUMENTS))
    pl.DataFrame({"tokens": encoder.encode(DOCUMENTS)}).write_parquet(folder / "corpus.parquet")
    corpus = open_corpus(folder / "corpus.parquet")
    name = str(folder / "tokenizer")
    build_index(
        corpus,
        folder / "index",
        IndexOptions("c", encoder.vocabulary, tokenizer=name, tokenizer_fingerprint=encoder.fingerprint),
    )
    return folder, encoder


def popularity(indexed, **options):
    folder, encoder = indexed
    config = resolve_recall(items="i", template="{input} {output}", popularity=f"index:{folder / 'index'}", **options)
    return {row["item"]: row for row in read_popularity(ITEMS, config, encoder).to_dicts()}


def test_words_are_counted_and_parts_of_words_are_not(indexed):
    found = popularity(indexed)
    assert (found["tin"]["count_input"], found["tin"]["count_output"]) == (4, 2)  # not in tintin, Tinting, Sns, xSn
    assert (found["iron"]["count_input"], found["iron"]["count_output"]) == (1, 2)
    assert (found["gold"]["count_input"], found["gold"]["count_output"], found["gold"]["count_both"]) == (0, 0, 0)


def test_a_pair_is_counted_by_documents_or_in_a_window(indexed):
    found = popularity(indexed)
    assert found["tin"]["count_both"] == found["tin"]["popularity"] == 2
    assert found["iron"]["count_both"] == 1
    assert popularity(indexed, window=20)["tin"]["count_both"] == 2  # both of the first document, none of the second
    assert popularity(indexed, window=100_000)["tin"]["count_both"] == 3
    assert popularity(indexed, count="input")["tin"]["popularity"] == 4
    assert popularity(indexed, count="output")["iron"]["popularity"] == 2


def test_a_naive_count_of_words_agrees(indexed):
    folder, encoder = indexed
    words = WordIndex(open_any_index(folder / "index"), encoder)
    for word in ("is", "a", "name", "Tin", "Sn", "metal", "not", "the", "stands far"):
        naive = [len(re.findall(rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])", text)) for text in DOCUMENTS]
        found = words.find(word)
        assert len(found.positions) == sum(naive), word
        assert np.bincount(found.documents, minlength=len(DOCUMENTS)).tolist() == naive, word


def test_an_index_of_another_tokenizer_is_one_line(indexed, tmp_path):
    byte_level_encoder(tmp_path / "other", ("nothing in common",))
    with pytest.raises(IndexFault, match=r"was built with another tokenizer .*give --tokenizer with the right one"):
        popularity(indexed, tokenizer=str(tmp_path / "other"))


def test_items_that_the_corpus_does_not_have_are_one_line(indexed):
    folder, encoder = indexed
    config = resolve_recall(items="i", template="{input} {output}", popularity=f"index:{folder / 'index'}")
    with pytest.raises(
        IndexFault, match=r"None of the 1 inputs occurs as a word in .*, such as 'Gold'; was it built from"
    ):
        read_popularity([Item("gold", "Gold", "Sn")], config, encoder)
    with pytest.raises(IndexFault, match=r"None of the 1 outputs occurs as a word in"):
        read_popularity([Item("tin", "Tin", "Au")], config, encoder)


def test_given_numbers_are_checked(tmp_path):
    def read(name, items=ITEMS):
        return read_popularity(
            items, resolve_recall(items="i", template="{input} {output}", popularity=tmp_path / name), None
        )

    (tmp_path / "good.csv").write_text("id,popularity\ntin,4\niron,0.5\n")
    assert read("good.csv")["popularity"].to_list() == [4.0, 0.5, None]
    (tmp_path / "other.csv").write_text("id,popularity\nlead,4\n")
    with pytest.raises(CorpusError, match="has none of the ids of the items, such as 'tin'"):
        read("other.csv")
    (tmp_path / "bad.csv").write_text("id,popularity\ntin,-1\n")
    with pytest.raises(CorpusError, match="line 2 needs an id and a popularity, a number of 0 or more"):
        read("bad.csv")
    with pytest.raises(OptionError, match="is neither a file nor index:DIR"):
        read("none.csv")
