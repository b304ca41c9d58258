"""Small valid inputs of every reader, and for each a simple second reader: the oracle of the fuzz tests.

An oracle reads a file at once with the obvious library call and returns its rows, or fails with any error.
"""

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
    if datasets:
        files = _files_written_by(_write_dataset, folder / "datasets")
        all_inputs.append(Input("datasets", "datasets", files, "", tuple(files), _arrow_rows))
    return all_inputs
