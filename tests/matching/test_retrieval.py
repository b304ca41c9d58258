"""BM25: the right document first, always in the same order, and nothing for words that no document has."""

import sys

import pytest

from mematlas.errors import CorpusError
from mematlas.matching.retrieval import BM25Retriever
from tests.matching.made_texts import Words

DOCUMENTS = ["the cat sat on the mat", "a dog ate the homework", "cats and dogs", "the homework of the cat"]


def test_documents_are_ranked_by_shared_words():
    retriever = BM25Retriever(DOCUMENTS)
    assert retriever.top("The cat's homework", 10) == [3, 0, 1]
    assert retriever.top("The cat's homework", 1) == [3]


@pytest.mark.parametrize("query", ["", "the of and", "zebra", "!?"])
def test_a_query_without_a_word_of_any_document_finds_none(query):
    assert BM25Retriever(DOCUMENTS).top(query, 3) == []


def test_equal_scores_keep_the_order_of_the_documents():
    retriever = BM25Retriever(["equal words here"] * 30 + ["other"] * 30)
    assert retriever.top("equal", 10) == list(range(10))
    assert retriever.top("equal", 100) == list(range(30))


def test_every_text_finds_itself_first():
    words = Words(3)
    texts = [words.text() for _ in range(200)]
    retriever = BM25Retriever(texts)
    assert [retriever.top(text, 1) for text in texts] == [[at] for at in range(200)]
    assert [retriever.top(words.text(), 10) for _ in range(5)] == [[]] * 5


def test_stop_words_are_the_callers():
    assert BM25Retriever(["the dog"]).top("the", 1) == []
    assert BM25Retriever(["the dog", "a cat"], stop_words=()).top("the", 1) == [0]


def test_texts_without_words_are_found_by_nothing():
    assert BM25Retriever(["", "the", "..."]).top("anything", 3) == []


def test_no_documents_are_refused_in_one_line():
    with pytest.raises(CorpusError) as raised:
        BM25Retriever([])
    assert str(raised.value) == "There are no documents to compare with (given: 0 texts); name the training file."


def test_nothing_is_printed(capfd):
    BM25Retriever(DOCUMENTS * 50).top("cat", 3)
    assert capfd.readouterr() == ("", "")
    assert "bm25s" in sys.modules
