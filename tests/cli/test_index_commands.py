"""The output and errors of `mematlas index` and `mematlas count`."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["<eod>", "to", "be", "or", "not", "that", "is", "the", "question"]


@pytest.fixture
def rows(tmp_path):
    """Two rows of eight tokens; the first contains the end of a document."""
    np.save(tmp_path / "rows.npy", np.array([[1, 2, 3, 4, 1, 2, 0, 5], [6, 7, 8, 1, 2, 3, 4, 1]]))
    return tmp_path / "rows.npy"


@pytest.fixture
def tokenizer(tmp_path):
    """A folder with a tokenizer of WORDS, one id each."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<eod>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def test_an_index_is_built_once_and_queried(cli, rows, tmp_path):
    index = tmp_path / "index"
    code, out, err = cli("index", rows, "--eod", 0, "--out", index, "--verify", "--tables")
    assert code == 0, err
    assert f"The index of 16 tokens, 2 rows and 3 documents is in {index}." in out
    assert "Verified: every file is unchanged, every suffix is in order." in out
    assert f"Tables: {index / 'unigrams.parquet'}, {index / 'bigrams.parquet'}" in out
    assert f"Query it: mematlas count {index} --ids 1,2,3" in out
    before = {path.name: path.read_bytes() for path in index.iterdir()}
    assert cli("index", rows, "--eod", 0, "--out", index)[0] == 0
    assert {path.name: path.read_bytes() for path in index.iterdir()} == before


def test_what_is_left_out_of_the_index_is_named(cli, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"tokens": [1, 2, 3, 4, 5]}\n{"tokens": [1, 2]}\n')
    code, out, err = cli("index", tmp_path / "rows.jsonl", "--row-length", 4, "--out", tmp_path / "index")
    assert code == 0, err
    assert (
        "\nleft out: 1 of 2 documents, shorter than 4 tokens; 3 of 7 tokens, in those documents and at the ends of "
        "documents, where they fill no row\n"
    ) in out


def test_counts_are_printed_with_their_positions(cli, rows, tmp_path):
    index = tmp_path / "index"
    cli("index", rows, "--eod", 0, "--out", index)
    code, out, _ = cli("count", index, "--ids", "1,2", "--hits", 2, "--around", 3)
    assert code == 0
    assert out == (
        "1 2 (2 tokens): 3 times within documents\n"
        "  row 0, offset 0, document 0:\n"
        "    ...>>>1 2<<<3 4 1...\n"
        "  row 0, offset 4, document 0:\n"
        "    ...2 3 4>>>1 2<<<0...\n"
    )
    result = json.loads(cli("count", index, "--ids", "5,6", "--scope", "stream", "--json")[1])
    assert (result["count"], result["scope"], result["ids"], result["text"]) == (1, "stream", [5, 6], None)
    assert result["hits"][0] | {"before": 0, "after": 0} == {
        "position": 7,
        "row": 0,
        "offset": 7,
        "document": 1,
        "before": 0,
        "after": 0,
    }
    assert json.loads(cli("count", index, "--ids", "5,6", "--json")[1])["count"] == 0


def test_texts_are_counted_with_the_tokenizer_of_the_index(cli, rows, tokenizer, tmp_path):
    index = tmp_path / "index"
    assert cli("index", rows, "--eod", 0, "--out", index, "--tokenizer", tokenizer)[0] == 0
    code, out, _ = cli("count", index, "to be or not to")
    assert code == 0
    assert "(5 tokens): 2 times within documents" in out
    (tmp_path / "queries.txt").write_text('1,2\n"the question"\n\n[3, 4]\n')
    lines = cli("count", index, "--file", tmp_path / "queries.txt", "--json", "--hits", 0)[1].splitlines()
    assert [json.loads(line)["count"] for line in lines] == [3, 1, 2]
    assert [json.loads(line)["ids"] for line in lines] == [[1, 2], [7, 8], [3, 4]]


def test_another_tokenizer_is_rejected(cli, rows, tokenizer, tmp_path):
    index, other = tmp_path / "index", tmp_path / "other"
    cli("index", rows, "--eod", 0, "--out", index, "--tokenizer", tokenizer)
    other.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (tokenizer / name).read_text()
        (other / name).write_text(text.replace('"question"', '"answer"'))
    code, _, err = cli("count", index, "to be", "--tokenizer", other)
    assert code == 1
    assert "was built with another tokenizer" in err
    assert err.count("\n") == 1


def test_a_corpus_without_document_ends_is_reported(cli, rows, tmp_path):
    out = cli("index", rows, "--out", tmp_path / "index")[1]
    assert "Documents are taken to end with rows, because nothing marks their ends; --eod names the token that" in out


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        ((), "Give exactly one of: a text, --ids 1,2,3, or --file QUERIES.", 2),
        (("text", "--ids", "1"), "Give exactly one of: a text, --ids 1,2,3, or --file QUERIES.", 2),
        (("text",), "The index was built without a tokenizer, so a text cannot be tokenized; give --tokenizer, or", 1),
        (("--ids", "1,x"), "--ids: '1,x' is not a list of token ids; write them as 1,2,3.", 2),
        (("--ids", ""), "--ids: '' is not a list of token ids; write them as 1,2,3.", 2),
        (("--ids", "1,70000000000"), "--ids: 70000000000 is no token id; these are from 0 to 4294967295.", 2),
        (("--ids", ",".join("1" * 17)), "An n-gram of 17 tokens is longer than the corpus (16); shorten it.", 1),
        (("--file", "nothing.txt"), "nothing.txt cannot be read", 1),
    ],
)
def test_mistakes_are_one_line(cli, rows, tmp_path, words, message, expected):
    index = tmp_path / "index"
    cli("index", rows, "--out", index)
    code, out, err = cli("count", index, *words)
    assert (code, out) == (expected, "")
    assert err.startswith(f"mematlas: {message}")
    assert err.count("\n") == 1


def test_an_empty_or_invalid_file_of_queries_is_reported(cli, rows, tmp_path):
    index, queries = tmp_path / "index", tmp_path / "queries.txt"
    cli("index", rows, "--out", index)
    queries.write_text("\n")
    assert "queries.txt contains no query; write one per line" in cli("count", index, "--file", queries)[2]
    queries.write_text('1,2\n"open\n')
    assert 'queries.txt, line 2: "open is not a JSON string' in cli("count", index, "--file", queries)[2]


def test_a_folder_that_is_not_an_index_is_reported(cli, tmp_path):
    code, _, err = cli("count", tmp_path, "--ids", "1")
    assert code == 1
    assert err == f"mematlas: {tmp_path} contains no index; build one: mematlas index CORPUS --out {tmp_path}.\n"


def test_an_index_is_exported_to_infini_gram_and_queried_there(cli, rows, tmp_path):
    index, infini = tmp_path / "index", tmp_path / "infini"
    code, out, _ = cli("index", rows, "--eod", 0, "--vocabulary", 9, "--out", index, "--infini-gram", infini)
    assert code == 0
    assert f"An infini-gram v4 directory is in {infini}." in out
    code, out, _ = cli("count", infini, "--ids", "1,2", "--hits", 1)
    assert out.startswith("1 2 (2 tokens): 3 times within documents\n  document 0:\n")
    code, _, err = cli("count", infini, "--ids", "1,2", "--scope", "rows")
    assert (code, err.count("\n")) == (1, 1)
    assert "This index does not support the scope 'rows'; choose one of: documents." in err
