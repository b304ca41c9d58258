"""The same rows of tokens in every format, written without the package's help."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.corpus.base import CorpusOptions
from mematlas.types import Encoder

Rows = list[list[int]]
Written = tuple[Path, CorpusOptions]


def letters(texts: list[str]) -> list[list[int]]:
    """A tokenizer: a token is a character's number."""
    return [[ord(character) for character in text] for text in texts]


ENCODER = Encoder(name="letters", fingerprint="letters-1", vocabulary=128, encode=letters)


def text_of(row: list[int]) -> str:
    return "".join(map(chr, row))


def write_idx(
    path: Path,
    lengths: list[int],
    documents: list[int],
    *,
    code: int = 8,
    item: int = 2,
    magic: bytes = b"MMIDIDX\x00\x00",
    version: int = 1,
) -> None:
    """A Megatron index, field by field."""
    offsets = [item * sum(lengths[:number]) for number in range(len(lengths))]
    path.write_bytes(
        magic
        + struct.pack("<Q", version)
        + struct.pack("<B", code)
        + struct.pack("<Q", len(lengths))
        + struct.pack("<Q", len(documents))
        + struct.pack(f"<{len(lengths)}i", *lengths)
        + struct.pack(f"<{len(lengths)}q", *offsets)
        + struct.pack(f"<{len(documents)}q", *documents)
    )


def write_shards(folder: Path, content: bytes, size: int) -> list[Path]:
    """`content` cut every `size` bytes, as the published Pythia shards are."""
    folder.mkdir(exist_ok=True)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    paths = [folder / f"document-{number:05d}-of-{len(pieces) - 1:05d}.bin" for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    return paths


def packed(rows: Rows, code: str = "H") -> bytes:
    """All tokens, little-endian."""
    return b"".join(struct.pack(f"<{len(row)}{code}", *row) for row in rows)


def _text(folder: Path, rows: Rows) -> Written:
    (folder / "texts").mkdir()
    for number, row in enumerate(rows):
        (folder / "texts" / f"{number:05d}.txt").write_text(text_of(row))
    options = CorpusOptions(row_length=len(rows[0]), encoder=ENCODER, cache=folder / "cache")
    return folder / "texts", options


def _jsonl(folder: Path, rows: Rows) -> Written:
    path = folder / "rows.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps({"tokens": row}) + "\n" for row in rows).encode()))
    return path, CorpusOptions(cache=folder / "cache")


def _parquet(folder: Path, rows: Rows) -> Written:
    table = pa.table({"tokens": pa.array(rows, pa.list_(pa.uint16()))})
    pq.write_table(table, folder / "rows.parquet", row_group_size=7)
    return folder / "rows.parquet", CorpusOptions(cache=folder / "cache")


def _arrow(folder: Path, rows: Rows) -> Written:
    table = pa.table({"tokens": pa.array(rows, pa.list_(pa.uint16()))})
    with pa.ipc.new_stream(folder / "rows.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    return folder / "rows.arrow", CorpusOptions(cache=folder / "cache")


def _csv(folder: Path, rows: Rows) -> Written:
    lines = [f'{number},"{row}"' for number, row in enumerate(rows)]
    (folder / "rows.csv").write_text("\n".join(["index,tokens", *lines, ""]))
    return folder / "rows.csv", CorpusOptions(cache=folder / "cache")


def _datasets(folder: Path, rows: Rows) -> Written:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"input_ids": rows}).save_to_disk(str(folder / "saved"))
    return folder / "saved", CorpusOptions(cache=folder / "cache")


def _memmap(folder: Path, rows: Rows) -> Written:
    (folder / "rows.bin").write_bytes(packed(rows))
    return folder / "rows.bin", CorpusOptions(row_length=len(rows[0]), token_dtype="uint16")


def _npy(folder: Path, rows: Rows) -> Written:
    np.save(folder / "rows.npy", np.array(rows, dtype=">i4"))
    return folder / "rows.npy", CorpusOptions()


def _megatron(folder: Path, rows: Rows) -> Written:
    (folder / "rows.bin").write_bytes(packed(rows))
    write_idx(folder / "rows.idx", [len(row) for row in rows], [0, 2, len(rows)])
    return folder / "rows", CorpusOptions()


def _pythia(folder: Path, rows: Rows) -> Written:
    write_shards(folder / "shards", packed(rows), 100)
    return folder / "shards", CorpusOptions(row_length=len(rows[0]))


WRITERS: dict[str, Callable[[Path, Rows], Written]] = {
    "text": _text,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "arrow": _arrow,
    "csv": _csv,
    "datasets": _datasets,
    "memmap": _memmap,
    "npy": _npy,
    "megatron": _megatron,
    "pythia": _pythia,
}
