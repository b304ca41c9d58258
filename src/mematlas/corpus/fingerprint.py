"""A corpus' fingerprint: what would have to change for its rows to be others.

Hashed are the format, the options that matter to it, the sizes of the files and their content, but not where they lie.
Up to 1 GiB the content is hashed whole. Beyond that only its first and last MiB and 64 evenly spaced blocks of 64 KiB
are: enough to tell corpora apart, not to notice a single changed token.
"""

import hashlib
from collections.abc import Iterator

from mematlas.corpus.reading.bytestream import ByteStream

WHOLE_BYTES = 1 << 30
EDGE_BYTES = 1 << 20
SAMPLES, SAMPLE_BYTES = 64, 1 << 16


def fingerprint(format: str, choices: dict[str, object], stream: ByteStream) -> str:
    """32 hexadecimal digits (blake2b) that stand for a corpus.

    Args:
        choices: whatever decides how the bytes become rows (row length, dtype, column, tokenizer, file names).
        stream: the corpus' files in their order.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((format, sorted(choices.items()), stream.sizes)).encode())
    for start, size in _hashed_parts(stream.size):
        digest.update(stream.read(start, size))
    return digest.hexdigest()


def _hashed_parts(total: int) -> Iterator[tuple[int, int]]:
    """(start, size) of the parts that are hashed, in ascending order."""
    if total <= WHOLE_BYTES:
        for start in range(0, total, EDGE_BYTES):
            yield start, min(EDGE_BYTES, total - start)
        return
    yield 0, EDGE_BYTES
    stride = (total - 2 * EDGE_BYTES) // SAMPLES
    for sample in range(SAMPLES):
        yield EDGE_BYTES + sample * stride, SAMPLE_BYTES
    yield total - EDGE_BYTES, EDGE_BYTES
