"""Counts over all selected rows, in one pass of bounded memory: rows that are too short, control rows in the corpus."""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import Corpus
from mematlas.corpus.reading.tokenrows import TokenFileCorpus
from mematlas.corpus.row_sets import RowSet, position_blocks
from mematlas.types import Ids


def count_short_rows(rows: RowSet, needed: int) -> int:
    """The number of selected rows with fewer than `needed` tokens; of token files only the lengths are read."""
    blocks = position_blocks(rows.positions, needed)
    return sum(int((_row_lengths(rows.corpus, positions, needed) < needed).sum()) for positions in blocks)


def _row_lengths(corpus: Corpus, positions: Ids, width: int) -> Ids:
    """The lengths of rows, at least up to `width`."""
    if isinstance(corpus, TokenFileCorpus):
        return corpus.spans(positions)[1]
    return corpus.read(positions, width).lengths


def count_shared_rows(train: RowSet, control: RowSet, width: int) -> int:
    """The number of selected control rows whose first `width` tokens are those of a selected row of the corpus.

    One pass over both, with 16 bytes of memory per control row; rows without tokens are not counted. Rows are compared
    by hashes of 64 bits: among 10 million rows and a million control rows, the chance that unequal ones are taken for
    equal is below one in a million.
    """
    digests, numbers = np.unique(
        np.concatenate([np.zeros(0, np.uint64), *_digests(control, width)]), return_inverse=True
    )
    if not len(digests):
        return 0
    is_shared = np.zeros(len(digests), bool)
    for block in _digests(train, width):
        places = np.minimum(np.searchsorted(digests, block), len(digests) - 1)
        is_shared[places[digests[places] == block]] = True
    return int(is_shared[numbers].sum())


def _digests(rows: RowSet, width: int) -> Iterator[NDArray[np.uint64]]:
    """A hash of the first `width` tokens of each selected row that has tokens, in blocks."""
    for positions in position_blocks(rows.positions, width):
        read = rows.corpus.read(positions, width)
        pairs = zip(read.ids, read.lengths.tolist(), strict=True)
        hashes = [hashlib.blake2b(ids[:length].tobytes(), digest_size=8).digest() for ids, length in pairs if length]
        yield np.frombuffer(b"".join(hashes), "<u8").astype(np.uint64)
