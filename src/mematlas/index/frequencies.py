"""Counts of every token and of every pair of neighbouring tokens in a corpus, in one pass."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from mematlas.index.base import Scope
from mematlas.index.queries import pack_pairs, sum_by_key, unpack_pairs
from mematlas.index.stream import Chunk, Stream
from mematlas.study import write_table
from mematlas.types import Ids


def unigram_counts(stream: Stream) -> Ids:
    """[highest id + 1]: how often each token occurs in the corpus."""
    counts = np.zeros(0, np.int64)
    for chunk in stream.chunks(0):
        chunk_counts = np.bincount(chunk.tokens)
        longer, shorter = (chunk_counts, counts) if len(chunk_counts) > len(counts) else (counts, chunk_counts)
        counts = longer.astype(np.int64)
        counts[: len(shorter)] += shorter
    return counts


def bigram_counts(stream: Stream, scope: Scope = "documents") -> tuple[Ids, Ids]:
    """Every pair of neighbouring tokens: [2, k] (first, second), ascending, and [k] how often it occurs in the corpus.

    Memory grows with the number of distinct pairs, by 16 bytes each.
    """
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for chunk in stream.chunks(1):
        pairs = np.sort(_pairs(chunk, scope))
        starts = np.flatnonzero(np.diff(pairs, prepend=-1))
        pair_counts = np.diff(starts, append=len(pairs))
        keys, counts = sum_by_key(np.append(keys, pairs[starts]), np.append(counts, pair_counts))
    return unpack_pairs(keys), counts


def _pairs(chunk: Chunk, scope: Scope) -> Ids:
    """The pairs that start at the chunk's own tokens and lie within the scope, as keys of `pack_pairs`."""
    indices = np.arange(min(chunk.own_length, len(chunk.tokens) - 1))
    if scope != "stream":
        indices = indices[~(chunk.rows if scope == "rows" else chunk.documents).crossed_by(indices, 2)]
    tokens = chunk.tokens.astype(np.int64)
    return pack_pairs(tokens[indices], tokens[indices + 1])


def write_ngram_tables(stream: Stream, folder: Path, scope: Scope) -> list[Path]:
    """Write both as Parquet: unigrams.parquet (token, count) and bigrams.parquet (first, second, count)."""
    counts = unigram_counts(stream)
    tokens = np.flatnonzero(counts)
    pairs, pair_counts = bigram_counts(stream, scope)
    tables = {
        "unigrams": {"token": tokens, "count": counts[tokens]},
        "bigrams": {"first": pairs[0], "second": pairs[1], "count": pair_counts},
    }
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, columns in tables.items():
        write_table(paths[name], pa.table(columns), {"scope": scope if name == "bigrams" else "stream"})
    return list(paths.values())
