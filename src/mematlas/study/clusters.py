"""Which rows are not independent of each other: those of a document, and copies and near-copies of them.

A cluster is a document where the corpus says which rows it has, joined with every other whose rows share a piece of 13
tokens with one of its rows; a row of no known document is a document of its own. Pieces are compared by hashes of 64
bits. They need the table of tokens (`mematlas features`), without which only documents are known.

Where near-copies were looked for (`mematlas features --near`), rows that they connect are joined, too: those that have
no piece of 13 tokens in common because they are short, or because a token is changed often or moved.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mematlas.study.token_hashes import Hashes, flatten, piece_hashes, running_sums
from mematlas.types import Ids

PIECE_TOKENS: Final = 13  # tokens: rows that have so long a piece in common count as near-copies (our choice)
#: Our choice: above so many tokens in all only whole rows are compared, which bounds time and memory.
MAX_PIECES: Final = 1 << 24
_BLOCK_ROWS: Final = 512  # compared with all others at once


def cluster_rows(
    rows: pl.LazyFrame,
    tokens: pl.LazyFrame | None = None,
    shared: float = 0.0,
    near: pl.LazyFrame | None = None,
) -> pl.DataFrame | None:
    """The cluster of every row; None where every row is a cluster of its own, so that nothing is to be joined.

    Args:
        rows: row, role, source, document; tokens: row, tokens; rows without a record have no known tokens.
        shared: see `join_copies`; near: row, cluster of near-copies (`study.schemas.features.NEAR`).

    Returns:
        row, cluster (numbers 0, 1, ... in the order in which they appear).
    """
    document = pl.struct("role", "source", "document").rank("dense").cast(pl.Int64)
    known = pl.col("document").is_not_null()
    keyed = rows.select("row", pl.when(known).then(document).otherwise(-1 - pl.int_range(pl.len())).alias("key"))
    frame = keyed.collect()
    labels = np.unique(frame["key"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    if tokens is not None:
        texts = (
            frame.lazy().select("row").join(tokens.select("row", "tokens"), on="row", how="left", maintain_order="left")
        )
        labels = join_copies(labels, texts.collect()["tokens"], shared)
    labels = join_near_copies(labels, frame["row"], near)
    clusters = number_by_appearance(labels)
    if not len(clusters) or int(clusters.max()) + 1 == len(clusters):
        return None
    return frame.select("row", pl.Series("cluster", clusters))


def names_documents(rows: pl.LazyFrame) -> bool:
    """Whether any training row of `rows` (role, document) has a known document."""
    train = rows.filter(pl.col("role") == "train")
    return bool(train.select(pl.col("document").is_not_null().any()).collect(engine="streaming").item())


def join_copies(labels: Ids, texts: Iterable[list[int] | None] | pl.Series, shared: float = 0.0) -> Ids:
    """Labels of rows [n] with those joined whose rows have pieces of 13 tokens in common, directly or through others.

    Args:
        labels: of each row, shape (n,).
        texts: the tokens of each row, null or shorter than a piece where there is nothing to compare.
        shared: the share of the shorter row's distinct pieces that two rows must have in common; 0: one is enough.
            Texts of one form, such as tickets with set sentences, all hang together by single pieces. Takes time that
            grows with the square of the rows.
    """
    series = texts if isinstance(texts, pl.Series) else pl.Series(list(texts), dtype=pl.List(pl.Int64))
    flat, lengths = flatten(series)
    width = PIECE_TOKENS if lengths.sum() <= MAX_PIECES else None
    owners, hashes = _piece_hashes(flat, lengths, width)
    pairs = _rows_with_one_piece if width is None or not shared else partial(_rows_with_many_pieces, shared=shared)
    first, second = pairs(owners, hashes)
    count = int(labels.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(first), np.int8), (labels[first], labels[second])), shape=(count, count))
    return connected_components(edges, directed=False)[1].astype(np.int64)[labels]


def join_near_copies(labels: Ids, rows: pl.Series, near: pl.LazyFrame | None) -> Ids:
    """Labels of rows [n] with those joined whose rows near-copies connect, be it through rows that are not among these.

    Args:
        labels: of each row, shape (n,); rows: their ids; near: row, cluster; None if near-copies are not known.
    """
    if near is None:
        return labels
    wanted = pl.LazyFrame({"row": rows})
    joined = wanted.join(near.select("row", "cluster"), on="row", how="left", maintain_order="left").collect()
    known = joined["cluster"].is_not_null().to_numpy()
    connected = np.unique(joined["cluster"].drop_nulls().to_numpy(), return_inverse=True)[1]
    first = int(labels.max(initial=-1)) + 1  # clusters of near-copies are numbered behind the labels
    count = first + int(connected.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(connected), np.int8), (labels[known], first + connected)), shape=(count, count))
    return connected_components(edges, directed=False)[1].astype(np.int64)[labels]


def _rows_with_one_piece(owners: Ids, hashes: Hashes) -> tuple[Ids, Ids]:
    """Pairs of rows that connect all rows with a common piece."""
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    return owners[order[same]], owners[order[same + 1]]


def _rows_with_many_pieces(owners: Ids, hashes: Hashes, *, shared: float) -> tuple[Ids, Ids]:
    """Pairs of rows of which the one with fewer distinct pieces shares `shared` of these with the other."""
    rows, pieces = int(owners.max(initial=-1)) + 1, np.unique(hashes, return_inverse=True)[1]
    table = coo_array((np.ones(len(owners), np.int32), (owners, pieces)), shape=(rows, int(pieces.max(initial=-1)) + 1))
    table = table.tocsr()  # sums pieces that a row has several times
    table.data[:] = 1
    distinct = np.asarray(table.sum(axis=1))
    first, second = [], []
    for start in range(0, rows, _BLOCK_ROWS):
        common = (table[start : start + _BLOCK_ROWS] @ table.T).tocoo()
        one, other = common.row + start, common.col
        near = (one < other) & (common.data >= shared * np.minimum(distinct[one], distinct[other]))
        first.append(one[near])
        second.append(other[near])
    return np.concatenate([*first, np.zeros(0, np.int64)]), np.concatenate([*second, np.zeros(0, np.int64)])


def _piece_hashes(flat: Hashes, lengths: Ids, width: int | None) -> tuple[Ids, Hashes]:
    """The row and the hash of every piece of `width` tokens, or of every whole row if None."""
    if width is not None:
        return piece_hashes(flat, lengths, width)
    ends = np.cumsum(lengths)
    rows = np.flatnonzero(lengths >= PIECE_TOKENS)
    sums = running_sums(flat, lengths)
    return rows, sums[ends[rows]] - sums[(ends - lengths)[rows]]  # modulo 2^64


def number_by_appearance(labels: Ids) -> Ids:
    """The labels renumbered 0, 1, ... in the order in which they appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
