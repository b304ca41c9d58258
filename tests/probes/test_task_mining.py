"""Task-grams and their counts: by hand in ten documents, spans against an independent loop, and what must not count."""

import math

import numpy as np
import polars as pl
import pytest
import torch

from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.index.lookup import open_any_index
from mematlas.probes.items.task_file import Item, ItemColumns
from mematlas.probes.tasks.asking import begins_with, span_scores
from mematlas.probes.tasks.counting import TaskIndex
from mematlas.probes.tasks.coverage import authors_bins
from mematlas.probes.tasks.embedder import static_embedder
from mematlas.probes.tasks.examples import Example, GivenPair, read_examples
from mematlas.probes.tasks.memorization import AUTHORS, INFINITY, PAIRS, ZEROS, CorpusSide, mem_table
from mematlas.probes.tasks.mining import Embeddings, Equality, Everything, Miner, character_similarity
from mematlas.probes.tasks.ngrams import clean, find_gram, whole_text, word_ngrams
from mematlas.stats.hypotheses import clustered_correlation
from tests.probes.task_corpus import text_encoder, write_index
from tests.tiny_networks import card, causal_model, neox

DOCUMENTS = [
    "The red apple fell. A green leaf stood far away, and then another red apple.",
    "red apple",
    "green leaf",
    "Red apple trees say nothing",
    "red apple " + "word " * 10_000 + "green leaf",
    "tired apple and green leaf",
    "A red apples' box; green leafs",
    "nothing of this",
    "one two three four five six seven eight nine ten",
    "ten nine eight",
]
EXAMPLE = Example(Item("e", "Red apple", "Green, leaf"), "Q: Red apple A:", " ")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mined")
    encoder = text_encoder(folder / "tokenizer", DOCUMENTS, 400)
    index = write_index(folder, DOCUMENTS, encoder, folder / "tokenizer")
    return TaskIndex(open_any_index(index), encoder), encoder


def test_words_are_cleaned_and_keep_how_they_are_written():
    first, second = word_ngrams("Red, apple's RED apple's", 2)[:2]
    assert (first.text, first.start, first.end) == ("red apple's", 0, 12)
    assert first.forms == ("Red, apple's", "Red apple's", "red apple's")
    assert second.text == "apple's red"
    assert len(word_ngrams("a b a b a", 2)) == 2, "each once, where it stands first"
    assert word_ngrams("two words", 3) == []
    assert clean("  Où est-il? ") == "où est il"
    assert whole_text("New York!")[0].text == "new york"
    assert find_gram("in New-York now", "new york").start == 3
    assert find_gram("in New-York now", "york in") is None


def test_ten_documents_counted_by_hand(indexed):
    index, _ = indexed
    (pair,) = Miner(Everything(), (2,), 0.5, 10).mine(EXAMPLE)
    (record,) = index.pairs([("e", pair)])
    # red apple: documents 0, 1, 3, 4; not "tired apple", nor "red apples'". green leaf: 0, 2, 4, 5. both: 0 and 4
    assert (record["count_x"], record["count_y"], record["count_pair"], record["occurrences_x"]) == (4, 4, 2, 5)
    assert record["log_p"] == pytest.approx(math.log(2 / 4))
    assert record["log_p_authors"] == pytest.approx(math.log(2 / 5))
    never = Miner(Everything(), (2,), 0.5, 10).mine(Example(Item("f", "red apple", "nine ten"), "Q", " "))
    (zero,) = index.pairs([("f", never[0])])
    assert (zero["count_pair"], zero["log_p"], zero["log_p_authors"]) == (0, None, None), "null, and no log of 0"


def test_texts_of_the_task_are_found_in_the_corpus(indexed):
    index, _ = indexed
    shared = Example(Item("s", "one two three four five", "six seven eight nine"), "Q", " ")
    assert (index.overlap(shared, 8), index.overlap(shared, 14)) == (True, None)
    other = Example(Item("o", "one two three four six", "five seven eight nine"), "Q", " ")
    assert index.overlap(other, 8) is False


def test_pairs_are_those_above_the_similarity(monkeypatch):
    example = Example(Item("e", "the nation of norway", "norwegian nation"), "Q", " ")
    mined = Miner(character_similarity([example], [1]), (1,), 0.2, 10).mine(example)
    assert [(pair.first.text, pair.second.text) for pair in mined] == [
        ("norway", "norwegian")
    ]  # nation = nation is none
    assert 0.2 < mined[0].similarity < 1
    assert Miner(character_similarity([example], [1]), (1,), 0.99, 10).mine(example) == []
    (copy,) = Miner(Equality(), (1,), 0.5, 10, same=True).mine(example)
    assert copy.first.text == copy.second.text == "nation"
    assert len(Miner(Everything(), (1,), 0.5, 3).mine(example)) == 3
    whole = Miner(Everything(), (3,), 0.5, 10, whole=True).mine(example)
    assert {pair.second.text for pair in whole} == {"norwegian nation"}


def test_an_embedder_of_ones_own_and_its_faults():
    vectors = {"norway": [1.0, 0.0], "norwegian": [0.9, 0.1], "of": [0.0, 1.0]}
    embeddings = Embeddings(lambda texts: np.array([vectors.get(text, [0.0, 0.0]) for text in texts]))
    found = embeddings.between(["norway", "of", "unknown"], ["norwegian"])[:, 0]
    assert found[0] == pytest.approx(0.9 / math.hypot(0.9, 0.1))
    assert found[2] == 0
    with pytest.raises(ModelError, match=r"gave an array of shape \(1, 2\) for 2 texts"):
        Embeddings(lambda texts: np.ones((1, 2))).between(["a", "b"], ["c"])


def test_a_static_embedder_is_the_mean_of_its_tokens_vectors(tmp_path):
    from safetensors.numpy import save_file

    encoder = text_encoder(tmp_path, ["red apple"], 300)
    with pytest.raises(ModelError, match=r"model\.safetensors is missing: an embedder is a folder with"):
        static_embedder(tmp_path)
    table = np.random.default_rng(0).random((encoder.vocabulary, 4)).astype(np.float32)
    save_file({"embeddings": table}, tmp_path / "model.safetensors")
    found = static_embedder(tmp_path)(["red apple", ""])
    np.testing.assert_allclose(found[0], table[encoder.encode(["red apple"])[0]].mean(0), rtol=1e-6)
    assert not found[1].any()
    save_file({"embeddings": table[:5]}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="only static embedders, as model2vec makes"):
        static_embedder(tmp_path)


def test_given_pairs_are_taken_and_must_be_in_their_texts():
    given = (GivenPair("Red apple", "green leaf", 0.7), GivenPair("apple", "leaf", 0.4))
    example = Example(EXAMPLE.item, EXAMPLE.before, " ", given)
    found = Miner(None, (1, 2), 0.5, 10).mine(example)
    assert [(pair.n, pair.first.text, pair.similarity) for pair in found] == [(2, "red apple", 0.7)]
    wrong = Example(EXAMPLE.item, EXAMPLE.before, " ", (GivenPair("pear", "leaf", 1.0),))
    with pytest.raises(CorpusError, match="'pear' of the example 'e' does not stand in its input"):
        Miner(None, (1,), 0.5, 10).mine(wrong)


def test_task_files_have_prompts_or_a_template(tmp_path):
    path = tmp_path / "task.csv"
    path.write_text('input,output,prompt,pairs\nx,y,"Q: x A: ","[[""x"", ""y"", 0.8]]"\n')
    (example,) = read_examples(path, ItemColumns(), None, "pairs")
    assert (example.before, example.gap, example.text, example.start) == ("Q: x A:", " ", "Q: x A: y", 8)
    assert example.given == (GivenPair("x", "y", 0.8),)
    with pytest.raises(OptionError, match="has a column prompt; leave one of them out"):
        read_examples(path, ItemColumns(), "{input} {output}", None)
    with pytest.raises(CorpusError, match=r"the column 'prompt' has no pairs .*write a list of lists"):
        read_examples(path, ItemColumns(), None, "prompt")
    path.write_text("input,output\nx,y\n")
    with pytest.raises(OptionError, match="has no column prompt; give --template"):
        read_examples(path, ItemColumns(), None, None)
    (made,) = read_examples(path, ItemColumns(), "Of {input} it is {output}.", None)
    assert made.text == "Of x it is y"


def test_a_span_has_the_probability_of_an_independent_loop_and_ends_where_it_ends(indexed):
    _, encoder = indexed
    network = neox(encoder.vocabulary)
    example = Example(Item("e", "red apple", "a green leaf and a green leaf fell"), "Q: red apple A:", " ")
    gram = find_gram(example.item.output, "green leaf")
    (found,) = span_scores(causal_model(network), card(encoder.vocabulary), encoder, example, [(2, gram)])
    before, tokens = (encoder.encode([text])[0] for text in ("Q: red apple A: a", "Q: red apple A: a green leaf"))
    assert tokens[: len(before)] == before
    total = 0.0
    for place in range(len(before), len(tokens)):  # the first place where it stands, and nothing after it
        with torch.inference_mode():
            logits = network(input_ids=torch.tensor([tokens[:place]])).logits[0, -1].double()
        total += float(torch.log_softmax(logits, -1)[tokens[place]])
    assert found["log_p_llm"] == pytest.approx(total, abs=1e-4)
    assert found["tokens"] == len(tokens) - len(before)
    with pytest.raises(ModelError, match=r"have \d+ tokens, and m reads 5; shorten or leave out the example"):
        span_scores(causal_model(network), card(encoder.vocabulary, max_length=5), encoder, example, [(2, gram)])


def test_the_infinity_gram_of_a_span_is_the_product_over_its_tokens(indexed):
    index, _ = indexed
    example = Example(Item("i", "x", "green leaf"), "tired apple and", " ")
    (record,) = index.infinity(example, [(2, find_gram("green leaf", "green leaf"))])
    assert (record["log_p_infinity"], record["zero_tokens"]) == (0.0, 0)  # one document goes on like that
    never = Example(Item("i", "x", "nothing"), "tired apple and", " ")
    (record,) = index.infinity(never, [(1, find_gram("nothing", "nothing"))])
    assert record["log_p_infinity"] is None
    assert record["zero_tokens"] >= 1


def side_of(counts):
    """Examples with one pair each, of so many of 20 documents."""
    n = len(counts)
    ids = [f"e{i}" for i in range(n)]
    logs = [math.log(count / 20) if count else None for count in counts]
    examples = pl.DataFrame({"example": ids, "overlap_8": [i == 0 for i in range(n)], "overlap_14": [None] * n})
    pairs = {"example": ids, "n": [2] * n, "sx": ["x"] * n, "sy": ["y"] * n, "similarity": [0.9] * n}
    pairs |= {"count_pair": counts, "count_x": [20] * n, "count_y": list(range(1, n + 1)), "log_p": logs}
    spans = {"example": ids, "n": [2] * n, "sy": ["y"] * n, "log_p_infinity": logs, "log_p_infinity_authors": logs}
    frame = pl.DataFrame(pairs | {"log_p_authors": logs})
    return CorpusSide(examples, frame, pl.DataFrame(spans), [2], [0.5, 0.95])


def scores_of(values):
    ids = [f"e{i}" for i in range(len(values))]
    return pl.DataFrame({"example": ids, "n": [2] * len(ids), "sy": ["y"] * len(ids), "log_p_llm": values})


def test_a_stub_that_follows_the_corpus_has_mem_1_a_reversed_one_minus_1_a_permuted_one_0(monkeypatch):
    monkeypatch.setattr(clustered_correlation, "RESAMPLES", 199)
    monkeypatch.setattr(clustered_correlation, "SHUFFLES", 199)
    counts = np.random.default_rng(0).integers(1, 21, 80).tolist()
    follows = [3 * math.log(count) - 9 for count in counts]
    stubs = {"same": follows, "reversed": [-x for x in follows]}
    stubs["permuted"] = np.random.default_rng(1).permutation(follows).tolist()
    mem = mem_table(side_of(counts), {name: scores_of(values) for name, values in stubs.items()}, 0)
    for measure in (PAIRS, ZEROS, AUTHORS, INFINITY):
        own = {row["model"]: row for row in mem.filter(measure=measure, kept="all", gamma=0.5).to_dicts()}
        assert own["same"]["rho"] == pytest.approx(1)
        assert own["same"]["tau_distance"] == pytest.approx(0)
        assert own["reversed"]["rho"] == pytest.approx(-1)
        assert own["permuted"]["null_low"] < own["permuted"]["rho"] < own["permuted"]["null_high"]
    nothing = mem.filter(gamma=0.95, model="same").row(0, named=True)
    assert (nothing["rho"], nothing["pairs"], nothing["reason"]) == (None, 0, "fewer than 4 examples")
    fewer = mem.filter(kept="without 8 words in a row", model="same").row(0, named=True)
    assert (fewer["examples"], fewer["rho"]) == (79, pytest.approx(1))


def test_pairs_of_no_document_are_counted_apart(monkeypatch):
    monkeypatch.setattr(clustered_correlation, "RESAMPLES", 99)
    monkeypatch.setattr(clustered_correlation, "SHUFFLES", 99)
    counts = [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
    values = [5.0, 4.0, 3.0, 2.0, 1.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    mem = mem_table(side_of(counts), {"m": scores_of(values)}, 0).filter(gamma=0.5, kept="all")
    pairs, zeros = (mem.filter(measure=measure).row(0, named=True) for measure in (PAIRS, ZEROS))
    assert (pairs["pairs"], pairs["zero_share"], pairs["rho"]) == (5, 0.5, pytest.approx(1))
    assert zeros["pairs"] == 10
    assert 0.8 < zeros["rho"] < 1, "those of no document are tied as the lowest"


def test_small_answers():
    assert begins_with(" Paris, which is", "paris")
    assert not begins_with("parisian", "Paris")
    assert not begins_with("", "Paris")
    assert not begins_with("x", "...")
    assert authors_bins(np.array([0, 199, 200, 1000, 1001])).tolist() == [0, 0, 1, 4, -1]
