"""Turn the results of a shard into its tables. What was not measured is null, with a reason in `scores`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions
from mematlas.study.schemas.scores import FREE, SCORES, truth_schema
from mematlas.types import Ids


def score_table(model: str, ids: Ids, results: Iterable[ContextResult], options: ScoringOptions) -> pa.Table:
    """The scores: one record per row and cell, rows in the order of `ids`, cells in the order of the grid."""
    grid = options.grid
    shape = (len(ids), len(grid.contexts), len(grid.continuations))
    matches, verbatim = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    margin, scored = np.full(shape, np.inf, dtype=np.float32), np.zeros(shape, dtype=bool)
    for result in results:
        c = grid.contexts.index(result.context)
        first_miss = np.where(result.hit.all(1), result.hit.shape[1], (~result.hit).argmax(1))
        smallest = np.minimum.accumulate(result.margin, axis=1)
        for k, length in enumerate(grid.continuations):
            fits = result.length >= length
            rows = result.rows[fits]
            scored[rows, c, k] = True
            if rows.size:
                matches[rows, c, k] = result.hit[fits, :length].sum(1)
                verbatim[rows, c, k] = np.minimum(first_miss[fits], length)
                margin[rows, c, k] = smallest[fits, length - 1]
    reason = np.full(shape, "short", dtype=object)
    reason[scored] = "masked" if options.masked else None
    graded = scored.copy()
    ordered = np.zeros_like(scored) if options.masked else scored  # hidden tokens have no first miss
    if options.depth == "verbatim":
        undecided = scored & (verbatim < np.array(grid.continuations))
        reason[undecided], graded[undecided] = "depth", False
    cells = shape[1] * shape[2]
    columns = [
        pa.repeat(model, len(ids) * cells),
        np.repeat(ids, cells),
        np.tile(np.repeat(grid.contexts, shape[2]), len(ids)),
        np.tile(grid.continuations, len(ids) * shape[1]),
        pa.array(matches.ravel(), mask=~graded.ravel()),
        pa.array(verbatim.ravel(), mask=~ordered.ravel()),
        pa.array(margin.ravel(), mask=~np.isfinite(margin).ravel()),
        pa.array(reason.ravel(), type=pa.string()),
    ]
    return pa.table(
        [
            pa.array(c).cast(f.type) if not isinstance(c, pa.Array) else c.cast(f.type)
            for c, f in zip(columns, SCORES, strict=True)
        ],
        schema=SCORES,
    )


def signal_tables(
    model: str, ids: Ids, results: Iterable[ContextResult], options: ScoringOptions
) -> dict[str, pa.Table]:
    """The per-token records "free" and "truth", as far as the options request them."""
    parts: dict[str, list[pa.Table]] = {kind: [] for kind in ("free", "truth") if kind in options.signals}
    schemas = {"free": FREE, "truth": truth_schema(options.temperatures)}
    for result in results:
        continuation = result.length
        for kind, values, lengths, padding in (
            ("free", result.free, continuation, 0),
            ("truth", result.truth, result.truth_length, result.truth_from),
        ):
            if values and len(result.rows):
                schema = schemas[kind]
                key = [
                    pa.repeat(model, len(result.rows)),
                    pa.array(ids[result.rows]),
                    pa.repeat(result.context, len(result.rows)),
                    pa.array(continuation),
                ]
                lists = [_list_array(values[name], lengths, padding, name) for name in schema.names[4:]]
                arrays = [array.cast(field.type) for array, field in zip([*key, *lists], schema, strict=True)]
                parts[kind].append(pa.table(arrays, schema=schema))
    return {
        kind: pa.concat_tables(tables).sort_by([("row", "ascending"), ("context", "ascending")])
        if tables
        else schemas[kind].empty_table()
        for kind, tables in parts.items()
    }


def _list_array(values: NDArray[Any], lengths: Ids, padding: int, name: str) -> pa.ListArray:
    """The rows of `values` [n, width], cut to `lengths`, as lists with `padding` nulls in front.

    Infinite and undefined values become null; so does the token -1, which fills a text after a stopping EOS.
    """
    missing = (
        values == -1
        if name == "token"
        else ~np.isfinite(values)
        if values.dtype.kind == "f"
        else np.zeros(values.shape, bool)
    )
    if name.startswith("log_probability"):
        missing |= values < -5e3  # the true token is one that the EOS policy forbids
    width = padding + values.shape[1]
    padded = np.concatenate([np.zeros((len(values), padding), values.dtype), values], axis=1)
    missing = np.concatenate([np.ones((len(values), padding), bool), missing], axis=1)
    keep = np.arange(width) < (lengths + padding)[:, None]
    offsets = np.concatenate([[0], np.cumsum(keep.sum(1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(padded[keep], mask=missing[keep]))
