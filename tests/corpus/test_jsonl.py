"""JSON lines, plain and compressed, as text and as tokens; the error for an invalid line names the line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, text_of


@pytest.fixture
def options(tmp_path: Path) -> CorpusOptions:
    return CorpusOptions(encoder=ENCODER, cache=tmp_path / "cache")


def jsonl(*objects: object) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in objects).encode()


def frames(content: bytes) -> bytes:
    """Several Zstandard frames, cut within lines."""
    cut = [content[start : start + 7] for start in range(0, len(content), 7)]
    return b"".join(zstandard.ZstdCompressor().compress(piece) for piece in cut)


LINES = [{"tokens": [5, 6, 7]}, {"tokens": []}, {"tokens": [9, 8, 7, 70_000]}]


def rows_of(corpus: Corpus) -> list[list[int]]:
    read = corpus.read(np.arange(len(corpus)), 50)
    return [row[:length] for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, frames])
@pytest.mark.parametrize("name", ["rows.jsonl", "no-suffix"])
def test_ragged_tokens_round_trip(
    tmp_path: Path, options: CorpusOptions, pack: Callable[[bytes], bytes], name: str
) -> None:
    (tmp_path / name).write_bytes(pack(jsonl(*LINES)))
    corpus = open_corpus(tmp_path / name, options=options)
    assert corpus.format == "jsonl"
    assert rows_of(corpus) == [line["tokens"] for line in LINES]
    assert corpus.details["column"] == "tokens"
    assert corpus.details["row_length"] is None


def test_text_is_cut_and_columns_pass_through(tmp_path: Path, options: CorpusOptions) -> None:
    first = {"text": "abcdefg", "repetitions": 16, "source": "books", "document": 40}
    (tmp_path / "texts.jsonl").write_bytes(jsonl(first, {"text": "xyz", "source": {"no": "text"}}))
    options = CorpusOptions(row_length=3, encoder=ENCODER, cache=options.cache)
    corpus = open_corpus(tmp_path / "texts.jsonl", options=options)
    assert [text_of(row) for row in rows_of(corpus)] == ["abc", "def", "xyz"]
    provenance = corpus.provenance(np.array([2, 1, 0]))
    assert provenance.document == [1, 40, 40]
    assert provenance.source == [None, "books", "books"]
    assert provenance.repetitions == [None, 16, 16]


def test_own_row_ids(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl(*({"index": 100 - n, "tokens": [n, n]} for n in range(4))))
    corpus = open_corpus(tmp_path / "rows.jsonl", options=options)
    assert corpus.row_ids(np.array([3, 0])).tolist() == [97, 100]
    assert corpus.details["own_row_ids"] is True
    cut = open_corpus(tmp_path / "rows.jsonl", options=CorpusOptions(row_length=1, cache=options.cache))
    assert cut.row_ids(np.array([7, 0])).tolist() == [7, 0]  # two rows would share an id
    assert cut.details["own_row_ids"] is False


def test_a_folder_and_blank_lines(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "b.jsonl.gz").write_bytes(gzip.compress(jsonl({"tokens": [3]})))
    (tmp_path / "many" / "a.jsonl.zst").write_bytes(frames(b"\n" + jsonl({"tokens": [1]}) + b"\n" + b'{"tokens":[2]}'))
    (tmp_path / "many" / "README.md").write_text("about")
    assert rows_of(open_corpus(tmp_path / "many", options=options)) == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (b'{"tokens": [1, 2', r"rows\.jsonl, line 2 is not valid JSON: .* each line is one object"),
        (b"[1, 2]\n", r"line 2 is \[1, 2\], but each line is one JSON object"),
        (b'{"token": [1]}\n', r"line 2 has no 'tokens'; every record needs it; it has: token"),
        (b'{"tokens": [1, -2]}\n', r"line 2: 'tokens' has -2, but tokens are integers, 0 or more"),
        (b'{"tokens": [1, 2.0]}\n', r"line 2: 'tokens' has 2\.0, but"),
        (b'{"tokens": [true]}\n', r"line 2: 'tokens' has true, but"),
        (b'{"tokens": [[1]]}\n', r"line 2: 'tokens' has \[1\], but"),
        (b'{"tokens": "one"}\n', r"line 2: 'tokens' is \"one\", but tokens are a list"),
        (b'{"tokens": [99999999999999999999]}\n', r"line 2: 'tokens' has 99999999999999999999, but"),
        (b'{"tokens": "caf\xe9"}\n', r"line 2 is not valid JSON: 'utf-8' codec"),
    ],
)
def test_broken_lines(tmp_path: Path, options: CorpusOptions, second: bytes, message: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl({"tokens": [1]}) + second)
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / "rows.jsonl", options=options)


def test_text_must_stay_text(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl({"text": "abc"}, {"text": None}))
    with pytest.raises(CorpusError, match=r"line 2: 'text' is null, but it must be text, as in the first record"):
        open_corpus(tmp_path / "rows.jsonl", options=CorpusOptions(row_length=2, encoder=ENCODER, cache=options.cache))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress, frames])
@pytest.mark.parametrize("cut", [3, 9])
def test_truncated_compression(
    tmp_path: Path, options: CorpusOptions, pack: Callable[[bytes], bytes], cut: int
) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(pack(jsonl(*LINES))[:-cut])
    with pytest.raises(CorpusError, match=r"rows\.jsonl\.gz is damaged or truncated: .*; download or write it again"):
        open_corpus(tmp_path / "rows.jsonl.gz", options=options)


def test_columns(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl({"body": "abcd", "tokens": [1, 2]}))
    chosen = CorpusOptions(column="body", row_length=2, encoder=ENCODER, cache=options.cache)
    assert [text_of(row) for row in rows_of(open_corpus(tmp_path / "rows.jsonl", options=chosen))] == ["ab", "cd"]
    with pytest.raises(
        CorpusError, match=r"no column 'bodi'\. Did you mean 'body'\? It has: body, tokens; .* --column"
    ):
        open_corpus(tmp_path / "rows.jsonl", options=CorpusOptions(column="bodi"))
    (tmp_path / "rows.jsonl").write_bytes(jsonl({"body": "abcd"}))
    with pytest.raises(
        CorpusError, match=r"none of the columns tokens, .* content, .* and not both .*; it has: body; name .* --column"
    ):
        open_corpus(tmp_path / "rows.jsonl", options=options)


def test_no_lines(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\n\n")
    with pytest.raises(CorpusError, match="has no lines; a corpus needs at least one JSON object"):
        open_corpus(tmp_path / "rows.jsonl", options=options)
