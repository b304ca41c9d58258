"""Where else in the corpus recited continuations stand: the PLACES table of some rows.

Our choice: the first ten places in the corpus' order beside the row's own, of at most 10,000 recited continuations, of
control rows first (which should stand nowhere) and then of a seeded sample of the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.index.base import Places, Scope
from mematlas.metrics.extractable import extractable
from mematlas.study.schemas.features import PLACES
from mematlas.types import Grid, Ids, Provenance

if TYPE_CHECKING:
    import polars as pl

    from mematlas.index.scan import Scan

LISTED: Final = 10
MOST: Final = 10_000
_SEED: Final = 0


class Located(Protocol):
    """What a corpus tells of its rows, by their positions; see `mematlas.corpus.base.Corpus`."""

    details: dict[str, object]

    def row_ids(self, positions: Ids) -> Ids: ...
    def provenance(self, positions: Ids) -> Provenance: ...


@dataclass(frozen=True, slots=True, eq=False)
class OccurrenceQuery:
    """A row's continuation. held: the corpus holds the row (it is no control row), at `offset` of the row `row`;
    tokens: [continuation] token ids."""

    row: int
    context: int
    continuation: int
    held: bool
    offset: int
    tokens: NDArray[Any]


def recited_cells(
    scores: "pl.LazyFrame", rows: "pl.LazyFrame", models: Sequence[str], most: int = MOST
) -> "pl.DataFrame":
    """Which continuations to seek: row, context, continuation, role; those that one of `models` recites, sampled to
    `most` with control rows first.

    Args:
        scores: as `Study.scan_scores`; rows: as `Study.scan_rows`.
    """
    import polars as pl

    recited = (
        scores.filter(pl.col("model").is_in(models), extractable.expression())
        .select("row", "context", "continuation")
        .unique()
    )
    found = recited.join(rows.select("row", "role"), on="row").collect(engine="streaming")
    found = found.sort("row", "context", "continuation")
    luck = np.random.default_rng(_SEED).permutation(found.height)
    kept = found.with_columns(luck=luck).sort(pl.col("role") != "control", "luck").head(most)
    return kept.drop("luck").sort("row", "context", "continuation")


def occurrence_queries(
    ids: Ids, lengths: Ids, rows: Ids, cells: "pl.DataFrame", grid: Grid
) -> Iterator[OccurrenceQuery]:
    """The continuations of `cells` (of `recited_cells`) that these rows hold in full.

    Args:
        ids: shape (n, width), token ids from the row's start; lengths: shape (n,); rows: shape (n,), row ids.
    """
    at = {row: line for line, row in enumerate(rows.tolist())}
    for row, context, continuation, role in cells.select("row", "context", "continuation", "role").iter_rows():
        start = grid.split(context)
        line = at.get(row)
        if line is not None and lengths[line] >= start + continuation:
            # a copy, so that the block of rows can be let go
            yield OccurrenceQuery(
                row, context, continuation, role == "train", start, ids[line, start : start + continuation].copy()
            )


def places_table(
    scan: "Scan",
    corpus: Located,
    sought: Sequence[OccurrenceQuery],
    scope: Scope = "documents",
    rows_per_step: int | None = None,
) -> pa.Table:
    """The PLACES table of some continuations, by one pass over the corpus.

    Args:
        scan: of the corpus; corpus: the same, for ids and provenance of its rows.
        scope: within which a place counts.
        rows_per_step: rows that a training step showed, so that row r was shown at step r // rows_per_step; by default
            as the corpus says (1024 for Pythia's), else steps are null.

    Raises:
        IndexFault: a token is outside the vocabulary, or the corpus is shorter than a continuation.
    """
    if not sought:
        return PLACES.empty_table()
    said = corpus.details.get("rows_per_step")
    step = rows_per_step or (said if isinstance(said, int) else None)
    found = scan.places([one.tokens for one in sought], LISTED + 1, scope)
    known = _known(corpus, np.unique(np.concatenate([places.rows for places in found])))
    lines = [line for one, places in zip(sought, found, strict=True) for line in _lines(one, places, known, step)]
    return pa.Table.from_pylist(lines, schema=PLACES)


def _known(corpus: Located, positions: Ids) -> Mapping[int, dict[str, Any]]:
    """Of each position of the corpus: id, source and document of its row."""
    origin, ids = corpus.provenance(positions), corpus.row_ids(positions)
    return {
        position: {"corpus_row": row, "source": source, "document": document}
        for position, row, source, document in zip(
            positions.tolist(), ids.tolist(), origin.source, origin.document, strict=True
        )
    }


def _lines(
    one: OccurrenceQuery, places: Places, known: Mapping[int, dict[str, Any]], step: int | None
) -> list[dict[str, Any]]:
    cell = {"row": one.row, "context": one.context, "continuation": one.continuation}
    hits = [
        known[position] | {"offset": offset, "stream_document": document}
        for position, offset, document in zip(
            places.rows.tolist(), places.offsets.tolist(), places.documents.tolist(), strict=True
        )
    ]
    if one.held:
        hits = [hit for hit in hits if (hit["corpus_row"], hit["offset"]) != (one.row, one.offset)]
    elsewhere = places.count - one.held if places.count or not one.held else None
    return [
        cell
        | hit
        | {
            "elsewhere": elsewhere,
            "place": number,
            "same_row": one.held and hit["corpus_row"] == one.row,
            "training_step": hit["corpus_row"] // step if step else None,
        }
        for number, hit in enumerate(hits[:LISTED], 1)
    ] or [cell | {"elsewhere": elsewhere}]
