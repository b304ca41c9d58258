"""Small valid inputs of every reader, and for each a simple second reader: the oracle of the fuzz tests.

An oracle reads a file at once with the obvious library call and returns its rows, or fails with any error.
"""

import csv
import gzip
import io
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from mematlas.corpus.base import CorpusOptions
from mematlas.types import Encoder
from tests.corpus.writers import packed, write_idx, write_shards
from tests.fuzz.mutations import Edit, apply_edits

Files = dict[str, bytes]
Rows = list[list[int]]
ROWS: Rows = [[97 + (5 * row + 3 * column + row * column) % 26 for column in range(9)] for row in range(12)]
TEXTS = ["".join(map(chr, row)) for row in ROWS]


def code_points(texts: list[str]) -> Rows:
    """A tokenizer whose tokens are code points; like real ones, it accepts only text that UTF-8 can encode."""
    return [[ord(character) for character in text.encode().decode()] for text in texts]


ENCODER = Encoder(name="code points", fingerprint="code-points-1", vocabulary=0x110000, encode=code_points)


@dataclass(frozen=True)
class Input:
    """One valid input. files: by name; main: the path to open ("" for the folder); mutable_files: those to mutate;
    rows: the oracle; length: of every row, None if they differ; unpack, pack: for a compressed format."""

    name: str
    format: str
    files: Files
    main: str
    mutable_files: tuple[str, ...]
    rows: Callable[[Files], Rows]
    options: CorpusOptions = field(default_factory=CorpusOptions)
    length: int | None = None
    unpack: Callable[[bytes], bytes] | None = None
    pack: Callable[[bytes], bytes] | None = None

    def damage(self, name: str, edits: Sequence[Edit], *, inside: bool) -> Files:
        """The files with `name` mutated; with `inside`, its decompressed content is mutated and compressed again."""
        content = self.files[name]
        if inside and self.pack and self.unpack:
            return self.files | {name: self.pack(apply_edits(self.unpack(content), edits))}
        return self.files | {name: apply_edits(content, edits)}


def _cut(tokens: list[int], length: int) -> Rows:
    return [tokens[start : start + length] for start in range(0, len(tokens) - length + 1, length)]


def _json_rows(content: bytes) -> Rows:
    return [json.loads(line)["tokens"] for line in content.split(b"\n") if line.strip()]


def _json_texts(content: bytes) -> Rows:
    texts = [json.loads(line)["text"] for line in content.split(b"\n") if line.strip()]
    return [row for tokens in code_points(texts) for row in _cut(tokens, 9)]


def _json_array(content: bytes) -> Rows:
    return [record["tokens"] for record in json.loads(content)]


def _json_text_array(content: bytes) -> Rows:
    texts = json.loads(content)
    assert all(isinstance(text, str) for text in texts)
    return [row for tokens in code_points(texts) for row in _cut(tokens, 9)]


def _prompt_texts(content: bytes) -> Rows:
    records = [json.loads(line) for line in content.split(b"\n") if line.strip()]
    texts = [record["prompt"] + record["completion"] for record in records]
    return [row for tokens in code_points(texts) for row in _cut(tokens, 9)]


def _csv_column(content: bytes, delimiter: str, column: str) -> list[str]:
    csv.field_size_limit(1 << 27)
    text = io.StringIO(content.decode("utf-8-sig"), newline="\n")
    names, *records = [record for record in csv.reader(text, delimiter=delimiter, strict=True) if record]
    assert all(len(record) == len(names) for record in records)
    return [record[[name.strip() for name in names].index(column)] for record in records]


def _csv_rows(content: bytes) -> Rows:
    return [json.loads(field) for field in _csv_column(content, ",", "tokens")]


def _tsv_texts(content: bytes) -> Rows:
    return [row for tokens in code_points(_csv_column(content, "\t", "text")) for row in _cut(tokens, 9)]


def _unzstd(content: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True) as reader:
        return reader.read()


def _npy_rows(content: bytes) -> Rows:
    rows: Rows = np.load(io.BytesIO(content), allow_pickle=False).tolist()
    return rows


def _uint16(content: bytes) -> list[int]:
    return [token for (token,) in struct.iter_unpack("<H", content)]


def _parquet_rows(content: bytes, column: str) -> list[object]:
    values: list[object] = pq.read_table(io.BytesIO(content), columns=[column])[column].to_pylist()
    return values


def _megatron_rows(files: Files) -> Rows:
    index, tokens = files["rows.idx"], files["rows.bin"]
    code, S, _ = struct.unpack_from("<BQQ", index, 17)
    dtype = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}[code]
    lengths = struct.unpack_from(f"<{S}i", index, 34)
    offsets = struct.unpack_from(f"<{S}q", index, 34 + 4 * S)
    return [
        np.frombuffer(tokens, dtype, length, offset).tolist() if length else []
        for length, offset in zip(lengths, offsets, strict=True)
    ]


def _files_written_by(write: Callable[[Path], None], folder: Path) -> Files:
    """Name -> content of the files that `write` writes to a new folder."""
    folder.mkdir()
    write(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _parquet(columns: dict[str, pa.Array], **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=5, **options)
    return file.getvalue()


def _lines() -> bytes:
    records = [{"tokens": row, "source": f"{i}.txt", "index": i, "repetitions": 2} for i, row in enumerate(ROWS)]
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _text_lines() -> bytes:
    return b"".join(json.dumps({"text": text, "document": i}).encode() + b"\n" for i, text in enumerate(TEXTS))


def _array() -> bytes:
    return json.dumps([{"tokens": row, "index": i} for i, row in enumerate(ROWS)], indent=1).encode()


def _prompt_lines() -> bytes:
    return b"".join(json.dumps({"prompt": text[:4], "completion": text[4:]}).encode() + b"\n" for text in TEXTS)


def _csv() -> bytes:
    lines = [f'{i},"{row}",2,{i}.txt' for i, row in enumerate(ROWS)]
    return "\n".join(["index,tokens,repetitions,source", *lines, ""]).encode()


def _tsv() -> bytes:
    lines = [f'{i}\t"{text}"\t{i}' for i, text in enumerate(TEXTS)]
    return "\r\n".join(["document\ttext\tlabel", *lines]).encode()


def _arrow(columns: dict[str, pa.Array], *, stream: bool, compression: str | None = None) -> bytes:
    file, table = io.BytesIO(), pa.table(columns)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=5)
    return file.getvalue()


def _write_megatron(folder: Path) -> None:
    (folder / "rows.bin").write_bytes(packed(ROWS))
    write_idx(folder / "rows.idx", [9] * 12, [0, 2, 7, 12])


def _write_pythia(folder: Path) -> None:
    write_shards(folder, packed(ROWS), 100)
    write_idx(folder / "document.idx", [9] * 12, [0, 12])


def _write_dataset(folder: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"input_ids": ROWS, "source": TEXTS}).save_to_disk(str(folder))


def _arrow_rows(files: Files) -> Rows:
    name = next(name for name in files if name.endswith(".arrow"))
    rows: Rows = pa.ipc.open_stream(files[name]).read_all()["input_ids"].to_pylist()
    return rows


def _table_inputs(text: CorpusOptions, lists: dict[str, pa.Array]) -> list[Input]:
    """Arrays of JSON, prompts with completions, CSV, and single Arrow files."""

    def of_one_file(
        name: str, format: str, content: bytes, rows: Callable[[bytes], Rows], options: CorpusOptions | None = None
    ) -> Input:
        file = f"a.{name.split()[0]}"
        length = None if options is None else 9
        oracle = lambda files: rows(files[file])  # noqa: E731
        return Input(name, format, {file: content}, file, (file,), oracle, options or CorpusOptions(), length)

    texts = {"text": pa.array(TEXTS)}
    return [
        of_one_file("json array", "jsonl", _array(), _json_array),
        of_one_file("json texts", "jsonl", json.dumps(TEXTS).encode(), _json_text_array, text),
        of_one_file("jsonl prompts", "jsonl", _prompt_lines(), _prompt_texts, text),
        of_one_file("csv", "csv", _csv(), _csv_rows),
        of_one_file("tsv text", "csv", _tsv(), _tsv_texts, text),
        of_one_file(
            "arrow stream",
            "arrow",
            _arrow(lists, stream=True),
            lambda content: pa.ipc.open_stream(content).read_all()["tokens"].to_pylist(),
        ),
        of_one_file(
            "arrow file",
            "arrow",
            _arrow(texts, stream=False, compression="zstd"),
            lambda content: [
                row
                for tokens in code_points(pa.ipc.open_file(content).read_all()["text"].to_pylist())
                for row in _cut(tokens, 9)
            ],
            text,
        ),
    ]


def inputs(folder: Path, *, datasets: bool = True) -> list[Input]:
    """At least one input per reader; `folder` is an empty folder for formats that can only be written to disk."""
    text = CorpusOptions(row_length=9, encoder=ENCODER)
    flat = CorpusOptions(row_length=9, token_dtype="uint16")
    lists = {"tokens": pa.array(ROWS, pa.list_(pa.uint16())), "index": pa.array(range(12)), "source": pa.array(TEXTS)}
    all_inputs = [
        Input(
            "text",
            "text",
            {"a.txt": "".join(TEXTS).encode()},
            "a.txt",
            ("a.txt",),
            lambda files: _cut(list(map(ord, files["a.txt"].decode())), 9),
            text,
            9,
        ),
        Input(
            "jsonl", "jsonl", {"a.jsonl": _lines()}, "a.jsonl", ("a.jsonl",), lambda files: _json_rows(files["a.jsonl"])
        ),
        Input(
            "jsonl text",
            "jsonl",
            {"a.jsonl": _text_lines()},
            "a.jsonl",
            ("a.jsonl",),
            lambda files: _json_texts(files["a.jsonl"]),
            text,
            9,
        ),
        Input(
            "jsonl.gz",
            "jsonl",
            {"a.gz": gzip.compress(_lines(), mtime=0)},
            "a.gz",
            ("a.gz",),
            lambda files: _json_rows(gzip.decompress(files["a.gz"])),
            unpack=gzip.decompress,
            pack=gzip.compress,
        ),
        Input(
            "jsonl.zst",
            "jsonl",
            {"a.zst": zstandard.compress(_lines())},
            "a.zst",
            ("a.zst",),
            lambda files: _json_rows(_unzstd(files["a.zst"])),
            unpack=_unzstd,
            pack=zstandard.compress,
        ),
        Input(
            "parquet",
            "parquet",
            {"a.parquet": _parquet(lists)},
            "a.parquet",
            ("a.parquet",),
            lambda files: _parquet_rows(files["a.parquet"], "tokens"),
        ),
        Input(
            "parquet text",
            "parquet",
            {"a.parquet": _parquet({"text": pa.array(TEXTS)}, compression="none")},
            "a.parquet",
            ("a.parquet",),
            lambda files: [
                row for tokens in code_points(_parquet_rows(files["a.parquet"], "text")) for row in _cut(tokens, 9)
            ],
            text,
            9,
        ),
        Input(
            "npy",
            "npy",
            {"a.npy": _npy(np.array(ROWS, ">i4"))},
            "a.npy",
            ("a.npy",),
            lambda files: _npy_rows(files["a.npy"]),
        ),
        Input(
            "memmap",
            "memmap",
            {"a.bin": packed(ROWS)},
            "a.bin",
            ("a.bin",),
            lambda files: _cut(_uint16(files["a.bin"]), 9),
            flat,
            9,
        ),
        Input(
            "megatron",
            "megatron",
            _files_written_by(_write_megatron, folder / "megatron"),
            "rows",
            ("rows.idx", "rows.bin"),
            _megatron_rows,
        ),
        Input(
            "pythia",
            "pythia",
            _files_written_by(_write_pythia, folder / "pythia"),
            "",
            ("document.idx", "document-00000-of-00002.bin", "document-00002-of-00002.bin"),
            lambda files: _cut(_uint16(b"".join(files[name] for name in sorted(files) if name.endswith(".bin"))), 9),
            CorpusOptions(row_length=9),
            9,
        ),
    ]
    all_inputs += _table_inputs(text, lists)
    if datasets:
        files = _files_written_by(_write_dataset, folder / "datasets")
        all_inputs.append(Input("datasets", "datasets", files, "", tuple(files), _arrow_rows))
    return all_inputs
