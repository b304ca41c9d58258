"""The published Pythia training order: ``document-00000-of-00020.bin`` ... read as one stream of rows.

The size of a shard is not a multiple of a row, so rows straddle shards; the second number of a name is that of the
last shard, not their count. Step s trained on the rows 1024 s .. 1024 (s + 1) - 1, of 2049 uint16 tokens.
Source: EleutherAI/pythia, ``utils/unshard_memmap.py`` and ``utils/mmap_dataset.py``.
"""

import re
from pathlib import Path

import numpy as np

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.formats.megatron import read_header
from mematlas.corpus.reading.bytestream import ByteStream, FileArray
from mematlas.corpus.reading.files import require_row_length
from mematlas.corpus.reading.skipped_files import record_skipped
from mematlas.corpus.reading.tokenrows import FixedRows
from mematlas.errors import CorpusError

ROW_LENGTH = 2049
ROWS_PER_STEP = 1024
SHARD = re.compile(r"document-(\d{5})-of-(\d{5})\.bin")
TOKEN_BYTES = 2


def step_of(row: int) -> int:
    """The training step (0-based) that showed `row`."""
    return row // ROWS_PER_STEP


def rows_of_step(step: int) -> range:
    """The rows shown in training step `step` (0-based); checkpoint ``stepN`` has seen those of steps 0 .. N-1."""
    return range(ROWS_PER_STEP * step, ROWS_PER_STEP * (step + 1))


class PythiaFormat:
    """A folder of shards, with or without ``document.idx``."""

    name = "pythia"
    reads = frozenset({"row_length"})
    suffixes = (".bin", ".idx")

    def holds_rows(self, file: Path) -> bool:
        """Whether a file with one of `suffixes` is a shard or the index of shards."""
        return file.name == "document.idx" or SHARD.fullmatch(file.name) is not None

    def detect(self, path: Path) -> bool:
        """By the names of the shards."""
        return path.is_dir() and any(SHARD.fullmatch(file.name) for file in path.glob("document-*-of-*.bin"))

    def open(self, path: Path, options: CorpusOptions) -> FixedRows:
        """Open the rows of all shards; their number is from document.idx if it exists, else from the shards' size."""
        row_length = ROW_LENGTH if options.row_length is None else require_row_length(options, "")
        stream = ByteStream(_shards(path))
        _check_sizes(stream)
        row_bytes = row_length * TOKEN_BYTES
        index = path / "document.idx"
        rows = _rows_in_index(index, stream, row_length) if index.exists() else stream.size // row_bytes
        if rows == 0:
            raise CorpusError(f"{path} has {stream.size} bytes, less than one row of {row_length} tokens.")
        details: dict[str, object] = {
            "token_dtype": "uint16",
            "shards": len(stream.paths),
            "rows_per_step": ROWS_PER_STEP,
            "index": index.exists(),
            "dropped_tail_bytes": stream.size - rows * row_bytes,
        }
        tokens = FileArray(stream, "<u2", count=rows * row_length)
        digest = fingerprint(self.name, {"row_length": row_length}, stream)
        corpus = FixedRows(self.name, digest, tokens, row_length, details)
        return record_skipped(corpus, path, [*stream.paths, *([index] if index.exists() else [])])


def _shards(path: Path) -> list[Path]:
    """The shards in order; none may be missing."""
    matches = {file: match for file in path.glob("*.bin") if (match := SHARD.fullmatch(file.name))}
    if not matches:
        raise CorpusError(f"The folder {path} has no shard document-00000-of-NNNNN.bin; check the path.")
    last_shards = sorted({match[2] for match in matches.values()})
    if len(last_shards) > 1:
        raise CorpusError(
            f"{path} mixes shards of several sets (of-{', of-'.join(last_shards)}); keep one set per folder."
        )
    shards = [path / f"document-{number:05d}-of-{last_shards[0]}.bin" for number in range(int(last_shards[0]) + 1)]
    missing = [file.name for file in shards if file not in matches]
    if missing:
        raise CorpusError(
            f"{path} lacks {len(missing)} of {len(shards)} shards, the first is {missing[0]}; "
            f"rows straddle shards, so all are needed; download it."
        )
    return shards


def _check_sizes(stream: ByteStream) -> None:
    """Check that all shards but the last have the same size; a shorter one would shift every row after it."""
    full = stream.sizes[0]
    for path, size in zip(stream.paths, stream.sizes, strict=True):
        is_last = path == stream.paths[-1]
        if size == 0 or size > full or (size < full and not is_last):
            raise CorpusError(
                f"{path} has {size} bytes, the first shard {full}; all but the last are of one size; "
                f"one of the two is damaged or truncated; download it again."
            )


def _rows_in_index(index: Path, stream: ByteStream, row_length: int) -> int:
    """The number of rows in document.idx, checked against the shards."""
    header = read_header(index)
    length = int(header.lengths.slice(0, 1)[0]) if header.sequences else row_length
    if header.dtype != np.dtype("<u2") or length != row_length:
        raise CorpusError(
            f"{index} describes rows of {length} {header.dtype.name} tokens, not {row_length} uint16; "
            f"use its row length: --row-length {length}."
        )
    declared = header.sequences * row_length * TOKEN_BYTES
    if declared != stream.size:
        raise CorpusError(
            f"{index} declares {header.sequences} rows ({declared} bytes), but the shards have {stream.size}; "
            f"a shard is truncated or from another set; download it again."
        )
    return header.sequences
