"""Megatron / GPT-NeoX token files: ``prefix.bin`` contains the tokens, ``prefix.idx`` the position of each sequence.

``.idx``, little-endian: magic (9 bytes), u64 version = 1, u8 dtype code, u64 S sequences, u64 D document entries;
then int32[S] lengths in tokens, int64[S] byte offsets into .bin, int64[D] document index: the first sequence of each
document, and S at the end. Source: GPT-NeoX ``indexed_dataset.py``, Pythia ``utils/mmap_dataset.py``.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mematlas.corpus.base import MOVED, CorpusOptions, as_positions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.reading.bytestream import ByteStream, FileArray
from mematlas.corpus.reading.files import require_file, starts_with
from mematlas.corpus.reading.tokenrows import TokenFileCorpus
from mematlas.errors import CorpusError
from mematlas.types import Ids, Provenance

MAGIC, OLD_MAGIC = b"MMIDIDX\x00\x00", b"TNTIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
DTYPES = {code: np.dtype(name) for code, name in {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}.items()}
PERTURBED = "_perturbation_info.json"
"""Ending of the file beside a corpus that items were inserted into after its index was written (Hubble, K9)."""
STRIDE = 1024  # one of this many entries of the document index is kept in memory


@dataclass(frozen=True, slots=True)
class Header:
    """The header of ``.idx``; the three arrays stay on disk."""

    dtype: np.dtype
    sequences: int
    lengths: FileArray
    offsets: FileArray
    documents: FileArray


def read_header(index: Path) -> Header:
    """Read the header of `index`, and check that the file has the size that it declares.

    Raises:
        CorpusError: another format, an unknown version or dtype, or a truncated file.
    """
    stream = ByteStream([require_file(index)])
    head = stream.read(0, min(HEADER.size, stream.size))
    _check_magic(index, head)
    if len(head) < HEADER.size:
        raise CorpusError(f"{index} ends within its header ({len(head)} of {HEADER.size} bytes); copy it again.")
    _, version, code, S, D = HEADER.unpack(head)
    if version != 1:
        raise CorpusError(f"{index} has version {version}; only version 1 of this index is supported.")
    if code not in DTYPES:
        raise CorpusError(f"{index} has dtype code {code}; tokens are integers: {', '.join(map(str, DTYPES))}.")
    if stream.size == 26 + 12 * S:
        raise CorpusError(
            f"{index} is fairseq's variant, which has no document index; write the corpus with Megatron or GPT-NeoX."
        )
    declared = HEADER.size + 12 * S + 8 * D
    if stream.size != declared:
        raise CorpusError(
            f"{index} has {stream.size} bytes, but its header declares {declared} "
            f"({S} sequences, {D} document entries); it is damaged or truncated; copy it again."
        )
    return Header(
        DTYPES[code],
        S,
        FileArray(stream, "<i4", HEADER.size, S),
        FileArray(stream, "<i8", HEADER.size + 4 * S, S),
        FileArray(stream, "<i8", HEADER.size + 12 * S, D),
    )


class MegatronFormat:
    """The path is the prefix, or one of the two files."""

    name = "megatron"
    reads = frozenset[str]()

    def detect(self, path: Path) -> bool:
        """By the first bytes of the index."""
        return starts_with(_prefixed(path, ".idx"), MAGIC, OLD_MAGIC)

    def open(self, path: Path, options: CorpusOptions) -> "MegatronCorpus":
        """Open the corpus: each sequence of the index is one row, of any length."""
        header = read_header(_prefixed(path, ".idx"))
        tokens = FileArray(ByteStream([require_file(_prefixed(path, ".bin"))]), header.dtype)
        if header.sequences == 0:
            raise CorpusError(f"{_prefixed(path, '.idx')} has no sequence; a corpus needs at least one row.")
        lengths = _check_sequences(header, tokens)
        moved = _prefixed(path, PERTURBED).exists()
        return MegatronCorpus(header, tokens, _check_documents(header), lengths, moved)


class MegatronCorpus(TokenFileCorpus):
    """Rows and documents as the index defines them."""

    def __init__(
        self, header: Header, tokens: FileArray, sampled_documents: Ids, lengths: tuple[int, int], moved: bool = False
    ) -> None:
        details: dict[str, object] = {
            "row_length": lengths[0] if lengths[0] == lengths[1] else None,
            "shortest_row": lengths[0],
            "longest_row": lengths[1],
            "token_dtype": header.dtype.name,
            "documents": len(header.documents) - 1,
        }
        if moved:
            details[MOVED] = True
        stream = ByteStream(header.lengths.stream.paths + tokens.stream.paths)
        super().__init__("megatron", fingerprint("megatron", {}, stream), tokens, details)
        self._header, self._sampled_documents = header, sampled_documents

    def __len__(self) -> int:
        return self._header.sequences

    def spans(self, positions: Ids) -> tuple[Ids, Ids]:
        """See TokenFileCorpus.spans."""
        offsets = self._header.offsets.take(positions) // self._header.dtype.itemsize
        return offsets, self._header.lengths.take(positions).astype(np.int64)

    def provenance(self, positions: Ids) -> Provenance:
        """The number of each row's document; sources are unknown."""
        positions = as_positions(positions, len(self))
        unknown = [None] * len(positions)
        return Provenance(list(self._documents_of(positions).tolist()), list(unknown), list(unknown))

    def _documents_of(self, positions: Ids) -> Ids:
        """The last document that starts at or before each position; only the needed blocks of the index are read."""
        blocks = np.searchsorted(self._sampled_documents, positions, side="right") - 1
        documents = np.empty(len(positions), np.int64)
        entries = self._header.documents
        for block in np.unique(blocks).tolist():
            rows = blocks == block
            starts = entries.slice(block * STRIDE, min((block + 1) * STRIDE, len(entries)))
            documents[rows] = block * STRIDE + np.searchsorted(starts, positions[rows], side="right") - 1
        return documents


def _prefixed(path: Path, suffix: str) -> Path:
    prefix = path.with_suffix("") if path.suffix in (".bin", ".idx") else path
    return prefix.with_name(prefix.name + suffix)


def _check_magic(index: Path, head: bytes) -> None:
    if head.startswith(OLD_MAGIC):
        raise CorpusError(
            f"{index} is of the older TNTIDX format; only mmap indexes (MMIDIDX) are read; write it again as mmap."
        )
    if not head.startswith(MAGIC):
        raise CorpusError(f"{index} begins with {head[:9]!r}, not with {MAGIC!r}; it is not a Megatron index.")


def _check_sequences(header: Header, tokens: FileArray) -> tuple[int, int]:
    """Check that every sequence is within the token file; return the shortest and the longest length."""
    index, item, size = header.lengths.stream.paths[0], header.dtype.itemsize, tokens.stream.size
    total, extremes = 0, []
    for lengths, offsets in zip(header.lengths.chunks(), header.offsets.chunks(), strict=True):
        ends = offsets + lengths.astype(np.int64) * item
        bounds = (lengths.min(), offsets.min(), size - offsets.max(), size - ends.max())
        if min(bounds) < 0 or (offsets % item).any():
            raise CorpusError(
                f"{index} points outside {tokens.stream.paths[0]} ({size} bytes of {header.dtype.name} tokens); "
                f"the two do not belong together, or one is damaged; copy both again."
            )
        total += int(lengths.sum(dtype=np.int64))
        extremes += [int(lengths.min()), int(lengths.max())]
    if total * item != size:
        raise CorpusError(
            f"{tokens.stream.paths[0]} has {size} bytes, but {index.name} declares {total * item}; "
            f"it is truncated, or the two do not belong together; copy both again."
        )
    return min(extremes), max(extremes)


def _check_documents(header: Header) -> Ids:
    """Check that the document index ascends from 0 to S; return every STRIDE-th entry."""
    sampled, last = [], 0
    for number, entries in enumerate(header.documents.chunks(STRIDE << 10)):
        if (number == 0 and entries[0] != 0) or entries[0] < last or (np.diff(entries) < 0).any():
            break
        sampled.append(entries[::STRIDE])
        last = int(entries[-1])
    else:
        if last == header.sequences:
            return np.concatenate(sampled)
    raise CorpusError(
        f"{header.documents.stream.paths[0]} has a document index that does not ascend from 0 to {header.sequences}, "
        f"the number of sequences; it is damaged; copy or write it again."
    )
