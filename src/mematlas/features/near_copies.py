"""Near-copies among rows: MinHash finds candidates, and their Jaccard similarity is computed exactly.

A row is the set of its pieces of 5 tokens; J(a, b) = |a and b| / |a or b|. Of each set, 128 random functions each keep
the smallest value; two sets agree in one of them with probability J (Broder 1997). The 128 are put into 32 bands of 4,
and two rows that agree in a whole band are candidates (locality-sensitive hashing, Leskovec, Rajaraman and Ullman,
section 3.4):

    P(candidate) = 1 - (1 - J^4)^32        J = .5: .873    .8: 1 - 5e-8    .3: .229

Pieces of 5 tokens are those of Lee et al. (2022, 2107.06499); permutations, bands and the limit of .8 are our choice.
Candidates are all compared: a group of many rows that are alike takes time with the square of its size.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from mematlas.study.clusters import number_by_appearance
from mematlas.study.token_hashes import BASE, Hashes, flatten, piece_hashes, token_hashes
from mematlas.types import Ids

if TYPE_CHECKING:
    import polars as pl

SHINGLE_TOKENS: Final = 5
BANDS: Final = 32
ROWS_PER_BAND: Final = 4
NEAR: Final = 0.8
"""The least Jaccard similarity of near-copies."""
_PAIRS_AT_ONCE: Final = 1 << 15


def near_copies(texts: "pl.Series", is_counted: NDArray[np.bool_], seed: int = 0) -> "pl.DataFrame":
    """The near-copies of each row.

    Args:
        texts: the tokens of each row, lists; is_counted: [rows], whether it counts as another row's copy.

    Returns:
        near_copies, cluster, largest_jaccard, exact: one record a row, in order; see `study.schemas.features.NEAR`.
        Clusters join near-copies, counted or not.
    """
    flat, lengths = flatten(texts)
    owners, hashes = piece_hashes(flat, lengths, SHINGLE_TOKENS)
    sets = _sets(owners, hashes, len(lengths))
    sizes = np.diff(sets.indptr)
    copies, first_of = _equal_sets(owners, hashes, sizes)
    shown = np.flatnonzero(first_of == np.arange(len(sizes)))  # one row of each set
    shown = shown[sizes[shown] > 0]
    rank = np.full(len(sizes), -1)
    rank[shown] = np.arange(len(shown))
    kept = first_of[owners] == owners
    signatures = minhash(rank[owners[kept]], hashes[kept], len(shown), seed)
    first, second, jaccard = _verified(sets, shown, candidate_pairs(signatures))
    counted = np.bincount(first_of[is_counted], minlength=len(sizes)).astype(np.int64)
    return _frame(first_of, sizes > 0, counted, is_counted, (first, second, jaccard), copies)


def minhash(owners: Ids, hashes: Hashes, rows: int, seed: int = 0) -> NDArray[np.uint32]:
    """Signatures [rows, BANDS * ROWS_PER_BAND] of sets of hashes; owners: of each hash, ascending, none left out."""
    starts = np.searchsorted(owners, np.arange(rows))
    count = BANDS * ROWS_PER_BAND
    signatures = np.zeros((rows, count), np.uint32)
    keys = token_hashes(np.random.default_rng(seed).integers(0, 1 << 63, count).astype(np.uint64))
    for number, key in enumerate(keys if rows else []):
        values = (token_hashes(hashes ^ key) >> np.uint64(32)).astype(np.uint32)
        signatures[:, number] = np.minimum.reduceat(values, starts)
    return signatures


def candidate_pairs(signatures: NDArray[np.uint32]) -> Iterator[tuple[Ids, Ids]]:
    """Pairs of rows (first < second) that agree in a band; a pair comes with the first band in which it agrees."""
    bands = signatures.reshape(len(signatures), BANDS, ROWS_PER_BAND)
    keys = np.zeros((len(signatures), BANDS), np.uint64)
    for number in range(ROWS_PER_BAND):
        keys = token_hashes(keys * BASE + bands[:, :, number])
    for band in range(BANDS):
        for first, second in _pairs_of_equals(keys[:, band]):
            is_new = ~(keys[first, :band] == keys[second, :band]).any(axis=1)
            yield first[is_new], second[is_new]


def _pairs_of_equals(keys: Hashes) -> Iterator[tuple[Ids, Ids]]:
    """All pairs of positions with equal keys, some at a time."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.append(keys[order][1:] != keys[order][:-1], np.ones(min(1, len(keys)), bool))) + 1
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    group_end = np.repeat(ends, ends - starts)  # of each position in the order: where its group ends
    partners = group_end - np.arange(len(order)) - 1
    totals = np.cumsum(partners)
    at = 0
    while at < len(order):
        before = totals[at] - partners[at]
        to = max(at + 1, int(np.searchsorted(totals, before + _PAIRS_AT_ONCE, side="right")))
        own = partners[at:to]
        left = np.repeat(np.arange(at, to), own)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(own) - own, own)
        if len(left):
            one, other = order[left], order[right]
            yield np.minimum(one, other), np.maximum(one, other)
        at = to


def _sets(owners: Ids, hashes: Hashes, rows: int) -> csr_array:
    """Which row has which piece, [rows, pieces], each once."""
    pieces = np.unique(hashes, return_inverse=True)[1]
    table = coo_array((np.ones(len(owners), np.int32), (owners, pieces)), shape=(rows, int(pieces.max(initial=-1)) + 1))
    sets: csr_array = table.tocsr()
    sets.sum_duplicates()
    sets.data[:] = 1
    return sets


def _equal_sets(owners: Ids, hashes: Hashes, sizes: Ids) -> tuple[Ids, Ids]:
    """A key of each row's pieces in their order, equal for equal texts; and the first row with the same set of pieces.

    Both [rows]. A set's key is the sum of its pieces' hashes, so that equal sets are found without comparing rows.
    """
    text, bag = np.zeros((2, len(sizes)), np.uint64)
    position = np.arange(len(owners)) - np.searchsorted(owners, owners)
    np.add.at(text, owners, token_hashes(hashes + token_hashes(position.astype(np.uint64))))
    order = np.lexsort((hashes, owners))
    is_first = np.append(
        np.ones(min(1, len(order)), bool), (np.diff(hashes[order]) != 0) | (np.diff(owners[order]) != 0)
    )
    distinct = order[is_first]
    np.add.at(bag, owners[distinct], token_hashes(hashes[distinct]))
    _, first, inverse = np.unique(
        np.stack([bag, sizes.astype(np.uint64)]), axis=1, return_index=True, return_inverse=True
    )
    first_of = first[inverse.reshape(-1)].astype(np.int64)
    alone = sizes == 0
    first_of[alone] = np.flatnonzero(alone)
    return np.unique(text, return_inverse=True)[1].astype(np.int64), first_of


def _verified(
    sets: csr_array, shown: Ids, candidates: Iterator[tuple[Ids, Ids]]
) -> tuple[Ids, Ids, NDArray[np.float64]]:
    """The candidates as rows, with their Jaccard similarity."""
    parts: list[tuple[Ids, Ids, NDArray[np.float64]]] = []
    sizes = np.diff(sets.indptr)
    for one, other in candidates:
        first, second = shown[one], shown[other]
        common = np.asarray(sets[first].multiply(sets[second]).sum(axis=1)).reshape(-1)
        parts.append((first, second, common / (sizes[first] + sizes[second] - common)))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    first, second, jaccard = (np.concatenate(part) for part in zip(*parts, strict=True))
    return first, second, jaccard


def _frame(
    first_of: Ids,
    is_known: NDArray[np.bool_],
    counted: Ids,
    is_counted: NDArray[np.bool_],
    pairs: tuple[Ids, Ids, NDArray[np.float64]],
    copies: Ids,
) -> "pl.DataFrame":
    """The frame of `near_copies`. counted: rows of each set that count, [rows], at its first row; pairs: of sets."""
    import polars as pl

    (first, second, jaccard), rows = pairs, np.arange(len(first_of))
    near = jaccard >= NEAR
    alike, largest = counted.copy(), np.full(len(rows), -1.0)
    for one, other in ((first, second), (second, first)):
        np.add.at(alike, one[near], counted[other[near]])
        does_count = counted[other] > 0
        np.maximum.at(largest, one[does_count], jaccard[does_count])
    largest = np.where(counted[first_of] > is_counted, 1.0, largest[first_of])  # another row has the same set
    edges = np.append(first[near], rows), np.append(second[near], first_of)
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(len(rows), len(rows)))
    same = np.bincount(copies[is_counted], minlength=int(copies.max(initial=-1)) + 1)[copies] - is_counted
    frame = pl.DataFrame(
        {
            "near_copies": alike[first_of] - is_counted,
            "cluster": number_by_appearance(connected_components(graph, directed=False)[1].astype(np.int64)),
            "largest_jaccard": largest,
            "exact": same.astype(np.int64),
        }
    )
    known = pl.lit(pl.Series(is_known))
    was_compared = known & (pl.col("largest_jaccard") >= 0)
    return frame.with_columns(
        *(pl.when(known).then(pl.col(name)).alias(name) for name in ("near_copies", "exact")),
        pl.when(was_compared).then(pl.col("largest_jaccard")).alias("largest_jaccard"),
    )
