"""JSON files that are one array of objects or texts: read element by element, whatever the pieces they are read in."""

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.reading import compression, json_records
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, text_of


@pytest.fixture
def options(tmp_path: Path) -> CorpusOptions:
    return CorpusOptions(row_length=3, cut="window", encoder=ENCODER, cache=tmp_path / "cache")


def texts_of(corpus: Corpus) -> list[str]:
    read = corpus.read(np.arange(len(corpus)), 99)
    return [text_of(row[:length]) for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


RECORDS = [{"text": "abcd", "source": "x"}, {"text": "efg", "repetitions": 4}, {"text": "h"}]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows"])
def test_objects(tmp_path: Path, options: CorpusOptions, name: str, pack, indent: int | None) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / name).write_bytes(pack(json.dumps(RECORDS, indent=indent).encode()))
    corpus = open_corpus(tmp_path / name, options=options)
    assert (corpus.format, texts_of(corpus)) == ("jsonl", ["abc", "efg", "h"])
    provenance = corpus.provenance(np.arange(3))
    assert provenance.source == ["x", None, None]
    assert provenance.repetitions == [None, 4, None]
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    (tmp_path / "lines.jsonl").write_text(lines)
    assert texts_of(open_corpus(tmp_path / "lines.jsonl", options=options)) == texts_of(corpus)


def test_texts_and_tokens(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "a.json").write_text('\ufeff\n[\n "abcd" , "e\\u0066g"\n]\n')
    corpus = open_corpus(tmp_path / "a.json", options=options)
    assert (texts_of(corpus), corpus.details["column"]) == (["abc", "efg"], "text")
    (tmp_path / "a.json").write_text('[{"tokens": [1, 2]}, {"tokens": [3]}]')
    tokens = open_corpus(tmp_path / "a.json", options=CorpusOptions(cache=options.cache))
    assert tokens.read(np.arange(2), 2).ids.tolist() == [[1, 2], [3, 0]]


def test_prose_in_brackets_is_text(tmp_path: Path, options: CorpusOptions) -> None:
    for prose in ("[Chapter 1]\nIt was", '["Stop!" he said]', "[1] A footnote"):
        (tmp_path / "a").write_text(prose)
        assert open_corpus(tmp_path / "a", options=options).format == "text"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    draw = random.Random(size)
    values = [
        {"text": "".join(draw.choices('ab"\\\u00e9\U0001f600\n]}', k=draw.randrange(20))), "number": -1.5e9, "n": None}
        for _ in range(30)
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values, indent=draw.choice([None, 1]), ensure_ascii=bool(size % 2)))
    monkeypatch.setattr(compression, "CHUNK_BYTES", size)
    assert [record for _, record in json_records.read_records([path])] == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "abc"}, {"text": "ab', r"a\.json, element 2 is not valid JSON: Unterminated string.*; write the"),
        ('[{"text": "abc"}, {"text" "ab"}' + " " * 99, r"a\.json, element 2 is not valid JSON: Expecting ':'"),
        ('[{"text": "abc"}', r"after element 1 of its array, it ends, where a comma or the end of the array"),
        ('[{"text": "abc"} {"text": "d"}]', r"after element 1 of its array, '\{' follows, where a comma"),
        ('[{"text": "abc"}, ]', r"element 2 is not valid JSON: Expecting value"),
        ('[{"text": "abc"}]\n[{"text": "d"}]', r"has more after the end of its array: '\['; a file is one array, or"),
        ('[{"text": "abc"}, "d"]', r'element 2 of the array is "d", but all elements are objects, or all are texts'),
        (
            "[[1, 2], [3]]",
            r'element 1 of the array is \[1, 2\], but all .* rows of tokens as \{"tokens": \[1, 2, 3\]\}',
        ),
        ("[1, 2]", r"element 1 of the array is 1, but all elements are objects, or all are texts"),
        ("[]", r"a\.json has no lines; a corpus needs at least one JSON object"),
        ("[", r"a\.json, element 1 is not valid JSON"),
        ('[{"text": ' + "[" * 100_000, r"element 1 is not valid JSON: maximum recursion depth"),
        ('[{"text": ' + "9" * 5000 + "}]", r"element 1 is not valid JSON: Exceeds the limit"),
        (b'["caf\xe9"]', r"a\.json is not valid JSON: 'utf-8' codec .* JSON is UTF-8"),
        ('[{"text": "abc"}, {"body": "d"}]', r"element 2 has no 'text'; every record needs it; it has: body"),
        ('{\n "text": "abc"\n}', r"line 1 is not valid JSON: .* each line is one object in UTF-8 \(`jq -c \.` writes"),
    ],
)
def test_damaged_arrays(tmp_path: Path, options: CorpusOptions, content: str | bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / "a.json", options=options)


def test_a_fault_is_found_before_the_rest_is_read(tmp_path: Path, options: CorpusOptions) -> None:
    with (tmp_path / "a.json").open("w") as file:
        file.write('[{"text" "abc"},')
        file.writelines('{"text": "abc"},' for _ in range(1 << 18))
    text = json_records._Text(tmp_path / "a.json")
    text.skip("[")
    with pytest.raises(CorpusError, match="Expecting ':'"):
        text.value("here")
    assert len(text._kept) < 2 << 20


def test_prompts_and_completions(tmp_path: Path, options: CorpusOptions) -> None:
    options = replace(options, row_length=6)
    (tmp_path / "a.json").write_text('[{"prompt": "abc", "completion": "de"}, {"completion": "yz", "prompt": "x"}]')
    corpus = open_corpus(tmp_path / "a.json", options=options)
    assert (texts_of(corpus), corpus.details["column"]) == (["abcde", "xyz"], "prompt + completion")
