"""Documents named by text: every format gives the clusters that the same documents give as numbers."""

import csv
import hashlib
import json
import re

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mematlas
from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.left_out import left_out_line, read_left_out
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.document_names import document_number, names_no_document
from mematlas.errors import CorpusError
from mematlas.study.clusters import cluster_rows
from tests.corpus.writers import ENCODER

URL = "https://example.org/a?b=ü"
NAMES = ["mail-17", "mail-17", URL, "mail-17", None, " ", URL]
SOURCES = ["a", "a", "a", "b", "a", "a", "a"]
NUMBERS = [17, 17, 3, 17, None, None, 3]
CLUSTERS = [0, 0, 1, 2, 3, 4, 1]  # one name in two sources is two documents; rows without a name are their own
FORMATS = ("jsonl", "csv", "parquet", "arrow", "datasets")


def write(folder, of_format, documents, kind="tokens", sources=SOURCES):
    """Seven rows of eight letters, as tokens or as text, with `documents`."""
    folder.mkdir()
    letters = np.random.default_rng(3).integers(97, 123, (len(documents), 8)).tolist()
    values = letters if kind == "tokens" else ["".join(map(chr, row)) for row in letters]
    columns = {kind: values, "document": documents, "source": sources}
    path = folder / f"rows.{of_format}"
    records = [dict(zip(columns, record, strict=True)) for record in zip(*columns.values(), strict=True)]
    if of_format == "jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif of_format == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(records)
    elif of_format == "parquet":
        pq.write_table(pa.table(columns), path, row_group_size=2)
    elif of_format == "arrow":
        table = pa.table(columns)
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        datasets.Dataset.from_dict(columns).save_to_disk(str(path))
    return path


def opened(path, kind="tokens"):
    options = CorpusOptions(cache=path.parent / "cache", encoder=ENCODER, row_length=4 if kind == "text" else None)
    return open_corpus(path, options=options)


def documents_of(path, kind="tokens"):
    corpus = opened(path, kind)
    return corpus.provenance(np.arange(len(corpus))).document


@pytest.mark.parametrize("of_format", FORMATS)
def test_clusters_are_those_of_numbered_documents_in_any_number_of_shards(tmp_path, of_format):
    found = []
    for name, documents in (("names", NAMES), ("numbers", NUMBERS)):
        path = write(tmp_path / name, of_format, documents)
        for shards in (1, 3):
            study = tmp_path / f"{name}-{shards}"
            options = {"context": [4], "continuation": [4], "shards": shards, "cache": str(tmp_path / "cache")}
            mematlas.score("uniform:130", corpus=str(path), study=str(study), **options)
            rows = mematlas.open_study(study).scan_rows()
            assert cluster_rows(rows)["cluster"].to_list() == CLUSTERS
            found.append(rows.collect()["document"].to_list())
    assert found[0] == found[1]
    assert found[2] == found[3] == NUMBERS


@pytest.mark.parametrize("of_format", FORMATS)
def test_all_rows_of_a_text_have_its_name(tmp_path, of_format):
    path = write(tmp_path / of_format, of_format, NAMES, "text")
    found = documents_of(path, "text")
    assert found[::2] == found[1::2]  # each text is cut into two rows
    mail, _, url, *_ = numbers = found[::2]
    assert [mail, url, mail, url] == [numbers[place] for place in (1, 2, 3, 6)]
    assert numbers[4:6] == [4, 5]  # without a name a text is a document of its own, numbered as it comes
    assert len(set(numbers)) == 4


def test_every_format_gives_a_name_the_same_number_in_any_order(tmp_path):
    found = {of_format: documents_of(write(tmp_path / of_format, of_format, NAMES)) for of_format in FORMATS}
    mail, url = document_number("mail-17", "a"), document_number(URL, "b")
    assert set(map(tuple, found.values())) == {(mail, mail, url, mail, None, None, url)}
    corpus = opened(tmp_path / "parquet" / "rows.parquet")
    assert corpus.provenance(np.array([6, 4, 0, 6])).document == [url, None, mail, url]


def test_the_number_of_a_name_never_changes():
    """Studies on disk have it: rows of a corpus that grew must be joined with those that were scored before."""
    digest = hashlib.blake2b(b"mail-17", digest_size=8, person=b"document").digest()
    assert document_number("mail-17", "a") == int.from_bytes(digest, "big") // 4 + 2**62


def test_numbers_of_names_are_apart_from_numbers_that_are_counted():
    numbers = [document_number(f"mail-{number}", "a") for number in range(20_000)]
    assert len(set(numbers)) == len(numbers)
    assert 1 << 62 <= min(numbers) <= max(numbers) < 1 << 63
    assert pl.Series(numbers, dtype=pl.Int64).null_count() == 0


@pytest.mark.parametrize(
    ("value", "number"),
    [(17, 17), (17.0, 17), (-3, -3), (float("nan"), None), (None, None), ("", None), ([1], None), (True, None)],
)
def test_whole_numbers_stay_and_what_is_missing_is_unknown(value, number):
    assert document_number(value, "a") == number


def test_a_number_of_more_than_63_bits_is_a_name():
    assert document_number(1 << 70, "a") == document_number(str(1 << 70), "a")


@pytest.mark.parametrize("value", [[1], {"id": 1}, True])
def test_other_kinds_name_nothing(value):
    assert names_no_document(value)
    assert not any(map(names_no_document, (None, 1, 1.0, "a")))


@pytest.mark.parametrize("of_format", ["jsonl", "parquet", "arrow", "datasets"])
def test_a_fraction_is_refused_in_one_line(tmp_path, of_format):
    path = write(tmp_path / of_format, of_format, [1.0, None, 2.5, 4.0, 5.0, 6.0, 7.0])
    with pytest.raises(CorpusError, match=r"the document 2\.5 is a fraction, but a document is named by text or a "):
        documents_of(path)


@pytest.mark.parametrize("of_format", FORMATS)
def test_whole_numbers_that_were_written_as_fractions_are_read(tmp_path, of_format):
    path = write(tmp_path / of_format, of_format, [1.0, None, 2.0, 1.0, 1.0, 2.0, None])
    assert documents_of(path) == [1, None, 2, 1, 1, 2, None]


def test_names_in_csv_that_look_like_fractions_are_names(tmp_path):
    """A field of CSV has no type: chapter 1.10 is not chapter 1.1."""
    found = documents_of(write(tmp_path / "csv", "csv", ["1.1", "1.10", "1.1", "2", "2.0", "a", ""]))
    assert found[0] == found[2] != found[1]
    assert found[3:5] == [2, 2]


@pytest.mark.parametrize("of_format", ["jsonl", "parquet", "arrow", "datasets"])
@pytest.mark.parametrize("kind", ["tokens", "text"])
def test_lists_are_named_among_what_is_left_out(tmp_path, of_format, kind):
    path = write(tmp_path / of_format, of_format, [[1, 2]] * 7, kind)
    corpus = opened(path, kind)
    assert corpus.provenance(np.arange(2)).document == ([None, None] if kind == "tokens" else [0, 0])
    example = r"\[1, 2\]" if of_format == "jsonl" else r"list<.*int64> values"
    line = left_out_line(read_left_out(corpus.details, len(corpus)))
    assert re.fullmatch(
        rf"left out: 7 document names, such as {example}: a name is text or a whole number; without one a row counts "
        "as a document of its own",
        line or "",
    )


@pytest.mark.parametrize("of_format", ["jsonl", "csv", "parquet"])
def test_a_column_that_is_read_as_text_names_no_documents(tmp_path, of_format):
    path = write(tmp_path / of_format, of_format, ["abcdefgh"] * 7)
    options = CorpusOptions(cache=tmp_path / "cache", encoder=ENCODER, row_length=4, column="document")
    corpus = open_corpus(path, options=options)
    assert corpus.provenance(np.arange(4)).document == [0, 0, 1, 1]
    assert read_left_out(corpus.details) == []


LAYOUT = {"layout": 1, "row_length": None, "cut": "rows", "encoder": None, "column": "tokens", "kind": "tokens"}


@pytest.mark.parametrize("of_format", ["jsonl", "csv", "parquet", "arrow"])
def test_only_names_change_the_fingerprint(tmp_path, of_format):
    """Numbers were read before: studies find their corpus again. Names were not, and caches lack them."""
    choices = LAYOUT if of_format in ("jsonl", "csv") else {"column": "tokens"}
    for documents, also in ((NAMES, {"documents": "names"}), ([1, 1, 2, 3, 4, 5, 6], {})):
        path = write(tmp_path / f"of-{len(also)}", of_format, documents)
        assert opened(path).fingerprint == fingerprint(of_format, choices | also, ByteStream([path]))
