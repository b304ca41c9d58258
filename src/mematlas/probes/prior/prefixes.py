"""Prompts of other rows, which a row's continuation is put after (K10; how they are chosen is not published).

They are drawn from up to 2,048 random rows of the row's own corpus: of the same source where sources are known and have
several documents, of other documents where documents are known, with another prompt, and no copies, which have a piece
of 13 tokens in common directly or through others. Which of them a row gets depends on the seed and its id alone.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mematlas.corpus.base import Corpus
from mematlas.corpus.selection import Positions
from mematlas.probes.rows.opening import ProbedRows, RowProbe
from mematlas.types import Ids, Provenance

POOL: Final = 2048


def draw_prefixes(probe: RowProbe, rows: ProbedRows, count: int) -> list[Ids | None]:
    """Prompts of other rows for every row, [count, C] each; None where there are too few."""
    drawn: list[Ids | None] = [None] * len(rows)
    parts = [(False, probe.corpus, probe.positions)]
    if probe.control is not None:
        parts.append((True, probe.control, probe.control_positions))
    for is_control, corpus, positions in parts:
        own = np.flatnonzero(rows.is_control == is_control)
        pool = _Pool.read(corpus, positions, rows.subset(own), probe.config.seed)
        for number, index in enumerate(own.tolist()):
            seed = [probe.config.seed, int(is_control), int(rows.row[index])]
            drawn[index] = pool.draw(number, count, seed)
    return drawn


@dataclass(frozen=True)
class _Pool:
    """Rows that give prompts, after those that get some; all of one corpus.

    tokens: [rows + pool, width]; ids, clusters, document, source: of each, -1 where unknown; asked: number of the
    rows that get some.
    """

    tokens: Ids
    ids: Ids
    clusters: Ids
    document: Ids
    source: Ids
    context: int
    asked: int

    @classmethod
    def read(cls, corpus: Corpus, positions: Positions, rows: ProbedRows, seed: int) -> "_Pool":
        """The pool of a corpus. positions: among which the rows are; rows: those that get prompts."""
        chosen = np.arange(len(corpus))
        if len(chosen) > POOL:
            chosen = np.sort(np.random.default_rng(seed).choice(len(corpus), POOL, replace=False))
        width = rows.tokens.shape[1]
        read = corpus.read(chosen, width)
        kept = read.lengths >= width
        chosen, tokens = chosen[kept], np.concatenate([rows.tokens, read.ids[kept].astype(np.int64)])
        places = positions[: len(positions)]  # of a range: an array
        position = dict(zip(np.asarray(corpus.row_ids(places)).tolist(), places.tolist(), strict=True))
        asked = np.array([position[row] for row in rows.row.tolist()], dtype=np.int64)
        ids = np.concatenate([rows.row, np.asarray(corpus.row_ids(chosen), np.int64)])
        document, source = _numbered(corpus.provenance(np.concatenate([asked, chosen])))
        everything = ProbedRows(ids, np.zeros(len(ids), bool), tokens, rows.context, 0)
        return cls(tokens, ids, everything.clusters, document, source, rows.context, len(rows))

    def draw(self, number: int, count: int, seed: list[int]) -> Ids | None:
        """Prompts for one of the rows, [count, C]; None if too few rows can give one."""
        others = np.arange(self.asked, len(self.ids))
        prompts = self.tokens[:, : self.context]
        alike = (self.ids[others] == self.ids[number]) | (self.clusters[others] == self.clusters[number])
        alike |= (prompts[others] == prompts[number]).all(axis=1)
        same_document = (self.document[others] == self.document[number]) & (self.document[number] >= 0)
        same_source = self.source[others] == self.source[number]
        alike |= same_document
        if self.source[number] >= 0 and not same_document[same_source].all():  # a file is no kind of texts
            alike |= (self.source[others] >= 0) & ~same_source
        candidates = others[~alike]
        if len(candidates) < count:
            return None
        return prompts[np.random.default_rng(seed).choice(candidates, count, replace=False)]


def _numbered(provenance: Provenance) -> tuple[Ids, Ids]:
    """A number for each document of a source, and for each source; -1 where unknown."""
    documents: list[Any] = [
        None if document is None else (source, document)
        for source, document in zip(provenance.source, provenance.document, strict=True)
    ]
    numbers = []
    for values in (documents, list(provenance.source)):
        known = {value: number for number, value in enumerate(dict.fromkeys(values)) if value is not None}
        numbers.append(np.array([known.get(value, -1) for value in values], dtype=np.int64))
    return numbers[0], numbers[1]
