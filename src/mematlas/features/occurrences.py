"""Where else in the corpus recited continuations occur: the OCCURRENCES table of some rows.

Our choice: the first ten occurrences in corpus order beside the row's own, for at most 10,000 recited continuations:
those of control rows first (which should not occur at all), then a seeded sample of the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.index.base import Occurrences, Scope
from mematlas.metrics.extractable import extractable
from mematlas.study.schemas.features import OCCURRENCES
from mematlas.types import Grid, Ids, Provenance

if TYPE_CHECKING:
    import polars as pl

    from mematlas.index.scan import Scan

MAX_LISTED: Final = 10  # occurrences listed per continuation
MAX_CONTINUATIONS: Final = 10_000  # located per run
_SEED: Final = 0


class CorpusRows(Protocol):
    """Ids and provenance of the rows at given positions of a corpus; `mematlas.corpus.base.Corpus` implements it."""

    details: dict[str, object]

    def row_ids(self, positions: Ids) -> Ids: ...
    def provenance(self, positions: Ids) -> Provenance: ...


@dataclass(frozen=True, slots=True, eq=False)
class OccurrenceQuery:
    """A row's continuation, to be located in the corpus.

    in_corpus: whether the corpus contains the row (it is not a control row); offset: of the continuation in the row;
    tokens: [continuation] token ids.
    """

    row: int
    context: int
    continuation: int
    in_corpus: bool
    offset: int
    tokens: NDArray[Any]


def recited_cells(
    scores: "pl.LazyFrame", rows: "pl.LazyFrame", models: Sequence[str], limit: int = MAX_CONTINUATIONS
) -> "pl.DataFrame":
    """The continuations to locate: those that one of `models` recites, a sample of at most `limit`, control rows first.

    Args:
        scores: as `Study.scan_scores`; rows: as `Study.scan_rows`.

    Returns:
        columns row, context, continuation, role.
    """
    import polars as pl

    recited = (
        scores.filter(pl.col("model").is_in(models), extractable.expression())
        .select("row", "context", "continuation")
        .unique()
    )
    cells = recited.join(rows.select("row", "role"), on="row").collect(engine="streaming")
    cells = cells.sort("row", "context", "continuation")
    order = np.random.default_rng(_SEED).permutation(cells.height)
    sample = cells.with_columns(order=order).sort(pl.col("role") != "control", "order").head(limit)
    return sample.drop("order").sort("row", "context", "continuation")


def occurrence_queries(
    ids: Ids, lengths: Ids, rows: Ids, cells: "pl.DataFrame", grid: Grid
) -> Iterator[OccurrenceQuery]:
    """The continuations of `cells` (from `recited_cells`) that these rows contain in full.

    Args:
        ids: shape (n, width), token ids from the row's start; lengths: shape (n,); rows: shape (n,), row ids.
    """
    index_of = {row: index for index, row in enumerate(rows.tolist())}
    for row, context, continuation, role in cells.select("row", "context", "continuation", "role").iter_rows():
        start = grid.continuation_start(context)
        index = index_of.get(row)
        if index is not None and lengths[index] >= start + continuation:
            # a copy, so that the block of rows can be freed
            tokens = ids[index, start : start + continuation].copy()
            yield OccurrenceQuery(row, context, continuation, role == "train", start, tokens)


def occurrences_table(
    scan: "Scan",
    corpus: CorpusRows,
    queries: Sequence[OccurrenceQuery],
    scope: Scope = "documents",
    rows_per_step: int | None = None,
) -> pa.Table:
    """The OCCURRENCES table of some continuations, by one pass over the corpus.

    Args:
        scan: of the corpus; corpus: the same, for ids and provenance of its rows.
        scope: within which an occurrence counts.
        rows_per_step: rows per training step, so that row r was shown at step r // rows_per_step; by default as
            recorded in the corpus (1024 for Pythia's), else steps are null.

    Raises:
        IndexFault: a token is outside the vocabulary, or the corpus is shorter than a continuation.
    """
    if not queries:
        return OCCURRENCES.empty_table()
    recorded = corpus.details.get("rows_per_step")
    rows_per_step = rows_per_step or (recorded if isinstance(recorded, int) else None)
    results = scan.occurrences([query.tokens for query in queries], MAX_LISTED + 1, scope)
    corpus_rows = _describe_rows(corpus, np.unique(np.concatenate([result.rows for result in results])))
    records = [
        record
        for query, result in zip(queries, results, strict=True)
        for record in _records(query, result, corpus_rows, rows_per_step)
    ]
    return pa.Table.from_pylist(records, schema=OCCURRENCES)


def _describe_rows(corpus: CorpusRows, positions: Ids) -> Mapping[int, dict[str, Any]]:
    """Position in the corpus -> id, source and document of its row."""
    provenance, ids = corpus.provenance(positions), corpus.row_ids(positions)
    return {
        position: {"corpus_row": row, "source": source, "document": document}
        for position, row, source, document in zip(
            positions.tolist(), ids.tolist(), provenance.source, provenance.document, strict=True
        )
    }


def _records(
    query: OccurrenceQuery,
    occurrences: Occurrences,
    corpus_rows: Mapping[int, dict[str, Any]],
    rows_per_step: int | None,
) -> list[dict[str, Any]]:
    """The records of one continuation: one per other occurrence, or one without an occurrence if there is none."""
    cell = {"row": query.row, "context": query.context, "continuation": query.continuation}
    hits = [
        corpus_rows[position] | {"offset": offset, "stream_document": document}
        for position, offset, document in zip(
            occurrences.rows.tolist(), occurrences.offsets.tolist(), occurrences.documents.tolist(), strict=True
        )
    ]
    if query.in_corpus:
        hits = [hit for hit in hits if (hit["corpus_row"], hit["offset"]) != (query.row, query.offset)]
    elsewhere = occurrences.count - query.in_corpus if occurrences.count or not query.in_corpus else None
    return [
        cell
        | hit
        | {
            "elsewhere": elsewhere,
            "place": number,
            "same_row": query.in_corpus and hit["corpus_row"] == query.row,
            "training_step": hit["corpus_row"] // rows_per_step if rows_per_step else None,
        }
        for number, hit in enumerate(hits[:MAX_LISTED], 1)
    ] or [cell | {"elsewhere": elsewhere}]
