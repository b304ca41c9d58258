"""How often every token and every pair of tokens stands in a corpus, in one pass."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from mematlas.index.base import Scope
from mematlas.index.queries import added_up, packed, unpacked
from mematlas.index.stream import Piece, Stream
from mematlas.study import write_table
from mematlas.types import Ids


def unigram_counts(stream: Stream) -> Ids:
    """[highest id + 1]: how often each token stands in the corpus."""
    counts = np.zeros(0, np.int64)
    for piece in stream.pieces(0):
        found = np.bincount(piece.tokens)
        longer, shorter = (found, counts) if len(found) > len(counts) else (counts, found)
        counts = longer.astype(np.int64)
        counts[: len(shorter)] += shorter
    return counts


def bigram_counts(stream: Stream, scope: Scope = "documents") -> tuple[Ids, Ids]:
    """Every pair of neighbouring tokens: [2, k] (first, second), ascending, and [k] how often it stands in the corpus.

    Memory grows with the distinct pairs, 16 bytes each.
    """
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for piece in stream.pieces(1):
        found = np.sort(_pairs(piece, scope))
        firsts = np.flatnonzero(np.diff(found, prepend=-1))
        times = np.diff(firsts, append=len(found))
        keys, counts = added_up(np.append(keys, found[firsts]), np.append(counts, times))
    return unpacked(keys), counts


def _pairs(piece: Piece, scope: Scope) -> Ids:
    places = np.arange(min(piece.own, len(piece.tokens) - 1))
    if scope != "stream":
        places = places[~(piece.rows if scope == "rows" else piece.documents).crossed(places, 2)]
    tokens = piece.tokens.astype(np.int64)
    return packed(tokens[places], tokens[places + 1])


def write_ngram_tables(stream: Stream, folder: Path, scope: Scope) -> list[Path]:
    """Keep both as Parquet: unigrams.parquet (token, count) and bigrams.parquet (first, second, count)."""
    counts = unigram_counts(stream)
    tokens = np.flatnonzero(counts)
    pairs, times = bigram_counts(stream, scope)
    tables = {
        "unigrams": {"token": tokens, "count": counts[tokens]},
        "bigrams": {"first": pairs[0], "second": pairs[1], "count": times},
    }
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, columns in tables.items():
        write_table(paths[name], pa.table(columns), {"scope": scope if name == "bigrams" else "stream"})
    return list(paths.values())
