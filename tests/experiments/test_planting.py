"""The guarantees of the planted corpus, checked against slow and obvious code."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from mematlas.experiments import PlantingConfig, TrainedFamily, TrainingConfig
from mematlas.experiments.data.corpus_folder import prepare_corpus
from mematlas.experiments.data.overlap import has_no_ngram_in, has_unique_ngrams, ngram_keys
from mematlas.experiments.data.planting import plant
from mematlas.experiments.data.standard_library import standard_library_documents
from mematlas.experiments.data.tokenizer import END_OF_TEXT, train_tokenizer
from tests.experiments.conftest import PLANTING, TINY, documents


def passages(tokens: list[int], n: int) -> set[tuple[int, ...]]:
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}


def test_every_row_is_shown_exactly_as_often_as_its_column_says(family: TrainedFamily) -> None:
    table = pq.read_table(family.train)
    order = np.load(family.order)
    assert np.bincount(order, minlength=len(table)).tolist() == table["repetitions"].to_pylist()
    assert len(order) == PLANTING.presentations
    assert any(first > second for first, second in pairwise(order.tolist())), "the stream is shuffled"


def test_the_tables_have_the_columns_of_the_parquet_format(family: TrainedFamily) -> None:
    for path, rows in ((family.train, 12), (family.control, 8)):
        table = pq.read_table(path)
        columns = {field.name: str(field.type) for field in table.schema}
        assert columns["tokens"].startswith("list<")
        assert "uint16" in columns["tokens"]
        assert {k: v for k, v in columns.items() if k != "tokens"} == {
            "repetitions": "int64",
            "document": "int64",
            "source": "string",
        }
        assert {len(row) for row in table["tokens"].to_pylist()} == {PLANTING.row_length}
        assert len(table) == rows
        assert table["source"].to_pylist() == [f"made/{i:02d}.txt" for i in table["document"].to_pylist()]


def test_held_out_rows_are_never_shown_and_share_no_passage_with_the_documents_shown(family: TrainedFamily) -> None:
    train, control = pq.read_table(family.train), pq.read_table(family.control)
    assert set(control["repetitions"].to_pylist()) == {0}
    assert not set(train["document"].to_pylist()) & set(control["document"].to_pylist())
    shown = set().union(*(passages(row, PLANTING.overlap) for row in train["tokens"].to_pylist()))
    unseen = set().union(*(passages(row, PLANTING.overlap) for row in control["tokens"].to_pylist()))
    assert not shown & unseen


def test_training_rows_share_no_passage_with_each_other(family: TrainedFamily) -> None:
    rows = [passages(row, PLANTING.overlap) for row in pq.read_table(family.train)["tokens"].to_pylist()]
    assert sum(map(len, rows)) == len(set().union(*rows))


def test_copied_passages_are_dropped_and_counted() -> None:
    random = np.random.default_rng(1)
    texts = [random.integers(0, 250, size=240).astype(np.uint16) for _ in range(20)]
    planting = plant(texts, PLANTING, seed=0)
    assert set(planting.dropped.values()) == {0}
    for text in texts:
        text[:48] = texts[0][:48]  # every document starts with the same two rows
    with_copies = plant(texts, PLANTING, seed=0)
    assert list(with_copies.dropped.values()) == [2 * 14, 2 * 6, 0]
    assert not passages(texts[0][:48].tolist(), 8) & passages(with_copies.control.tokens.reshape(-1).tolist(), 8)


def test_a_passage_across_two_rows_counts_for_the_control() -> None:
    random = np.random.default_rng(2)
    texts = [random.integers(0, 250, size=240).astype(np.uint16) for _ in range(20)]
    held_out = np.random.default_rng(0).permutation(20)[:6]
    shown = np.setdiff1d(np.arange(20), held_out)[0]
    texts[shown][20:28] = texts[held_out[0]][50:58]  # eight tokens that straddle two rows of the shown document
    assert plant(texts, PLANTING, seed=0).dropped["control rows sharing a passage with a training document"] == 1


def test_too_little_text_is_refused_with_numbers_and_remedy() -> None:
    with pytest.raises(CorpusError, match=r"have 0 training rows of 24 tokens .* 12 are needed; request fewer"):
        plant([np.arange(10, dtype=np.uint16)] * 4, PLANTING, seed=0)


def test_another_number_of_control_rows_leaves_the_training_rows_alone() -> None:
    random = np.random.default_rng(1)
    texts = [random.integers(0, 250, size=240).astype(np.uint16) for _ in range(20)]
    fewer = plant(texts, PLANTING, seed=0)
    more = plant(texts, PlantingConfig(**{**_fields(PLANTING), "control_rows": 12}), seed=0)
    assert (fewer.train.tokens == more.train.tokens).all()
    assert (fewer.order == more.order).all()


def _fields(config: PlantingConfig) -> dict:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@pytest.mark.parametrize("n", [1, 3, 8])
def test_ngram_keys_agree_with_sets_of_tuples(n: int) -> None:
    random = np.random.default_rng(n)
    rows = random.integers(0, 3, size=(60, 9)).astype(np.uint16)
    ngrams = [[tuple(row[i : i + n]) for i in range(10 - n)] for row in rows.tolist()]
    keys = ngram_keys(rows, n)
    all_ngrams = [ngram for row in ngrams for ngram in row]
    is_unique = [all(all_ngrams.count(ngram) == 1 for ngram in row) for row in ngrams]
    assert has_unique_ngrams(keys).tolist() == is_unique
    first = {ngram for row in ngrams[:5] for ngram in row}
    assert has_no_ngram_in(keys, keys[:5]).tolist() == [not first & set(row) for row in ngrams]


def test_rows_shorter_than_the_passage_have_no_keys() -> None:
    assert ngram_keys(np.zeros((2, 3), dtype=np.uint16), 4).shape == (2, 0)


def test_the_tokenizer_is_reproducible_and_lossless() -> None:
    texts = [document.text for document in documents()]
    first, second = (train_tokenizer(texts, 300, 24) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    assert first.convert_tokens_to_ids(END_OF_TEXT) == 0
    assert len(first) == TINY.planting.vocabulary
    text = "def café(x):\n\treturn '→' * 3\n"
    assert first.decode(first.encode(text)) == text


def test_the_tables_are_read_as_a_corpus_with_their_repetitions(family: TrainedFamily, tmp_path: Path) -> None:
    corpus = open_corpus(family.train, options=CorpusOptions(cache=tmp_path))
    table = pq.read_table(family.train)
    positions = np.arange(len(corpus))
    assert corpus.read(positions, PLANTING.row_length).ids.tolist() == table["tokens"].to_pylist()
    provenance = corpus.provenance(positions)
    assert provenance.repetitions == table["repetitions"].to_pylist()
    assert provenance.document == table["document"].to_pylist()
    assert provenance.source == table["source"].to_pylist()


@pytest.mark.slow
def test_the_standard_library_has_enough_rows_for_the_default_configuration(tmp_path: Path) -> None:
    config = TrainingConfig()
    corpus = prepare_corpus(tmp_path, standard_library_documents(), config)
    assert corpus.vocabulary == 4096
    assert len(corpus.order) == config.planting.presentations
    control = pq.read_table(corpus.control)["tokens"].to_pylist()
    assert len(control) >= 400
    shown = set().union(*(passages(row, 32) for row in corpus.tokens.tolist()))
    assert not shown & set().union(*(passages(row, 32) for row in control))
