"""What a user of `mematlas index` and `mematlas count` reads."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["<eod>", "to", "be", "or", "not", "that", "is", "the", "question"]


@pytest.fixture
def rows(tmp_path):
    """Two rows of eight tokens: the first holds the end of a document."""
    np.save(tmp_path / "rows.npy", np.array([[1, 2, 3, 4, 1, 2, 0, 5], [6, 7, 8, 1, 2, 3, 4, 1]]))
    return tmp_path / "rows.npy"


@pytest.fixture
def tokenizer(tmp_path):
    """A folder with a tokenizer of WORDS, one id each."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<eod>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def test_an_index_is_built_asked_and_left_alone(say, rows, tmp_path):
    out = tmp_path / "index"
    code, said, errors = say("index", rows, "--eod", 0, "--out", out, "--verify", "--tables")
    assert code == 0, errors
    assert f"The index of 16 tokens, 2 rows and 3 documents is in {out}." in said
    assert "Verified: every file is as it was written, every suffix in its order." in said
    assert f"Tables: {out / 'unigrams.parquet'}, {out / 'bigrams.parquet'}" in said
    assert f"Ask it: mematlas count {out} --ids 1,2,3" in said
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert say("index", rows, "--eod", 0, "--out", out)[0] == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_counts_come_with_their_places(say, rows, tmp_path):
    out = tmp_path / "index"
    say("index", rows, "--eod", 0, "--out", out)
    code, said, _ = say("count", out, "--ids", "1,2", "--hits", 2, "--around", 3)
    assert code == 0
    assert said == (
        "1 2 (2 tokens): 3 times within documents\n"
        "  row 0, offset 0, document 0:\n"
        "    ...>>>1 2<<<3 4 1...\n"
        "  row 0, offset 4, document 0:\n"
        "    ...2 3 4>>>1 2<<<0...\n"
    )
    found = json.loads(say("count", out, "--ids", "5,6", "--scope", "stream", "--json")[1])
    assert (found["count"], found["scope"], found["ids"], found["text"]) == (1, "stream", [5, 6], None)
    assert found["hits"][0] | {"before": 0, "after": 0} == {
        "position": 7,
        "row": 0,
        "offset": 7,
        "document": 1,
        "before": 0,
        "after": 0,
    }
    assert json.loads(say("count", out, "--ids", "5,6", "--json")[1])["count"] == 0


def test_texts_are_counted_with_the_tokenizer_of_the_index(say, rows, tokenizer, tmp_path):
    out = tmp_path / "index"
    assert say("index", rows, "--eod", 0, "--out", out, "--tokenizer", tokenizer)[0] == 0
    code, said, _ = say("count", out, "to be or not to")
    assert code == 0
    assert "(5 tokens): 2 times within documents" in said
    (tmp_path / "queries.txt").write_text('1,2\n"the question"\n\n[3, 4]\n')
    lines = say("count", out, "--file", tmp_path / "queries.txt", "--json", "--hits", 0)[1].splitlines()
    assert [json.loads(line)["count"] for line in lines] == [3, 1, 2]
    assert [json.loads(line)["ids"] for line in lines] == [[1, 2], [7, 8], [3, 4]]


def test_another_tokenizer_is_refused(say, rows, tokenizer, tmp_path):
    out, other = tmp_path / "index", tmp_path / "other"
    say("index", rows, "--eod", 0, "--out", out, "--tokenizer", tokenizer)
    other.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (tokenizer / name).read_text()
        (other / name).write_text(text.replace('"question"', '"answer"'))
    code, _, said = say("count", out, "to be", "--tokenizer", other)
    assert code == 1
    assert "was made with another tokenizer" in said
    assert said.count("\n") == 1


def test_documents_that_nothing_tells_apart_are_named(say, rows, tmp_path):
    said = say("index", rows, "--out", tmp_path / "index")[1]
    assert "Documents end where rows do, since nothing else says where; --eod names the token that ends them." in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Give one of: a text, --ids 1,2,3, or --file QUERIES."),
        (("text", "--ids", "1"), "Give one of: a text, --ids 1,2,3, or --file QUERIES."),
        (("text",), "The index names no tokenizer to make tokens of a text; give --tokenizer, or --ids 1,2,3."),
        (("--ids", "1,x"), "--ids: '1,x' are no token ids; write them as 1,2,3."),
        (("--ids", ""), "An empty n-gram stands everywhere and nowhere; give at least one token."),
        (("--ids", "1,70000000000"), "The token id 70000000000 is outside the vocabulary, 0 to 4294967295; were"),
        (("--ids", ",".join("1" * 17)), "An n-gram of 17 tokens is longer than the corpus (16); shorten it."),
        (("--file", "nothing.txt"), "nothing.txt cannot be read"),
    ],
)
def test_mistakes_are_one_line(say, rows, tmp_path, words, message):
    out = tmp_path / "index"
    say("index", rows, "--out", out)
    code, said, error = say("count", out, *words)
    assert (code, said) == (1, "")
    assert error.startswith(f"mematlas: {message}")
    assert error.count("\n") == 1


def test_an_empty_or_strange_file_of_queries_is_told(say, rows, tmp_path):
    out, queries = tmp_path / "index", tmp_path / "queries.txt"
    say("index", rows, "--out", out)
    queries.write_text("\n")
    assert "queries.txt holds no query; write one a line" in say("count", out, "--file", queries)[2]
    queries.write_text('1,2\n"open\n')
    assert 'queries.txt, line 2: "open is no text as JSON has it' in say("count", out, "--file", queries)[2]


def test_what_is_no_index_is_told(say, tmp_path):
    code, _, error = say("count", tmp_path, "--ids", "1")
    assert code == 1
    assert error == f"mematlas: {tmp_path} holds no index; build one: mematlas index CORPUS --out {tmp_path}.\n"


def test_an_index_goes_out_to_infini_gram_and_is_asked_there(say, rows, tmp_path):
    out, infini = tmp_path / "index", tmp_path / "infini"
    code, said, _ = say("index", rows, "--eod", 0, "--vocabulary", 9, "--out", out, "--infini-gram", infini)
    assert code == 0
    assert f"An infini-gram v4 directory is in {infini}." in said
    code, said, _ = say("count", infini, "--ids", "1,2", "--hits", 1)
    assert said.startswith("1 2 (2 tokens): 3 times within documents\n  document 0:\n")
    code, _, error = say("count", infini, "--ids", "1,2", "--scope", "rows")
    assert (code, error.count("\n")) == (1, 1)
    assert "This index knows no scope 'rows', only documents" in error
