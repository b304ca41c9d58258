"""Text is tokenized once and cut; the cache survives interruptions and is never reused for other options."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.reading.cache import _Writer
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, text_of

CUTS = st.sampled_from(["rows", "window"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = tmp_path / "texts"
    (texts / "b").mkdir(parents=True)
    (texts / "c.md").write_text("abcdefghij")
    (texts / "a.txt").write_text("ABCDEFG")
    (texts / "b" / "x.py").write_text("xy")
    (texts / "b" / "LICENSE").write_text("lmnopq")
    (texts / "z.png").write_bytes(b"\x89PNG\r\n\xff\xfe")
    (texts / ".hidden.txt").write_text("hidden")
    return texts


@pytest.fixture
def options(tmp_path: Path) -> CorpusOptions:
    return CorpusOptions(row_length=3, encoder=ENCODER, cache=tmp_path / "cache")


def texts_of(corpus: object) -> list[str]:
    read = corpus.read(np.arange(len(corpus)), 99)  # type: ignore[attr-defined,arg-type]
    return [text_of(row[:length]) for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


def test_rows_never_span_documents(folder: Path, options: CorpusOptions) -> None:
    corpus = open_corpus(folder, options=options)
    assert corpus.format == "text"
    assert texts_of(corpus) == ["ABC", "DEF", "lmn", "opq", "abc", "def", "ghi"]
    provenance = corpus.provenance(np.array([6, 0, 2]))
    assert provenance.document == [3, 0, 1]
    assert provenance.source == ["c.md", "a.txt", "b/LICENSE"]
    assert provenance.repetitions == [None, None, None]
    assert corpus.row_ids(np.array([6, 2])).tolist() == [6, 2]
    assert corpus.details == {
        "skipped_files": 2,
        "skipped_names": ".hidden.txt, z.png",
        "row_length": 3,
        "cut": "rows",
        "token_dtype": "uint16",
        "documents": 4,
        "short_documents": 1,
        "dropped_tokens": 4,
        "own_row_ids": False,
        "encoder": "letters",
    }


def test_one_window_a_document(folder: Path, options: CorpusOptions) -> None:
    corpus = open_corpus(folder, options=replace(options, cut="window"))
    assert texts_of(corpus) == ["ABC", "lmn", "xy", "abc"]
    assert corpus.details["dropped_tokens"] == 4 + 3 + 7
    assert corpus.details["short_documents"] == 1


def test_a_row_length_that_only_text_takes(folder: Path, options: CorpusOptions, tmp_path: Path) -> None:
    whole = open_corpus(folder, options=options)
    unnamed = open_corpus(folder, options=replace(options, row_length=None, text_row_length=3))
    assert (unnamed.fingerprint, unnamed.details) == (whole.fingerprint, whole.details)
    assert open_corpus(folder, options=replace(options, text_row_length=5)).fingerprint == whole.fingerprint
    (tmp_path / "rows.jsonl").write_text('{"tokens": [1, 2, 3, 4]}')
    tokens = open_corpus(tmp_path / "rows.jsonl", options=CorpusOptions(text_row_length=2, cache=options.cache))
    assert tokens.details["row_length"] is None


def test_one_file(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "alone").write_text("abcdef")
    corpus = open_corpus(tmp_path / "alone", options=options)
    assert (texts_of(corpus), corpus.provenance(np.array([1])).source) == (["abc", "def"], ["alone"])


@given(length=st.integers(0, 50), row_length=st.one_of(st.none(), st.integers(1, 12)), cut=CUTS)
def test_cutting_keeps_or_counts_every_token(length: int, row_length: int | None, cut: str) -> None:
    options = CorpusOptions(row_length=row_length, cut=cut)  # type: ignore[arg-type]
    lengths = _Writer(None, None, np.dtype("<u2"), options)._row_lengths(length)  # type: ignore[arg-type]
    wanted = [list(range(length))[start : start + (row_length or 99)] for start in range(0, length, row_length or 99)]
    if row_length is None:
        assert lengths == [length]
    elif cut == "rows":
        assert lengths == [len(piece) for piece in wanted if len(piece) == row_length]
    else:
        assert lengths == [min(length, row_length)]


def test_text_is_encoded_once(folder: Path, options: CorpusOptions) -> None:
    calls = []

    def encode(texts: list[str]) -> list[list[int]]:
        calls.append(len(texts))
        return ENCODER.encode(texts)

    options = replace(options, encoder=replace(ENCODER, encode=encode))
    first = open_corpus(folder, options=options)
    again = open_corpus(folder, options=options)
    assert calls == [4]
    assert (again.fingerprint, again.details, texts_of(again)) == (first.fingerprint, first.details, texts_of(first))


def test_another_option_is_another_corpus(folder: Path, options: CorpusOptions) -> None:
    variants = [
        options,
        replace(options, row_length=4),
        replace(options, cut="window"),
        replace(options, encoder=replace(ENCODER, fingerprint="letters-2")),
    ]
    assert len({open_corpus(folder, options=variant).fingerprint for variant in variants}) == 4
    (folder / "a.txt").rename(folder / "a2.txt")  # the name is the rows' source
    assert open_corpus(folder, options=options).provenance(np.array([0])).source == ["a2.txt"]


def test_an_interrupted_build_is_built_again(folder: Path, options: CorpusOptions, tmp_path: Path) -> None:
    def interrupted(texts: list[str]) -> list[list[int]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_corpus(folder, options=replace(options, encoder=replace(ENCODER, encode=interrupted)))
    assert list((tmp_path / "cache").iterdir()) == []
    whole = texts_of(open_corpus(folder, options=options))
    (built,) = (tmp_path / "cache").iterdir()
    assert {file.name for file in built.iterdir()} == {"tokens.bin", "rows.bin", "meta.json"}
    for damage in (built / "meta.json").unlink, lambda: (built / "tokens.bin").write_bytes(b"ab"):
        damage()
        assert texts_of(open_corpus(folder, options=options)) == whole
    assert list((tmp_path / "cache").iterdir()) == [built]


def test_large_vocabularies_take_four_bytes(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "x.txt").write_text("a\U0001f600b", encoding="utf-8")
    corpus = open_corpus(tmp_path / "x.txt", options=replace(options, encoder=replace(ENCODER, vocabulary=1 << 17)))
    assert corpus.details["token_dtype"] == "uint32"
    assert corpus.read(np.array([0]), 3).ids.tolist() == [[97, 0x1F600, 98]]
    with pytest.raises(CorpusError, match=r"Document 0 has the token 128512, but tokens are at most 65535"):
        open_corpus(tmp_path / "x.txt", options=options)


def test_many_documents_are_encoded_in_batches(tmp_path: Path, options: CorpusOptions) -> None:
    sizes = []

    def encode(texts: list[str]) -> Iterator[list[int]]:
        sizes.append(len(texts))
        return map(list, ENCODER.encode(texts))

    (tmp_path / "many").mkdir()
    for number in range(300):
        (tmp_path / "many" / f"{number:03}.txt").write_text(f"{number:03}")
    encoder = replace(ENCODER, encode=encode)  # type: ignore[arg-type]
    corpus = open_corpus(tmp_path / "many", options=replace(options, encoder=encoder))
    assert sizes == [256, 44]
    assert texts_of(corpus) == [f"{number:03}" for number in range(300)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": None}, r"is text, but the model's folder has no tokenizer; .* --tokenizer, or give .* token ids"),
        ({"row_length": None}, r"documents of different lengths, .* name it: --row-length"),
        ({"row_length": 11}, r"none of its 4 documents has 11 tokens; name a shorter --row-length, .* window"),
        ({"row_length": None, "text_row_length": 10**9}, r"has 1000000000 tokens; choose a shorter --context"),
        ({"cut": "words"}, r"No cut is called 'words'; choose one of auto, rows, window, answers"),
    ],
)
def test_what_text_needs(folder: Path, options: CorpusOptions, changes: dict[str, object], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        open_corpus(folder, options=replace(options, **changes))  # type: ignore[arg-type]
