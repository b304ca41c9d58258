"""infini-gram directories, version 4: opened in place as a suffix array, and written from an index.

For each shard s: `tokenized.s`, every document after a separator of FF bytes as wide as a token, little-endian;
`table.s`, one pointer in bytes a token (separators among them), of as few bytes as the file's size needs, in the order
of the bytes that follow; `offset.s`, uint64, where each document's separator stands. Nothing in the files tells their
version or the width of a token.

Documents are all that they know: rows are not in them, and no n-gram reaches over a separator.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import IndexFault
from mematlas.index.folder import IndexFacts, mapped, read_index
from mematlas.index.stream import Borders
from mematlas.index.suffix_arrays import Shard, SuffixArray, suffix_order
from mematlas.study import translate_os_errors, write_atomically
from mematlas.types import Ids

_WIDTHS: Final = {"uint16": 2, "uint32": 4}
_LOOK: Final = 1000  # documents whose separators tell the width of a token


@dataclass(frozen=True, slots=True)
class _Documents:
    """Numbers of documents over all shards. firsts: number of each shard's first one; offsets: in bytes."""

    starts: Ids
    firsts: Ids
    offsets: list[NDArray[np.uint64]]
    unit: int

    def numbers(self, places: Ids) -> Ids:
        """The number of the document that the token at each place of the stream belongs to."""
        shards = np.searchsorted(self.starts, places, side="right") - 1
        found = np.zeros(len(places), np.int64)
        for shard in np.unique(shards).tolist():
            here = shards == shard
            within = ((places[here] - self.starts[shard]) * self.unit).astype(np.uint64)
            found[here] = self.firsts[shard] + np.searchsorted(self.offsets[shard], within, side="right") - 1
        return found


def is_infinigram(folder: Path) -> bool:
    """Whether the folder looks like an infini-gram index, of any version."""
    return any((folder / name).is_file() for name in ("tokenized.0", "tokenized"))


def open_infinigram(folder: Path, token_dtype: str | None = None) -> SuffixArray:
    """An infini-gram v4 directory, for questions within documents; places count separators as tokens.

    Args:
        token_dtype: "uint16" or "uint32"; None finds it out from the separators.

    Raises:
        IndexFault: it is none, of another version, or truncated.
    """
    if not (folder / "tokenized.0").is_file():
        raise IndexFault(
            f"{folder} is laid out as infini-gram v6 (files without a shard number); only v4 is read; build it as v4."
            if (folder / "tokenized").is_file()
            else f"{folder} is no infini-gram index: it has no tokenized.0."
        )
    shards: list[Shard] = []
    offsets, start = [], 0
    while (folder / f"tokenized.{len(shards)}").is_file():
        shard, found = _open_shard(folder, len(shards), start, token_dtype)
        shards.append(shard)
        offsets.append(found)
        start += len(shard.tokens)
    unit = shards[0].unit
    firsts = np.cumsum([0] + [len(found) for found in offsets[:-1]])
    documents = _Documents(np.array([shard.start for shard in shards]), firsts, offsets, unit)
    return SuffixArray(shards, None, (1 << 8 * unit) - 1, {}, ("documents",), documents)


def _open_shard(folder: Path, number: int, start: int, token_dtype: str | None) -> tuple[Shard, NDArray[np.uint64]]:
    names = [folder / f"{name}.{number}" for name in ("tokenized", "table", "offset")]
    for path in names:
        if not path.is_file():
            raise IndexFault(f"{path} is missing: an infini-gram shard has tokenized, table and offset; copy it again.")
    sizes = [path.stat().st_size for path in names]
    offsets = mapped(names[2], "<u8") if sizes[2] % 8 == 0 else np.zeros(0, np.uint64)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] >= sizes[0]:
        raise IndexFault(f"{names[2]} does not point into {names[0].name} ({sizes[0]} bytes); copy both again.")
    width = _WIDTHS[token_dtype] if token_dtype else _token_width(names[0], offsets)
    tokens, rest = divmod(sizes[0], width)
    pointer = sizes[1] // tokens if tokens else 0
    if rest or not 1 <= pointer <= 8 or pointer * tokens != sizes[1] or 1 << 8 * pointer < sizes[0]:
        raise IndexFault(
            f"{names[1]} ({sizes[1]} bytes) is no table of pointers for the {tokens} tokens of {names[0].name}; "
            "it is truncated, or the tokens have another width: --token-dtype uint16 or uint32."
        )
    values = mapped(names[0], f"<u{width}")
    table = mapped(names[1], "u1").reshape(-1, pointer)
    return Shard(start, values, table, width, by_bytes=True), offsets


def _token_width(path: Path, offsets: NDArray[np.uint64]) -> int:
    """4 if all of the first documents begin with four FF bytes at multiples of four, else 2."""
    data = mapped(path, "u1")
    starts = offsets[:_LOOK].astype(np.int64)
    starts = starts[starts + 4 <= len(data)]
    heads = data[starts[:, None] + np.arange(4)] if len(starts) else np.zeros((1, 4), np.uint8)
    if not (heads[:, :2] == 0xFF).all():
        raise IndexFault(
            f"{path} has no separators where its offsets point; only indexes of uint16 or uint32 are read."
        )
    return 4 if (heads == 0xFF).all() and not (starts % 4).any() else 2


def export_infinigram(index: Path, folder: Path) -> IndexFacts:
    """Write an index as an infini-gram v4 directory; the separator stands for the end-of-document token.

    Raises:
        IndexFault: there is no index, or a token id is the separator's.
        StudyError: no room, or the folder cannot be written.
    """
    facts = read_index(index)
    tokens = mapped(index / "tokens.bin", facts.dtype)
    documents = Borders(mapped(index / "documents.bin", "<i8"))
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for number, (start, stop) in enumerate(_whole_documents(documents.starts, facts)):
            starts = documents.cut(start, stop).starts
            _write_shard(folder, number, np.asarray(tokens[start:stop]), starts, facts.eod)
    return facts


def _whole_documents(starts: Ids, facts: IndexFacts) -> list[tuple[int, int]]:
    """The stream cut where documents start, near to the index's own shards."""
    cuts = np.searchsorted(starts, [start for start, _ in facts.shards])
    places = sorted({int(starts[cut]) for cut in cuts.tolist() if cut < len(starts)} | {facts.tokens})
    return list(pairwise(places))


def _write_shard(folder: Path, number: int, tokens: NDArray[Any], starts: Ids, eod: int | None) -> None:
    separator = np.iinfo(tokens.dtype).max
    if len(tokens) and tokens.max() == separator:
        raise IndexFault(
            f"The corpus holds the token {separator}, which is infini-gram's separator; it cannot be written as such."
        )
    inner = np.ones(len(tokens), bool) if eod is None else tokens != eod
    kept = np.cumsum(inner) - inner  # inner tokens before each one
    text = np.insert(tokens[inner], kept[starts], separator)
    size = tokens.dtype.itemsize
    offsets = (kept[starts] + np.arange(len(starts))) * size
    pointer = max(1, -(-(len(text) * size - 1).bit_length() // 8))
    places = suffix_order(text, by_bytes=True).astype("<i8") * size
    table = places.view(np.uint8).reshape(-1, 8)[:, :pointer]
    for name, values in (
        ("tokenized", text),
        ("offset", offsets.astype("<u8")),
        ("table", np.ascontiguousarray(table)),
    ):
        write_atomically(folder / f"{name}.{number}", values.tofile)
