"""CSV and TSV: read as tables, never as prose; quotes, delimiters, compression; errors name the line."""

import csv
import gzip
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.formats.csv import CsvRows
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, text_of


@pytest.fixture
def options(tmp_path: Path) -> CorpusOptions:
    return CorpusOptions(row_length=3, cut="window", encoder=ENCODER, cache=tmp_path / "cache")


def texts_of(corpus: Corpus) -> list[str]:
    read = corpus.read(np.arange(len(corpus)), 99)
    return [text_of(row[:length]) for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


TABLE = "id,text,label\n1,abcd,x\n2,efg,y\n"


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.txt", "rows"])
def test_a_table_is_no_prose(tmp_path: Path, options: CorpusOptions, name: str, delimiter: str) -> None:
    corpus = open_corpus(written(tmp_path / name, TABLE.replace(",", delimiter)), options=options)
    assert (corpus.format, texts_of(corpus)) == ("csv", ["abc", "efg"])
    assert corpus.details["column"] == "text"
    assert corpus.provenance(np.array([1])).document == [1]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("name", ["rows.csv.gz", "rows"])
def test_compressed(tmp_path: Path, options: CorpusOptions, name: str, pack) -> None:  # type: ignore[no-untyped-def]
    assert texts_of(open_corpus(written(tmp_path / name, pack(TABLE.encode())), options=options)) == ["abc", "efg"]


@pytest.mark.parametrize(
    "prose",
    [
        "The text, as it stands,\nhas commas, too,\nand lines.",
        "text\nabc\n",
        "id, text, and more\nonly prose\n",
        '"text", he said\nand went, "on"',
    ],
)
def test_prose_is_no_table(tmp_path: Path, options: CorpusOptions, prose: str) -> None:
    assert open_corpus(written(tmp_path / "a.txt", prose), options=options).format == "text"


def test_quotes_line_ends_and_blank_lines(tmp_path: Path, options: CorpusOptions) -> None:
    content = '\ufefftext,label\r\n"a,b",1\r\n\r\n"x\ny",2\r\n"""q""",3'
    corpus = open_corpus(written(tmp_path / "a.csv", content), options=options)
    assert texts_of(corpus) == ["a,b", "x\ny", '"q"']


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\0"), max_size=9), min_size=1, max_size=5))
def test_what_the_library_writes(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    content = io.StringIO(newline="")
    writer = csv.writer(content)
    writer.writerows([["text", "label"], *([text, "x"] for text in texts)])
    path = written(tmp_path_factory.mktemp("csv") / "a.csv", content.getvalue())
    assert [document.value for document in CsvRows(path, [path], CorpusOptions())] == texts


def test_tokens_and_other_columns(tmp_path: Path) -> None:
    content = 'index,tokens,repetitions,document,source\n30,"[1, 2, 3]",16.0,7,books\n10,[],,,\n'
    corpus = open_corpus(written(tmp_path / "a.csv", content), options=CorpusOptions(cache=tmp_path / "cache"))
    read = corpus.read(np.arange(2), 4)
    assert (read.ids.tolist(), read.lengths.tolist()) == ([[1, 2, 3, 0], [0] * 4], [3, 0])
    assert corpus.row_ids(np.array([1, 0])).tolist() == [10, 30]
    provenance = corpus.provenance(np.array([0, 1]))
    assert (provenance.repetitions, provenance.document) == ([16, None], [7, None])
    assert provenance.source == ["books", None]


def test_a_column_by_its_name(tmp_path: Path, options: CorpusOptions) -> None:
    path = written(tmp_path / "a.csv", "body,ids\nabcd,[5;6]\nefgh,[7]\n".replace(";", " "))
    assert texts_of(open_corpus(path, options=replace(options, column="body"))) == ["abc", "efg"]
    written(path, 'body,ids\nabcd,"[5, 6]"\nefgh,[7]\n')
    corpus = open_corpus(path, options=replace(options, column="ids", row_length=None, cut="rows"))
    assert corpus.read(np.arange(2), 2).ids.tolist() == [[5, 6], [7, 0]]


def test_a_folder(tmp_path: Path, options: CorpusOptions) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    written(folder / "b.csv", "text,label\nxyz,1\n")
    written(folder / "a.csv.gz", gzip.compress(b"text,label\nabc,1\n"))
    assert texts_of(open_corpus(folder, options=options)) == ["abc", "xyz"]
    written(folder / "c.csv", "text\nxyz\n")
    with pytest.raises(CorpusError, match=r"c\.csv has other columns than .*a\.csv\.gz: text, not text, label; "):
        open_corpus(folder, options=options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nabc,1\nabc,d,1\n", r"line 3 has 3 fields, but the header has 2 \(text, label\); quote fields"),
        ('text,label\n"a\nb",1\n"abc,1\n\n', r"a\.csv, the row from line 4 on is not valid CSV: .* close every quote"),
        ('text,label\n"a"b,1\n', r"from line 2 on is not valid CSV: ',' expected after '\"'"),
        ("name,label\nabc,1\n", r"The header of .*a\.csv has none of the columns .*; it has: name, label; .* --column"),
        ("text,text\nabc,1\n", r"The header of .*a\.csv has 'text' more than once; rename one"),
        ("text,label\n\n", r"has a header but no row; a corpus needs at least one"),
        ("\n\n", r"a\.csv has no lines; a CSV file has a header"),
        ("tokens,label\n1 2 3,1\n", r"line 2: 'tokens' is \"1 2 3\", but tokens are a list; check the column"),
        ('tokens,label\n"[1, -2]",1\n', r"line 2: 'tokens' has -2, but tokens are integers, 0 or more"),
        ("tokens,label\n[4294967296],1\n", r"line 2: 'tokens' has 4294967296, but tokens are integers"),
        (
            "messages,label\n[{},1\n",
            r"has chats in the column 'messages', but the tokenizer of letters has no",
        ),
    ],
)
def test_broken_tables(tmp_path: Path, options: CorpusOptions, content: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        open_corpus(written(tmp_path / "a.csv", content), options=options)


def test_long_fields(tmp_path: Path, options: CorpusOptions) -> None:
    corpus = open_corpus(written(tmp_path / "a.csv", f"text,n\n{'x' * 200_000},1\n"), options=options)
    assert corpus.details["dropped_tokens"] == 200_000 - 3
