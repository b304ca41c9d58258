"""An index on disk: the stream, its boundaries, one suffix array per shard; the manifest is written last.

    INDEX/stream.json                         the corpus and options of the stream
    INDEX/tokens.bin                          uint16 or uint32, little-endian, row after row
    INDEX/rows.bin, INDEX/documents.bin       int64: where rows and documents start in the stream
    INDEX/suffixes-00000-of-00003.bin         uint32: the shard's positions, sorted by the tokens that follow
    INDEX/index.json                          the manifest: all of stream.json, with size and hash of every file

An interrupted build continues with the missing shards; a folder without index.json is not an index yet.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import IndexFault
from mematlas.errors.remedies import command_line
from mematlas.index.base import Scope, counted_scopes
from mematlas.index.stream import CHUNK_TOKENS, Boundaries, Chunk
from mematlas.index.suffix_arrays import Shard, SuffixArray, out_of_order

LAYOUT: Final = 1  # version of the folder's layout


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """The corpus and options of an index. tokenizer: as the user named it; tokenizer_fingerprint: of its files;
    boundaries_moved: items were inserted into the corpus after the places of its rows and documents were written."""

    corpus: str
    source: str
    vocabulary: int
    dtype: str
    eod: int | None
    joined: bool
    tokenizer: str | None
    tokenizer_fingerprint: str | None
    tokens: int
    rows: int
    documents: int
    shard_tokens: int
    boundaries_moved: bool = False

    @property
    def shards(self) -> list[tuple[int, int]]:
        """Start and stop of each shard, in tokens of the stream."""
        starts = range(0, self.tokens, self.shard_tokens)
        return [(start, min(start + self.shard_tokens, self.tokens)) for start in starts]

    def shard_file(self, number: int) -> str:
        return f"suffixes-{number:05d}-of-{len(self.shards):05d}.bin"


def open_index(
    folder: str | Path, *, corpus: str | None = None, tokenizer: str | None = None
) -> tuple[SuffixArray, IndexManifest]:
    """Open an index for queries, in constant time.

    Args:
        corpus, tokenizer: fingerprints that the index must have been built from, if given.

    Raises:
        IndexFault: there is no index, or it is incomplete, truncated, or of another corpus or tokenizer.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    fingerprints = (("corpus", corpus, manifest.corpus), ("tokenizer", tokenizer, manifest.tokenizer_fingerprint))
    for name, expected, actual in fingerprints:
        if expected is not None and expected != actual:
            raise IndexFault(
                f"{folder} is the index of another {name} (fingerprint {actual}, not {expected}); "
                f"build one of this {name}: mematlas index CORPUS --out INDEX."
            )
    tokens = memory_map(folder / "tokens.bin", manifest.dtype)
    boundaries: dict[Scope, Boundaries] = {name: _read_boundaries(folder, name) for name in ("rows", "documents")}
    shards = []
    for number, (start, stop) in enumerate(manifest.shards):
        shards.append(Shard(start, tokens[start:stop], memory_map(folder / manifest.shard_file(number), "<u4")))
    scopes = counted_scopes(manifest.boundaries_moved, manifest.joined)
    return SuffixArray(shards, tokens, manifest.vocabulary, boundaries, scopes, boundaries["documents"]), manifest


def read_manifest(folder: Path) -> IndexManifest:
    """The manifest of a complete index, after checking that every file has its full size.

    Raises:
        IndexFault: see open_index.
    """
    manifest = read_manifest_file(folder / "index.json")
    if manifest is None:
        is_interrupted = (folder / "stream.json").is_file()
        raise IndexFault(
            f"{folder} contains an index whose build was interrupted; run the same command again to finish it."
            if is_interrupted
            else f"{folder} contains no index; build one: {command_line('index', 'CORPUS', '--out', folder)}."
        )
    for name, (size, _) in _read_files(folder).items():
        actual = (folder / name).stat().st_size if (folder / name).is_file() else None
        if actual != size:
            raise IndexFault(
                f"{folder / name} {'is missing' if actual is None else f'has {actual} bytes, not {size}'}: the index "
                f"is damaged; delete {folder} and build it again."
            )
    return manifest


def verify_index(folder: str | Path) -> IndexManifest:
    """Read the whole index, and check the hash of every file and the order of every suffix.

    Raises:
        IndexFault: a check fails.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, (_, digest) in _read_files(folder).items():
        if digest_file(folder / name) != digest:
            raise IndexFault(f"{folder / name} has changed since it was built; delete {folder} and build it again.")
    tokens = memory_map(folder / "tokens.bin", manifest.dtype)
    for number, (start, stop) in enumerate(manifest.shards):
        name = manifest.shard_file(number)
        entry = out_of_order(Shard(start, tokens[start:stop], memory_map(folder / name, "<u4")))
        if entry is not None:
            raise IndexFault(f"{folder / name} is out of order at entry {entry}; delete {folder} and build it again.")
    return manifest


class StoredStream:
    """The stream of an index. See Stream."""

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        self.vocabulary, self._length = manifest.vocabulary, manifest.tokens
        self._tokens = memory_map(folder / "tokens.bin", manifest.dtype)
        self._rows, self._documents = (_read_boundaries(folder, name) for name in ("rows", "documents"))

    def length(self, least: int) -> int:
        """See Stream.length."""
        return self._length

    def chunks(self, overlap: int, size: int = CHUNK_TOKENS) -> Iterator[Chunk]:
        """See Stream.chunks."""
        for start in range(0, self._length, size):
            own_length, stop = min(size, self._length - start), min(start + size + overlap, self._length)
            rows, documents = self._rows.slice(start, stop), self._documents.slice(start, stop)
            yield Chunk(start, self._tokens[start:stop].astype(np.uint32), own_length, rows, documents)


def read_manifest_file(path: Path) -> IndexManifest | None:
    """The content of index.json or stream.json, None if there is no such file.

    Raises:
        IndexFault: the file is damaged, or of another layout.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["layout"] != LAYOUT:
            raise IndexFault(f"{path} has layout {content['layout']}, not {LAYOUT}; build the index again.")
        known = [field.name for field in fields(IndexManifest) if field.name in content or field.default is MISSING]
        return IndexManifest(**{name: content[name] for name in known})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexFault(f"{path} is damaged ({error}); delete the folder and build the index again.") from None


def _read_files(folder: Path) -> Mapping[str, tuple[int, str]]:
    """File name -> size in bytes and hash."""
    return json.loads((folder / "index.json").read_text(encoding="utf-8"))["files"]


def digest_file(path: Path) -> str:
    """The BLAKE2b hash of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=10)).hexdigest()


def _read_boundaries(folder: Path, name: str) -> Boundaries:
    return Boundaries(memory_map(folder / f"{name}.bin", "<i8"))


def memory_map(path: Path, dtype: str) -> NDArray[Any]:
    """The file as a memory-mapped array; an empty file, which cannot be mapped, as an empty array."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r"))
