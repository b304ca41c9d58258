"""Hashes of 64 bits: of tokens, and of spans of rows, equal where the tokens are equal.

A span's hash is a sum over its tokens, each multiplied by a number of its position, so that one pass over a row gives
the hashes of all its spans. Two different spans have equal hashes by chance once in about 2^64 pairs.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.types import Ids

BASE: Final = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


def token_hashes(values: Hashes) -> Hashes:
    """Spread numbers over 64 bits (splitmix64); any shape."""
    mixed = (values + BASE) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def flatten(lists: pl.Series) -> tuple[Hashes, Ids]:
    """The tokens of all rows one after another (null as -1, modulo 2^64), and the length of each row, 0 for null."""
    lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = lists.drop_nulls().explode(empty_as_null=False).cast(pl.Int64).fill_null(-1)
    return flat.to_numpy().astype(np.uint64), lengths


def running_sums(flat: Hashes, lengths: Ids) -> Hashes:
    """Sums [tokens + 1] whose differences are the hashes of spans that start at the same position of their rows.

    flat, lengths: as `flatten` returns them. The hash of the tokens flat[i:j] of one row is sums[j] - sums[i], modulo
    2^64.
    """
    starts = np.cumsum(lengths) - lengths
    factors = token_hashes(np.arange(int(lengths.max(initial=0))).astype(np.uint64))
    positions = np.arange(len(flat)) - np.repeat(starts, lengths)
    terms = token_hashes(flat) * factors[positions]
    return np.concatenate([[np.uint64(0)], np.cumsum(terms, dtype=np.uint64)])


def piece_hashes(flat: Hashes, lengths: Ids, width: int) -> tuple[Ids, Hashes]:
    """The row and the hash of every piece of `width` tokens, wherever it begins in its row.

    flat, lengths: as `flatten` returns them. Pieces are in the order of rows and positions; a row that is shorter has
    none.
    """
    starts, pieces = np.cumsum(lengths) - lengths, np.maximum(lengths - width + 1, 0)
    owners = np.repeat(np.arange(len(lengths)), pieces)
    offsets = np.arange(len(owners)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    positions = starts[owners] + offsets
    hashes = np.zeros(len(owners), np.uint64)
    values = token_hashes(flat)
    for offset in range(width):
        hashes = hashes * BASE + values[positions + offset]
    return owners, hashes


def span_hashes(lists: pl.Series, spans: Sequence[tuple[int, int]]) -> pl.Series:
    """The hashes of the tokens start, ..., end - 1 of each row, for each (start, end) of `spans`.

    Returns:
        a struct per row with a field per span, named by its number; null where the row is shorter.
    """
    flat, lengths = flatten(lists)
    sums, starts = running_sums(flat, lengths), np.cumsum(lengths) - lengths
    columns = []
    for number, (start, end) in enumerate(spans):
        reaches = lengths >= end
        hashes = sums[np.where(reaches, starts + end, 0)] - sums[np.where(reaches, starts + start, 0)]
        columns.append(pl.select(pl.when(pl.Series(reaches)).then(pl.Series(hashes)).alias(str(number))).to_series())
    return pl.DataFrame(columns).to_struct(lists.name)
