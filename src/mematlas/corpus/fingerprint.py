"""The fingerprint of a corpus, which changes when its rows change.

It is a hash of the format, the options that matter to it, the sizes of the files and their content, but not of their
paths. Up to 1 GiB all of the content is hashed. Beyond that only its first and last MiB and 64 evenly spaced blocks of
64 KiB are: enough to distinguish corpora, not to notice a single changed token.
"""

import hashlib
from collections.abc import Iterator

from mematlas.corpus.reading.bytestream import ByteStream

FULL_HASH_BYTES = 1 << 30
EDGE_BYTES = 1 << 20
SAMPLES, SAMPLE_BYTES = 64, 1 << 16


def fingerprint(format: str, choices: dict[str, object], stream: ByteStream) -> str:
    """32 hexadecimal digits (blake2b) that identify a corpus.

    Args:
        choices: everything that decides how the bytes become rows (row length, dtype, column, tokenizer, file names).
        stream: the corpus' files in their order.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((format, sorted(choices.items()), stream.sizes)).encode())
    for start, size in _hashed_parts(stream.size):
        digest.update(stream.read(start, size))
    return digest.hexdigest()


def _hashed_parts(total: int) -> Iterator[tuple[int, int]]:
    """(start, size) of the parts that are hashed, in ascending order."""
    if total <= FULL_HASH_BYTES:
        for start in range(0, total, EDGE_BYTES):
            yield start, min(EDGE_BYTES, total - start)
        return
    yield 0, EDGE_BYTES
    stride = (total - 2 * EDGE_BYTES) // SAMPLES
    for sample in range(SAMPLES):
        yield EDGE_BYTES + sample * stride, SAMPLE_BYTES
    yield total - EDGE_BYTES, EDGE_BYTES
