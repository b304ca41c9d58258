"""Streams the lines of plain, gzip and Zstandard files; a truncated compressed file is an error."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from mematlas.corpus.reading.files import starts_with
from mematlas.errors import CorpusError

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
CHUNK_BYTES = 1 << 20
HEAD_BYTES = 1 << 16


def read_lines(path: Path) -> Iterator[bytes]:
    """The file's lines without line ends; the compression is detected by the first bytes.

    Raises:
        CorpusError: the compressed data are damaged or truncated.
    """
    partial: list[bytes] = []  # pieces of a line that continues in the next chunk
    for chunk in read_chunks(path):
        first, *following = chunk.split(b"\n")
        partial.append(first)
        if following:
            yield b"".join(partial)
            yield from following[:-1]
            partial = following[-1:]
    if any(partial):
        yield b"".join(partial)


def first_bytes(path: Path) -> bytes:
    """The beginning of the decompressed content: at least HEAD_BYTES, if it has so many."""
    head = b""
    for chunk in read_chunks(path):
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    return head


def read_chunks(path: Path) -> Iterator[bytes]:
    """The decompressed content in pieces of at most about a megabyte; the first bytes tell the compression.

    Raises:
        CorpusError: the compressed data are damaged or truncated.
    """
    try:
        if starts_with(path, GZIP_MAGIC):
            with gzip.open(path) as file:
                yield from iter(lambda: file.read(CHUNK_BYTES), b"")
        elif starts_with(path, ZSTD_MAGIC):
            yield from _zstd_chunks(path)
        else:
            with path.open("rb") as plain:
                yield from iter(lambda: plain.read(CHUNK_BYTES), b"")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(f"{path} is damaged or truncated: {error}; download or write it again.") from error


def _zstd_chunks(path: Path) -> Iterator[bytes]:
    """The content of all frames, by Arrow, which every installation has."""
    import pyarrow as pa

    with path.open("rb") as file, pa.input_stream(file, compression="zstd") as stream:
        try:
            yield from iter(lambda: stream.read(CHUNK_BYTES), b"")
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            raise EOFError(str(error)) from error
