"""16-bit decisions that are too close to trust, scored again in float32.

A row is doubtful if any margin on its decided path is below `DOUBTFUL_MARGIN`. Settled rows take every number from the
float32 model; the number of rows whose score changed is recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.engines.masked import MaskedEngine
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import DOUBTFUL_MARGIN
from mematlas.types import Ids, TokenRows


@dataclass(frozen=True, slots=True)
class SettleCounts:
    """Rows of one shard. doubtful: with a margin below the threshold; settled: scored again; changed: score differs."""

    doubtful: int
    settled: int = 0
    changed: int = 0


def doubtful_rows(results: list[ContextResult], threshold: float) -> Ids:
    """Indices of the rows with a decided margin below `threshold`, ascending."""
    close = [result.rows[(result.margin < threshold).any(1)] for result in results]
    return np.unique(np.concatenate(close)) if close else np.empty(0, dtype=np.int64)


def settle(
    results: list[ContextResult],
    rows: TokenRows,
    ids: Ids,
    dtype: str,
    reference: Callable[[], Engine | MaskedEngine] | None,
) -> tuple[list[ContextResult], SettleCounts]:
    """Replace doubtful 16-bit rows by the results of the float32 engine; without a `reference` only count them."""
    doubtful = doubtful_rows(results, DOUBTFUL_MARGIN[dtype])
    if reference is None or not len(doubtful):
        return results, SettleCounts(len(doubtful))
    exact = reference().score(TokenRows(rows.ids[doubtful], rows.lengths[doubtful]), ids[doubtful])
    exact = [replace(result, rows=doubtful[result.rows]) for result in exact]
    before, after = _hits(results), _hits(exact)
    changed = sum(
        any(not np.array_equal(before[row, context], hit) for (other, context), hit in after.items() if other == row)
        for row in doubtful.tolist()
    )
    remaining = [_without(result, doubtful) for result in results]
    return [*remaining, *exact], SettleCounts(len(doubtful), len(doubtful), changed)


def _hits(results: list[ContextResult]) -> dict[tuple[int, int], np.ndarray]:
    return {
        (int(row), result.context): hit for result in results for row, hit in zip(result.rows, result.hit, strict=True)
    }


def _without(result: ContextResult, rows: Ids) -> ContextResult:
    keep = ~np.isin(result.rows, rows)
    return result.take(keep, result.rows[keep])
