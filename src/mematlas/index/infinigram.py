"""infini-gram directories, version 4: opened in place as a suffix array, and written from an index.

For each shard s: `tokenized.s`, every document after a separator of FF bytes as wide as a token, little-endian;
`table.s`, one byte offset per token (separators included), of as few bytes as the file's size needs, sorted by the
bytes that follow; `offset.s`, uint64, the byte offset of each document's separator. The files do not record their
version or the width of a token.

Only documents are recorded: there are no rows, and no n-gram crosses a separator.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import IndexFault
from mematlas.index.folder import IndexManifest, memory_map, read_manifest
from mematlas.index.stream import Boundaries
from mematlas.index.suffix_arrays import Shard, SuffixArray, suffix_order
from mematlas.study import translate_os_errors, write_atomically
from mematlas.types import Ids

_WIDTHS: Final = {"uint16": 2, "uint32": 4}
_WIDTH_SAMPLE: Final = 1000  # documents whose separators are checked to infer the width of a token


@dataclass(frozen=True, slots=True)
class _DocumentOffsets:
    """Numbers the documents over all shards.

    starts: of each shard, in tokens; first_numbers: of each shard's first document; offsets: of each shard's
    documents, in bytes; unit: bytes per token.
    """

    starts: Ids
    first_numbers: Ids
    offsets: list[NDArray[np.uint64]]
    unit: int

    def numbers_at(self, positions: Ids) -> Ids:
        """The number of the document that the token at each position of the stream belongs to."""
        shards = np.searchsorted(self.starts, positions, side="right") - 1
        numbers = np.zeros(len(positions), np.int64)
        for shard in np.unique(shards).tolist():
            is_in_shard = shards == shard
            offsets = ((positions[is_in_shard] - self.starts[shard]) * self.unit).astype(np.uint64)
            indices = np.searchsorted(self.offsets[shard], offsets, side="right") - 1
            numbers[is_in_shard] = self.first_numbers[shard] + indices
        return numbers


def is_infinigram(folder: Path) -> bool:
    """Whether the folder looks like an infini-gram index, of any version."""
    return any((folder / name).is_file() for name in ("tokenized.0", "tokenized"))


def open_infinigram(folder: str | Path, token_dtype: str | None = None) -> SuffixArray:
    """Open an infini-gram v4 directory for queries within documents; positions count separators as tokens.

    Args:
        token_dtype: "uint16" or "uint32"; None infers it from the separators.

    Raises:
        IndexFault: the directory is not an infini-gram index, is of another version, or is truncated.
    """
    folder = Path(folder)
    if not (folder / "tokenized.0").is_file():
        raise IndexFault(
            f"{folder} has the layout of infini-gram v6 (files without a shard number), which is not supported; build "
            "it as v4."
            if (folder / "tokenized").is_file()
            else f"{folder} is not an infini-gram index: it has no tokenized.0."
        )
    shards: list[Shard] = []
    offsets, start = [], 0
    while (folder / f"tokenized.{len(shards)}").is_file():
        shard, shard_offsets = _open_shard(folder, len(shards), start, token_dtype)
        shards.append(shard)
        offsets.append(shard_offsets)
        start += len(shard.tokens)
    unit = shards[0].unit
    first_numbers = np.cumsum([0] + [len(shard_offsets) for shard_offsets in offsets[:-1]])
    documents = _DocumentOffsets(np.array([shard.start for shard in shards]), first_numbers, offsets, unit)
    return SuffixArray(shards, None, (1 << 8 * unit) - 1, {}, ("documents",), documents)


def _open_shard(folder: Path, number: int, start: int, token_dtype: str | None) -> tuple[Shard, NDArray[np.uint64]]:
    paths = [folder / f"{name}.{number}" for name in ("tokenized", "table", "offset")]
    for path in paths:
        if not path.is_file():
            raise IndexFault(f"{path} is missing: an infini-gram shard has tokenized, table and offset; copy it again.")
    token_path, table_path, offset_path = paths
    token_bytes, table_bytes, offset_bytes = (path.stat().st_size for path in paths)
    offsets = memory_map(offset_path, "<u8") if offset_bytes % 8 == 0 else np.zeros(0, np.uint64)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] >= token_bytes:
        raise IndexFault(f"{offset_path} does not point into {token_path.name} ({token_bytes} bytes); copy both again.")
    width = _WIDTHS[token_dtype] if token_dtype else _token_width(token_path, offsets)
    tokens, remainder = divmod(token_bytes, width)
    pointer_width = table_bytes // tokens if tokens else 0
    is_table = 1 <= pointer_width <= 8 and pointer_width * tokens == table_bytes
    if remainder or not is_table or 1 << 8 * pointer_width < token_bytes:
        raise IndexFault(
            f"{table_path} ({table_bytes} bytes) is not a table of pointers for the {tokens} tokens of "
            f"{token_path.name}; "
            "it is truncated, or the tokens have another width: --token-dtype uint16 or uint32."
        )
    values = memory_map(token_path, f"<u{width}")
    table = memory_map(table_path, "u1").reshape(-1, pointer_width)
    return Shard(start, values, table, width, by_bytes=True), offsets


def _token_width(path: Path, offsets: NDArray[np.uint64]) -> int:
    """Bytes per token: 4 if all of the first documents begin with four FF bytes at multiples of four, else 2."""
    data = memory_map(path, "u1")
    starts = offsets[:_WIDTH_SAMPLE].astype(np.int64)
    starts = starts[starts + 4 <= len(data)]
    heads = data[starts[:, None] + np.arange(4)] if len(starts) else np.zeros((1, 4), np.uint8)
    if not (heads[:, :2] == 0xFF).all():
        raise IndexFault(
            f"{path} has no separators where its offsets point; only indexes of uint16 or uint32 tokens are supported."
        )
    return 4 if (heads == 0xFF).all() and not (starts % 4).any() else 2


def export_infinigram(index: str | Path, folder: str | Path) -> IndexManifest:
    """Write an index as an infini-gram v4 directory; the separator replaces the end-of-document token.

    Raises:
        IndexFault: there is no index, or a token id is the separator's.
        StudyError: the disk is full, or the folder cannot be written.
    """
    index, folder = Path(index), Path(folder)
    manifest = read_manifest(index)
    tokens = memory_map(index / "tokens.bin", manifest.dtype)
    documents = Boundaries(memory_map(index / "documents.bin", "<i8"))
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for number, (start, stop) in enumerate(_whole_documents(documents.starts, manifest)):
            starts = documents.slice(start, stop).starts
            _write_shard(folder, number, np.asarray(tokens[start:stop]), starts, manifest.eod)
    return manifest


def _whole_documents(starts: Ids, manifest: IndexManifest) -> list[tuple[int, int]]:
    """Start and stop of shards of whole documents, close to the index's own shards."""
    indices = np.searchsorted(starts, [start for start, _ in manifest.shards])
    cuts = sorted({int(starts[index]) for index in indices.tolist() if index < len(starts)} | {manifest.tokens})
    return list(pairwise(cuts))


def _write_shard(folder: Path, number: int, tokens: NDArray[Any], starts: Ids, eod: int | None) -> None:
    separator = np.iinfo(tokens.dtype).max
    if len(tokens) and tokens.max() == separator:
        raise IndexFault(
            f"The corpus contains the token {separator}, which is the separator of infini-gram; it cannot be exported."
        )
    is_kept = np.ones(len(tokens), bool) if eod is None else tokens != eod
    kept_before = np.cumsum(is_kept) - is_kept
    text = np.insert(tokens[is_kept], kept_before[starts], separator)
    size = tokens.dtype.itemsize
    offsets = (kept_before[starts] + np.arange(len(starts))) * size
    pointer_width = max(1, -(-(len(text) * size - 1).bit_length() // 8))
    pointers = suffix_order(text, by_bytes=True).astype("<i8") * size
    table = pointers.view(np.uint8).reshape(-1, 8)[:, :pointer_width]
    for name, values in (
        ("tokenized", text),
        ("offset", offsets.astype("<u8")),
        ("table", np.ascontiguousarray(table)),
    ):
        write_atomically(folder / f"{name}.{number}", values.tofile)
