"""Columns `prompt` and `completion` are one text in every table format; chats need a template, which is said."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, text_of

Columns = dict[str, list[Any]]
PROMPTS: Columns = {"prompt": ["ab", "", "x"], "completion": ["cd", "efg", ""], "row": [9, 8, 7]}
CHAT = [[{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cd"}]] * 3


def _records(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _jsonl(path: Path, columns: Columns) -> Path:
    path.with_suffix(".jsonl").write_text("".join(json.dumps(record) + "\n" for record in _records(columns)))
    return path.with_suffix(".jsonl")


def _json(path: Path, columns: Columns) -> Path:
    path.with_suffix(".json").write_text(json.dumps(_records(columns)))
    return path.with_suffix(".json")


def _parquet(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(columns), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def _arrow(path: Path, columns: Columns) -> Path:
    table = pa.table(columns)
    with pa.ipc.new_stream(path.with_suffix(".arrow"), table.schema) as writer:
        writer.write_table(table)
    return path.with_suffix(".arrow")


def _csv(path: Path, columns: Columns) -> Path:
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    return path.with_suffix(".csv")


def _datasets(path: Path, columns: Columns) -> Path:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns).save_to_disk(str(path))
    return path


WRITERS = [_jsonl, _json, _parquet, _arrow, _csv, _datasets]
Write = Callable[[Path, Columns], Path]


def open_written(path: Path, column: str | None = None) -> Any:
    options = CorpusOptions(row_length=9, cut="window", encoder=ENCODER, column=column, cache=path.parent / "cache")
    return open_corpus(path, options=options)


def texts_of(corpus: Any) -> list[str]:
    read = corpus.read(np.arange(len(corpus)), 9)
    return [text_of(row[:length]) for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("write", WRITERS)
def test_prompt_and_completion_are_one_text(tmp_path: Path, write: Write) -> None:
    corpus = open_written(write(tmp_path / "a", PROMPTS))
    assert texts_of(corpus) == ["abcd", "efg", "x"]
    assert corpus.details["column"] == "prompt + completion"
    assert corpus.row_ids(np.arange(3)).tolist() == [9, 8, 7]


@pytest.mark.parametrize("write", WRITERS)
def test_a_text_column_or_a_named_one_comes_first(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "a", {**PROMPTS, "text": ["one", "two", "three"]})
    assert texts_of(open_written(path)) == ["one", "two", "three"]
    assert texts_of(open_written(path, column="completion")) == ["cd", "efg", ""]


@pytest.mark.parametrize("write", WRITERS)
def test_one_of_the_two_is_not_enough(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "a", {"prompt": ["a"], "answer": ["b"]})
    with pytest.raises(CorpusError, match=r"not both of prompt and completion, .* it has: prompt, answer; .*--column"):
        open_written(path)
    assert texts_of(open_written(path, column="prompt+answer")) == ["ab"]


@pytest.mark.parametrize("name", ["messages", "conversations", "conversation"])
@pytest.mark.parametrize("write", WRITERS)
def test_chats_need_a_template(tmp_path: Path, write: Write, name: str) -> None:
    values = [json.dumps(chat) for chat in CHAT] if write is _csv else CHAT
    path = write(tmp_path / "a", {name: values})
    message = rf"chats in the column '{name}', but the tokenizer of letters has no chat template; put .* beside"
    for column in (None, name):
        with pytest.raises(CorpusError, match=message):
            open_written(path, column=column)
    with pytest.raises(CorpusError, match=rf"'{name}', which become text only by .*apply_chat_template\({name}, "):
        open_corpus(path, options=CorpusOptions(row_length=9))


@pytest.mark.parametrize("write", [write for write in WRITERS if write is not _csv])
def test_prompts_that_are_chats(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "a", {"prompt": CHAT, "completion": CHAT})
    with pytest.raises(CorpusError, match=r"has chats in the column 'prompt \+ completion', but the tokenizer of"):
        open_written(path)


@pytest.mark.parametrize("write", [_parquet, _arrow, _datasets])
def test_prompts_of_another_type(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "a", {"prompt": ["a"], "completion": [[1, 2]]})
    with pytest.raises(CorpusError, match=r"the column 'completion' is list<.*>; it must be text; name another"):
        open_written(path)
    path = write(tmp_path / "b", {"prompt": ["a", None], "completion": ["b", "c"]})
    with pytest.raises(CorpusError, match=r"has null instead of text in some row; leave such rows out"):
        open_written(path)


def test_records_without_one_of_the_two(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n')
    with pytest.raises(CorpusError, match=r"line 2 has no 'completion'; every record needs it; it has: prompt"):
        open_written(path)
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a", "completion": null}\n')
    with pytest.raises(CorpusError, match=r"line 2: 'completion' is null, but it must be text"):
        open_written(path)
