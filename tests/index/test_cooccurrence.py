"""Documents with two n-grams, and the infinity-gram, against counts by hand and naive searches."""

import numpy as np
import pytest

from mematlas.errors import IndexFault
from mematlas.index.backoff import backoff_counts
from mematlas.index.building import IndexOptions, build_index
from mematlas.index.cooccurrence import pair_counts
from mematlas.index.folder import open_index
from mematlas.index.infinigram import export_infinigram, open_infinigram
from tests.index.oracle import Rows

A, B, C, D, X = 1, 2, 3, 4, 5


def engine_of(rows, folder, **options):
    build_index(Rows(rows), folder / "index", IndexOptions("by hand", 60, workers=1, **options))
    return open_index(folder / "index")[0]


def test_ten_documents_counted_by_hand(tmp_path):
    far = [A, B, *[9] * 10_000, C, D]
    rows = [[A, B, 7, C, D], [A, B], [C, D], [B, A, C, D], far, [A, B, A, B], [A, 7, B, C, D], [7], [C, D, A, B], [8]]
    found = pair_counts(engine_of(rows, tmp_path), [[A, B], [C, D], [6]], [[0, 1], [1, 0], [0, 2], [0, 0]])
    assert found.single.tolist() == [5, 6, 0]
    assert found.both.tolist() == [3, 3, 0, 5]  # the far pair counts, those of neighbouring documents do not


def naive_documents(rows, ngram):
    n = len(ngram)
    return {d for d, row in enumerate(rows) if any(row[i : i + n] == ngram for i in range(len(row) - n + 1))}


@pytest.mark.parametrize("infini", [False, True])
def test_random_documents_agree_with_a_naive_search(tmp_path, infini):
    random = np.random.default_rng(0)
    rows = [random.integers(1, 9, random.integers(2, 30)).tolist() for _ in range(80)]
    engine = engine_of(rows, tmp_path, shard_tokens=400)
    if infini:
        export_infinigram(tmp_path / "index", tmp_path / "infini")
        engine = open_infinigram(tmp_path / "infini")
    ngrams = [random.integers(1, 9, n).tolist() for n in (1, 2, 2, 2, 3, 3, 1, 2)]
    pairs = [(i, j) for i in range(8) for j in range(8)]
    found = pair_counts(engine, ngrams, pairs)
    sets = [naive_documents(rows, ngram) for ngram in ngrams]
    assert found.single.tolist() == [len(each) for each in sets]
    assert found.both.tolist() == [len(sets[i] & sets[j]) for i, j in pairs]
    assert (found.both != np.minimum(found.single[[i for i, _ in pairs]], found.single[[j for _, j in pairs]])).any()


def test_an_error_of_the_index_is_no_count_of_0(tmp_path):
    engine = engine_of([[A, B]], tmp_path)
    with pytest.raises(IndexFault, match="outside the vocabulary"):
        pair_counts(engine, [[A], [60]], [[0, 1]])
    with pytest.raises(IndexFault, match="outside the vocabulary"):
        backoff_counts(engine, np.array([A, 60]), 1)


def test_the_infinity_gram_backs_off_to_what_the_corpus_has(tmp_path):
    engine = engine_of([[A, B, C, A, B, D]], tmp_path)
    known = backoff_counts(engine, np.array([A, B, C]), 2)
    assert (known.length[0], known.context_count[0], known.count[0]) == (2, 2, 1)  # P(c | a b) = 1/2
    unseen = backoff_counts(engine, np.array([X, B, C]), 2)
    assert (unseen.length[0], unseen.context_count[0], unseen.count[0]) == (1, 2, 1)  # P(c | b) = 1/2
    nothing = backoff_counts(engine, np.array([X, A]), 1)
    assert (nothing.length[0], nothing.context_count[0], nothing.count[0]) == (0, 6, 2)  # 2 of 6 tokens
    never = backoff_counts(engine, np.array([A, B, X]), 2)
    assert (never.length[0], never.context_count[0], never.count[0]) == (2, 2, 0)


def test_random_contexts_agree_with_a_naive_back_off(tmp_path):
    random = np.random.default_rng(1)
    rows = [random.integers(1, 7, 40).tolist() for _ in range(6)]
    engine = engine_of(rows, tmp_path, shard_tokens=100)
    text = [*rows[2][5:20], *random.integers(1, 8, 20).tolist()]
    found = backoff_counts(engine, np.array(text), 1)

    def occurrences(ngram):
        n = len(ngram)
        return sum(row[i : i + n] == ngram for row in rows for i in range(len(row) - n + 1))

    for place in range(1, len(text)):
        size = next(size for size in range(place, -1, -1) if size == 0 or occurrences(text[place - size : place]))
        context = occurrences(text[place - size : place]) if size else 240
        expected = (size, context, occurrences(text[place - size : place + 1]))
        values = (found.length, found.context_count, found.count)
        assert tuple(int(each[place - 1]) for each in values) == expected
    assert found.length.max() >= 14, "the copied part is found whole"
