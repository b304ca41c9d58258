"""A folder has one format: several are refused with commands that work; what no reader reads is stated."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mematlas
from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.formats.datasets import DatasetsFormat
from mematlas.corpus.mixed_folders import require_one_format
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.reading.skipped_files import first_of
from mematlas.errors import CorpusError
from mematlas.scoring.reopen import reopen_rows
from mematlas.study import Study
from tests.corpus.writers import ENCODER, packed, text_of, write_shards


def jsonl(path: Path) -> None:
    path.write_text('{"text": "json"}\n')


def parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": ["parq"]}), path)


def arrow(path: Path) -> None:
    table = pa.table({"text": ["arro"]})
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def table(path: Path) -> None:
    path.write_text("text,label\ncsv.,1\n")


def text(path: Path) -> None:
    path.write_text("some text")


def npy(path: Path) -> None:
    np.save(path, np.arange(6).reshape(2, 3))


def other(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\xff\xfe")


WRITE: dict[str, Callable[[Path], None]] = {
    ".jsonl": jsonl,
    ".json": jsonl,
    ".parquet": parquet,
    ".arrow": arrow,
    ".csv": table,
    ".tsv": lambda path: path.write_text("text\tlabel\ntsv.\t1\n") and None,
    ".txt": text,
    ".md": text,
    ".py": text,
    ".npy": npy,
}


@pytest.fixture
def options(tmp_path: Path) -> CorpusOptions:
    return CorpusOptions(row_length=4, encoder=ENCODER, cache=tmp_path / "cache")


def folder_of(tmp_path: Path, names: list[str]) -> Path:
    folder = tmp_path / "corpus"
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        WRITE.get(Path(name).suffix, other)(folder / name)
    return folder


def texts_of(path: Path, options: CorpusOptions, format: str | None = None) -> list[str]:
    corpus = open_corpus(path, format=format, options=options)
    return [text_of(row) for row in corpus.read(np.arange(len(corpus)), 4).ids.tolist()]


@pytest.mark.parametrize(
    ("names", "counts", "formats"),
    [
        (["a.txt", "b.jsonl", "c.png"], "1 of jsonl (b.jsonl), 1 of text (a.txt)", {"jsonl": ["json"]}),
        (["a.txt", "b.txt", "c.txt", "d.jsonl"], "3 of text (a.txt), 1 of jsonl (d.jsonl)", {"jsonl": ["json"]}),
        (["a.parquet", "b.jsonl"], "1 of parquet (a.parquet), 1 of jsonl (b.jsonl)", {"parquet": ["parq"]}),
        (["a.parquet", "notes.txt"], "1 of parquet (a.parquet), 1 of text (notes.txt)", {"parquet": ["parq"]}),
        (["a.csv", "b/c.arrow", "x.tsv"], "1 of arrow (b/c.arrow), 2 of csv (a.csv)", {"arrow": ["arro"]}),
        (["a.py", "b.py", "c.py", "fixture.csv"], "3 of text (a.py), 1 of csv (fixture.csv)", {"csv": ["csv."]}),
        (["a.json", "b.py", "c.py", "d.py"], "3 of text (b.py), 1 of jsonl (a.json)", {"jsonl": ["json"]}),
        (["a.npy", "b.jsonl"], "1 of jsonl (b.jsonl), 1 of npy (a.npy)", {"jsonl": ["json"]}),
    ],
)
def test_several_formats(
    tmp_path: Path, options: CorpusOptions, names: list[str], counts: str, formats: dict[str, list[str]]
) -> None:
    folder = folder_of(tmp_path, names)
    with pytest.raises(CorpusError) as caught:
        open_corpus(folder, options=options)
    message = str(caught.value)
    assert f"has files of several formats: {counts}; a corpus has one; put them into separate folders" in message
    suggested = re.findall(r"--format (\w+)", message)
    assert set(formats) <= set(suggested)
    for name in suggested:  # each of them works
        texts = texts_of(folder, options, name)
        assert texts == formats.get(name, texts)


@pytest.mark.parametrize(
    ("names", "format", "skipped"),
    [
        (["README.md", "LICENSE.txt", "a.parquet"], "parquet", "LICENSE.txt, README.md"),
        (["a.jsonl", "cover.png", ".DS_Store", "a.lock"], "jsonl", ".DS_Store, a.lock, cover.png"),
        (["a.csv", "b/c.csv", "b/x.bin"], "csv", "b/x.bin"),
        (["a.txt", "README.md", "b.pdf", ".git/HEAD", ".git/objects/1"], "text", ".git/, b.pdf"),
        (["a.arrow", "weights.safetensors"], "arrow", "weights.safetensors"),
        (["a.txt", "b.md"], "text", None),
    ],
)
def test_what_no_reader_reads(
    tmp_path: Path, options: CorpusOptions, names: list[str], format: str, skipped: str | None
) -> None:
    corpus = open_corpus(folder_of(tmp_path, names), options=options)
    assert (corpus.format, corpus.details["skipped_names"]) == (format, skipped)
    assert corpus.details["skipped_files"] == len(skipped.split(", ") if skipped else [])
    again = open_corpus(tmp_path / "corpus", options=options)  # from the cache
    assert again.details == corpus.details


def test_files_that_came_after_the_cache(tmp_path: Path, options: CorpusOptions) -> None:
    folder = folder_of(tmp_path, ["a.jsonl"])
    assert open_corpus(folder, options=options).details["skipped_files"] == 0
    other(folder / "b.png")
    assert open_corpus(folder, options=options).details["skipped_names"] == "b.png"


def test_a_named_format_states_the_rest(tmp_path: Path, options: CorpusOptions) -> None:
    folder = folder_of(tmp_path, ["a.jsonl", "b.parquet", "c.txt"])
    assert open_corpus(folder, format="jsonl", options=options).details["skipped_names"] == "b.parquet, c.txt"


def test_configurations_beside_a_corpus(tmp_path: Path, options: CorpusOptions) -> None:
    folder = folder_of(tmp_path, ["a.jsonl", "b.jsonl"])
    (folder / "dataset_infos.json").write_text(json.dumps({"default": {"description": ""}}, indent=1))
    corpus = open_corpus(folder, options=options)
    assert (len(corpus), corpus.details["skipped_names"]) == (2, "dataset_infos.json")
    folder = folder_of(tmp_path, ["a.parquet"])
    (folder / "dataset_infos.json").write_text(json.dumps({"default": {"description": ""}}))
    assert open_corpus(folder, options=options).details["skipped_names"] == "dataset_infos.json"
    folder = folder_of(tmp_path, ["a.py"])
    (folder / "package.json").write_text(json.dumps({"name": "x"}, indent=1))
    assert open_corpus(folder, options=options).format == "text"


def test_a_folder_of_pretty_objects_is_no_prose(tmp_path: Path, options: CorpusOptions) -> None:
    folder = folder_of(tmp_path, ["a.json", "b.json"])
    for path in folder.iterdir():
        path.write_text(json.dumps({"text": "abcd", "id": 1}, indent=1))
    with pytest.raises(CorpusError, match=r"a\.json, line 1 is not valid JSON: .*`jq -c \.` writes them so"):
        open_corpus(folder, options=options)


def test_custom_columns_in_json_files(tmp_path: Path, options: CorpusOptions) -> None:
    folder = folder_of(tmp_path, ["a.json", "b.jsonl"])
    for path in folder.iterdir():
        path.write_text('{"body": "abcd"}\n')
    chosen = CorpusOptions(row_length=4, column="body", encoder=ENCODER, cache=options.cache)
    assert texts_of(folder, chosen) == ["abcd", "abcd"]


def test_shards_and_saved_datasets(tmp_path: Path) -> None:
    write_shards(tmp_path / "p", packed([[1, 2, 3]] * 9), 20)
    other(tmp_path / "p" / "x.png")
    options = CorpusOptions(row_length=3)
    assert open_corpus(tmp_path / "p", options=options).details["skipped_names"] == "x.png"
    jsonl(tmp_path / "p" / "b.jsonl")
    with pytest.raises(
        CorpusError, match=r"several formats: 3 of pythia \(document-00000.*\), 1 of jsonl \(b\.jsonl\)"
    ):
        open_corpus(tmp_path / "p", options=options)
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"tokens": [[1], [2]]}).save_to_disk(str(tmp_path / "saved"))
    other(tmp_path / "saved" / "x.png")
    assert open_corpus(tmp_path / "saved").details["skipped_names"] == "x.png"
    require_one_format(tmp_path / "saved", DatasetsFormat(), [])
    text(tmp_path / "saved" / "notes.txt")
    with pytest.raises(CorpusError, match=r"several formats: 3 of datasets .*, 1 of text \(notes\.txt\)"):
        open_corpus(tmp_path / "saved")


def test_a_study_is_reopened_in_the_format_that_it_scored(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.jsonl").write_text((json.dumps({"tokens": list(range(8))}) + "\n") * 9)
    options = {"corpus": str(folder), "context": [4], "continuation": [4], "cache": tmp_path / "cache"}
    mematlas.score("uniform:64", study=tmp_path / "study", **options)  # type: ignore[arg-type]
    text(folder / "notes.txt")
    with pytest.raises(CorpusError, match="files of several formats"):
        mematlas.score("uniform:64", study=tmp_path / "other", **options)  # type: ignore[arg-type]
    reopened = reopen_rows(Study(tmp_path / "study"), tokenizer=False).sets[0].corpus
    assert (len(reopened), reopened.details["skipped_names"]) == (9, "notes.txt")


def test_long_lists_are_shortened() -> None:
    assert first_of(["a", "b"]) == "a, b"
    assert first_of([str(n) for n in range(25)], 2) == "0, 1, 23 more"
