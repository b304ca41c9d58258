"""Writes score files in the formats in which they were published, with given rows and scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl


def write_memorized_evals(path: Path, rows: Sequence[int]) -> Path:
    """Write a file like pythia-memorized-evals: index, tokens (64), __index_level_0__."""
    tokens = pl.Series("tokens", [[row % 50_000] * 64 for row in rows], dtype=pl.List(pl.Int64))
    index = pl.Series("index", rows, dtype=pl.Int64)
    return _write_parquet(path, pl.DataFrame([index, tokens, index.alias("__index_level_0__")]))


def write_random_sampled(path: Path, scores: Mapping[str, Sequence[float | None]], rows: Sequence[int]) -> Path:
    """Write a file like pile-*-pythia-random-sampled: Index, one column of scores per model, Tokens (64, uint16)."""
    tokens = pl.Series("Tokens", [[row % 50_000] * 64 for row in rows], dtype=pl.List(pl.UInt16))
    columns = [pl.Series(name, list(values), dtype=pl.Float64) for name, values in scores.items()]
    return _write_parquet(path, pl.DataFrame([pl.Series("Index", list(rows), dtype=pl.Int64), *columns, tokens]))


def write_memorized_flags(path: Path, recited: Sequence[bool], rows: Sequence[int]) -> Path:
    """Write a file like its older revision: tokens (the whole row), is_memorized, index."""
    tokens: list[Any] = [[row % 50_000] * 2048 for row in rows]
    columns = {"tokens": tokens, "is_memorized": recited, "index": rows}
    return _write_parquet(path, pl.DataFrame(columns, schema_overrides={"tokens": pl.List(pl.UInt16)}))


def _write_parquet(path: Path, frame: pl.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return path
