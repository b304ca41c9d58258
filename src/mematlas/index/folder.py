"""An index on disk: the stream, its borders, a suffix array a shard; the manifest is written last.

    INDEX/stream.json                         what the stream was made from
    INDEX/tokens.bin                          uint16 or uint32, little-endian, row after row
    INDEX/rows.bin, INDEX/documents.bin       int64: where rows and documents start in it
    INDEX/suffixes-00000-of-00003.bin         uint32: the shard's places in the order of the text that follows
    INDEX/index.json                          all of stream.json, with size and hash of every file

A build that is interrupted goes on with the shard that is missing; a folder without index.json is no index.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import IndexFault
from mematlas.index.base import SCOPES, Scope
from mematlas.index.stream import PIECE, Borders, Piece
from mematlas.index.suffix_arrays import Shard, SuffixArray, out_of_order

LAYOUT: Final = 1  # of the folder; raised when it changes


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What an index was made from. tokenizer: as the user named it; tokenizer_fingerprint: of its files."""

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

    @property
    def shards(self) -> list[tuple[int, int]]:
        """First token, and the one after the last, of each shard."""
        starts = range(0, self.tokens, self.shard_tokens)
        return [(start, min(start + self.shard_tokens, self.tokens)) for start in starts]

    def shard_file(self, number: int) -> str:
        return f"suffixes-{number:05d}-of-{len(self.shards):05d}.bin"


def open_index(
    folder: Path, *, corpus: str | None = None, tokenizer: str | None = None
) -> tuple[SuffixArray, IndexFacts]:
    """An index for questions, in constant time.

    Args:
        corpus, tokenizer: fingerprints that it must have been made from, if given.

    Raises:
        IndexFault: there is none, it is incomplete, truncated, of another corpus or tokenizer.
    """
    facts = read_index(folder)
    fingerprints = (("corpus", corpus, facts.corpus), ("tokenizer", tokenizer, facts.tokenizer_fingerprint))
    for what, asked, known in fingerprints:
        if asked is not None and asked != known:
            raise IndexFault(
                f"{folder} is the index of another {what} (fingerprint {known}, not {asked}); "
                f"build one of this {what}: mematlas index CORPUS --out INDEX."
            )
    tokens = mapped(folder / "tokens.bin", facts.dtype)
    borders: dict[Scope, Borders] = {name: _borders(folder, name) for name in ("rows", "documents")}
    shards = []
    for number, (start, stop) in enumerate(facts.shards):
        shards.append(Shard(start, tokens[start:stop], mapped(folder / facts.shard_file(number), "<u4")))
    return SuffixArray(shards, tokens, facts.vocabulary, borders, SCOPES, borders["documents"]), facts


def read_index(folder: Path) -> IndexFacts:
    """What a complete index was made from; its files are there in full length.

    Raises:
        IndexFault: see open_index.
    """
    facts = read_facts(folder / "index.json")
    if facts is None:
        begun = (folder / "stream.json").is_file()
        raise IndexFault(
            f"{folder} holds an index whose build was interrupted; run the same command again to finish it."
            if begun
            else f"{folder} holds no index; build one: mematlas index CORPUS --out {folder}."
        )
    for name, (size, _) in _files(folder).items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else None
        if found != size:
            raise IndexFault(
                f"{folder / name} {'is missing' if found is None else f'has {found} bytes, not {size}'}: the index is "
                f"damaged; delete {folder} and build it again."
            )
    return facts


def verify_index(folder: Path) -> IndexFacts:
    """Read the whole index: every file has its hash, and every suffix stands in its order.

    Raises:
        IndexFault: it does not.
    """
    facts = read_index(folder)
    for name, (_, known) in _files(folder).items():
        if digest(folder / name) != known:
            raise IndexFault(f"{folder / name} has changed since it was built; delete {folder} and build it again.")
    tokens = mapped(folder / "tokens.bin", facts.dtype)
    for number, (start, stop) in enumerate(facts.shards):
        name = facts.shard_file(number)
        line = out_of_order(Shard(start, tokens[start:stop], mapped(folder / name, "<u4")))
        if line is not None:
            raise IndexFault(f"{folder / name} is out of order at entry {line}; delete {folder} and build it again.")
    return facts


class StoredStream:
    """The stream of an index. See Stream."""

    def __init__(self, folder: Path) -> None:
        facts = read_index(folder)
        self.vocabulary, self._length = facts.vocabulary, facts.tokens
        self._tokens = mapped(folder / "tokens.bin", facts.dtype)
        self._rows, self._documents = (Borders(mapped(folder / f"{name}.bin", "<i8")) for name in ("rows", "documents"))

    def length(self, least: int) -> int:
        """See Stream.length."""
        return self._length

    def pieces(self, overlap: int, size: int = PIECE) -> Iterator[Piece]:
        """See Stream.pieces."""
        for start in range(0, self._length, size):
            own, stop = min(size, self._length - start), min(start + size + overlap, self._length)
            rows, documents = self._rows.cut(start, stop), self._documents.cut(start, stop)
            yield Piece(start, self._tokens[start:stop].astype(np.uint32), own, rows, documents)


def read_facts(path: Path) -> IndexFacts | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["layout"] != LAYOUT:
            raise IndexFault(f"{path} is of layout {kept['layout']}, not {LAYOUT}; build the index again.")
        return IndexFacts(**{field.name: kept[field.name] for field in fields(IndexFacts)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexFault(f"{path} is damaged ({error}); delete the folder and build the index again.") from None


def _files(folder: Path) -> Mapping[str, tuple[int, str]]:
    return json.loads((folder / "index.json").read_text(encoding="utf-8"))["files"]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=10)).hexdigest()


def _borders(folder: Path, name: str) -> Borders:
    return Borders(mapped(folder / f"{name}.bin", "<i8"))


def mapped(path: Path, dtype: str) -> NDArray[Any]:
    """The file as an array; an empty file cannot be mapped."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r"))
