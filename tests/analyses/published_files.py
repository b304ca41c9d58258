"""Score files of the shapes in which they were published, with rows and scores made by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl


def memorized(path: Path, rows: Sequence[int]) -> Path:
    """As pythia-memorized-evals: index, tokens (64), __index_level_0__."""
    tokens = pl.Series("tokens", [[row % 50_000] * 64 for row in rows], dtype=pl.List(pl.Int64))
    index = pl.Series("index", rows, dtype=pl.Int64)
    return _written(path, pl.DataFrame([index, tokens, index.alias("__index_level_0__")]))


def sampled(path: Path, scores: Mapping[str, Sequence[float | None]], rows: Sequence[int]) -> Path:
    """As pile-*-pythia-random-sampled: Index, a column of scores a model, Tokens (64, uint16)."""
    tokens = pl.Series("Tokens", [[row % 50_000] * 64 for row in rows], dtype=pl.List(pl.UInt16))
    columns = [pl.Series(name, list(values), dtype=pl.Float64) for name, values in scores.items()]
    return _written(path, pl.DataFrame([pl.Series("Index", list(rows), dtype=pl.Int64), *columns, tokens]))


def flags(path: Path, recited: Sequence[bool], rows: Sequence[int]) -> Path:
    """As its older revision: tokens (the whole row), is_memorized, index."""
    tokens: list[Any] = [[row % 50_000] * 2048 for row in rows]
    columns = {"tokens": tokens, "is_memorized": recited, "index": rows}
    return _written(path, pl.DataFrame(columns, schema_overrides={"tokens": pl.List(pl.UInt16)}))


def _written(path: Path, frame: pl.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return path
