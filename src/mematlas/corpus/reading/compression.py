"""Lines of plain, gzip and Zstandard files, streamed; a compressed file that ends early is an error."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

from mematlas.corpus.reading.files import starts_with
from mematlas.errors import CorpusError

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
CHUNK_BYTES = 1 << 20
PACKED_BYTES = 1 << 12  # of Zstandard at once: four bytes of it may stand for 128 KiB


def lines(path: Path) -> Iterator[bytes]:
    """The file's lines without their ends, decompressed by what its first bytes say.

    Raises:
        CorpusError: the compressed data are damaged or truncated.
    """
    begun: list[bytes] = []  # pieces of a line whose end is still to come
    for chunk in _chunks(path):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if others:
            yield b"".join(begun)
            yield from others[:-1]
            begun = others[-1:]
    if any(begun):
        yield b"".join(begun)


def first_bytes(path: Path) -> bytes:
    """The beginning of the decompressed content."""
    return next(_chunks(path), b"")


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        if starts_with(path, GZIP_MAGIC):
            with gzip.open(path) as file:
                yield from iter(lambda: file.read(CHUNK_BYTES), b"")
        elif starts_with(path, ZSTD_MAGIC):
            yield from _zstd_chunks(path)
        else:
            with path.open("rb") as plain:
                yield from iter(lambda: plain.read(CHUNK_BYTES), b"")
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise CorpusError(
            f"{path} is damaged or truncated: {error or 'it ends within a frame'}; download or write it again."
        ) from error


def _zstd_chunks(path: Path) -> Iterator[bytes]:
    """All frames, one after the other. The library's own reader takes a frame that ends early for a whole one."""
    frame = None
    with path.open("rb") as file:
        for data in iter(lambda: file.read(PACKED_BYTES), b""):
            while data:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(data)
                data, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise EOFError("it ends within a frame")
