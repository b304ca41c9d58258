"""16-bit decisions that are too close to trust, run again in float32.

A row is in doubt when any margin on its decided path is under the threshold of `DOUBTFUL`. Settled rows take every
number from the float32 model; how many of them changed a score is recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import DOUBTFUL
from mematlas.types import Ids, TokenRows


@dataclass(frozen=True, slots=True)
class Doubt:
    """Rows of one shard. doubtful: with a margin under the threshold; settled: run again; changed: other score then."""

    doubtful: int
    settled: int = 0
    changed: int = 0


def doubtful_rows(results: list[ContextResult], threshold: float) -> Ids:
    """Places of the rows with a decided margin under `threshold`, ascending."""
    close = [result.rows[(result.margin < threshold).any(1)] for result in results]
    return np.unique(np.concatenate(close)) if close else np.empty(0, dtype=np.int64)


def settle(
    results: list[ContextResult], rows: TokenRows, ids: Ids, dtype: str, reference: Callable[[], Engine] | None
) -> tuple[list[ContextResult], Doubt]:
    """Replace doubtful 16-bit rows by what the float32 engine says; without a `reference` only count them."""
    places = doubtful_rows(results, DOUBTFUL[dtype])
    if reference is None or not len(places):
        return results, Doubt(len(places))
    again = reference().score(TokenRows(rows.ids[places], rows.lengths[places]), ids[places])
    again = [replace(result, rows=places[result.rows]) for result in again]
    before, after = _hits(results), _hits(again)
    changed = sum(
        any(not np.array_equal(before[place, context], hit) for (at, context), hit in after.items() if at == place)
        for place in places.tolist()
    )
    kept = [_without(result, places) for result in results]
    return [*kept, *again], Doubt(len(places), len(places), changed)


def _hits(results: list[ContextResult]) -> dict[tuple[int, int], np.ndarray]:
    return {
        (int(row), result.context): hit for result in results for row, hit in zip(result.rows, result.hit, strict=True)
    }


def _without(result: ContextResult, places: Ids) -> ContextResult:
    keep = ~np.isin(result.rows, places)
    return result.take(keep, result.rows[keep])
