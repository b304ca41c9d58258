"""Numbers of rows by their level in two models of a series: the tables of the analysis `transitions`.

Source: P1, Fig. 3: T[a, b] = P(level in the larger model = b | level in the smaller = a) on the same rows.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.model_series import Series, model_series
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, shares_of_all, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.metrics.levels import LEVELS, RECITED_LEVELS, level
from mematlas.stats.hypotheses.symmetry import bowker, clustered_bowker, clustered_stuart_maxwell, stuart_maxwell

PAIR_COLUMNS: Final = {
    "series": "what the models are ordered by",
    "span": "neighbours: two models next to each other; ends: the first and the last",
    "pair": "both models, in short",
    "smaller": "label of the first model of the pair: the smaller one or the earlier checkpoint",
    "larger": "label of the second: the larger one or the later checkpoint",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
}
_LEVEL_ORDER: Final = pl.Enum((*LEVELS, *RECITED_LEVELS))
_CELL_TYPES: Final = {"context": pl.Int32, "continuation": pl.Int32}
_TEST_TYPES: Final = {
    "rises": pl.Int64,
    "falls": pl.Int64,
    "test": pl.String,
    "statistic": pl.Float64,
    "freedom": pl.Int64,
    "p": pl.Float64,
    "sparse": pl.Boolean,
    "reason": pl.String,
}
TRANSITION_COLUMNS: Final = {
    **PAIR_COLUMNS,
    "level": "level of M in the first model",
    "target": "level of M in the second model",
    "rows": "rows of this level and target; null where not measured",
    "level_rows": "rows of this level; null where not measured",
    "share": "T: rows / level_rows; null for an empty level",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of its Wilson 95 % interval",
    **SAMPLE_COLUMNS,
}
KEPT_COLUMNS: Final = {
    **PAIR_COLUMNS,
    "rows": "rows scored by both; null where only recited rows are known",
    "memorized": "rows with M = 1 in the first model",
    "kept": "of these, rows with M = 1 in the second model",
    "gained": "rows with M = 1 in the second model only",
    "kept_share": "kept / memorized",
    "kept_share_lower": "lower end of its Wilson 95 % interval",
    "kept_share_upper": "upper end of its Wilson 95 % interval",
    **SAMPLE_COLUMNS,
}
SYMMETRY_COLUMNS: Final = {
    **PAIR_COLUMNS,
    "rises": "rows of a higher level in the second model",
    "falls": "rows of a lower level in the second model",
    "test": "Bowker: as many rows from a to b as back; Stuart-Maxwell: as many rows of every level in both models",
    "statistic": "chi squared, or F where the test is clustered; null where there is nothing to test",
    "freedom": "degrees of freedom",
    "p": "p value, not adjusted for the number of pairs",
    "sparse": "whether rows that move are too few for a good approximation (Cochran's rule), which makes p too large",
    "reason": "why there is no test",
}
FLOW_COLUMNS: Final = {
    "series": "what the models are ordered by",
    "step": "place of the model in the series, from 1",
    "model": "the model, in short",
    "level": "level of M in this model",
    "target": "level of M in the next model; null in the last one",
    "rows": "rows; null where not measured",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models of a series.

    counts: as `transition_counts`; by_cluster: the same, in each cluster where rows come in clusters; numbers: rows,
    memorized, kept, gained as in KEPT_COLUMNS, in each cluster where rows come in clusters.
    """

    series: Series
    span: str
    smaller: str
    larger: str
    counts: pl.DataFrame
    by_cluster: pl.DataFrame
    numbers: pl.DataFrame

    def keys(self, cell: Cell) -> dict[str, Any]:
        pair = f"{self.series.short_name(self.smaller)} to {self.series.short_name(self.larger)}"
        values = (self.series.name, self.span, pair, self.smaller, self.larger, cell.context, cell.continuation)
        return dict(zip(PAIR_COLUMNS, values, strict=True))


def transition_counts(tables: Tables, smaller: str, larger: str, cell: Cell) -> pl.DataFrame:
    """Numbers of training rows by level in both models: level, target, rows; zeros are included.

    Only rows that both models scored count. The levels are the five of P1, or "M < 1" and "M = 1" where M is not
    graded; the number of rows that neither model recites is null where only recited rows were published.
    """
    wide = _levels_of_both(tables, smaller, larger, cell)
    counts = wide.group_by("level", "target").agg(pl.len().cast(pl.Int64).alias("rows"))
    levels = pl.DataFrame({"level": range(len(_level_names(tables)))}, schema={"level": pl.Int8})
    combinations = levels.join(levels.rename({"level": "target"}), how="cross")
    combinations = combinations.join(counts, on=["level", "target"], how="left").sort("level", "target")
    known = pl.lit(tables.complete) | (pl.col("level") + pl.col("target") > 0)
    rows = pl.when(known).then(pl.col("rows").fill_null(0)).alias("rows")
    named = _with_names(tables, combinations.select("level", "target", rows))
    return named.with_columns(pl.col("level", "target").cast(pl.String))


def _counts_by_cluster(tables: Tables, smaller: str, larger: str, cell: Cell, counts: pl.DataFrame) -> pl.DataFrame:
    """`transition_counts` in each cluster; combinations without rows have one record, without a cluster."""
    wide = tables.with_cluster(_levels_of_both(tables, smaller, larger, cell))
    moves = wide.group_by("level", "target", "cluster").agg(pl.len().cast(pl.Int64).alias("rows"))
    moves = _with_names(tables, moves).sort("cluster", "level", "target")
    empty = counts.filter(rows=0).cast({name: moves.schema[name] for name in ("level", "target")})
    return pl.concat([moves, empty], how="diagonal")


def _level_names(tables: Tables) -> tuple[str, ...]:
    return LEVELS if tables.graded else RECITED_LEVELS


def _with_names(tables: Tables, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with the names of the levels instead of their numbers."""
    names = _level_names(tables)
    codes, dtype = list(range(len(names))), pl.Enum(names)
    columns = [pl.col(name).replace_strict(codes, list(names), return_dtype=dtype) for name in ("level", "target")]
    return frame.with_columns(columns)


def _levels_of_both(tables: Tables, smaller: str, larger: str, cell: Cell) -> pl.DataFrame:
    """The numbers of the levels of each row that both models scored: row, level, target."""
    wide = _scores_of_both(tables, smaller, larger, cell)
    codes = {"level": pl.col(smaller), "target": pl.col(larger)}
    if tables.graded:
        codes = {"level": level(smaller, cell.continuation), "target": level(larger, cell.continuation)}
    return wide.select("row", *(code.cast(pl.Int8).alias(name) for name, code in codes.items()))


def _scores_of_both(tables: Tables, smaller: str, larger: str, cell: Cell) -> pl.DataFrame:
    return tables.side_by_side((smaller, larger), cell, "matches" if tables.graded else "recited")


def model_pairs(tables: Tables) -> list[Pair]:
    """The neighbours, then the ends, of every series; pairs without common rows are left out."""
    pairs = []
    for series in model_series(tables, tables.reference):
        spans = [("neighbours", *models) for models in pairwise(series.models)]
        spans += [("ends", series.models[0], series.models[-1])] if len(series.models) > 2 else []
        pairs += [_pair(tables, series, *span) for span in spans]
    return [pair for pair in pairs if pair.counts["rows"].sum()]


def _pair(tables: Tables, series: Series, span: str, smaller: str, larger: str) -> Pair:
    cell = tables.reference
    full = cell.continuation if tables.graded else True
    wide = _scores_of_both(tables, smaller, larger, cell)
    before, after = pl.col(smaller) == full, pl.col(larger) == full
    flags = {"memorized": before, "kept": before & after, "gained": ~before & after}
    sums = [flag.sum().cast(pl.Int64).alias(name) for name, flag in flags.items()]
    rows = (pl.len() if tables.complete else pl.lit(None)).cast(pl.Int64).alias("rows")
    counts = transition_counts(tables, smaller, larger, cell)
    by_cluster = _counts_by_cluster(tables, smaller, larger, cell, counts) if tables.cluster_key else counts
    return Pair(series, span, smaller, larger, counts, by_cluster, tables.sum_by_cluster(wide, rows, *sums))


def transition_table(pairs: list[Pair], cell: Cell) -> pl.DataFrame:
    """Every entry of every pair's matrix T; columns TRANSITION_COLUMNS."""
    frames = []
    for pair in pairs:
        keys = [pl.lit(value, _CELL_TYPES.get(name)).alias(name) for name, value in pair.keys(cell).items()]
        shares = shares_of_all(pair.by_cluster, "level").rename({"of": "level_rows"})
        shares = shares.sort(pl.col("level", "target").cast(pl.String).cast(_LEVEL_ORDER))
        frames.append(shares.with_columns(pl.col("level", "target").cast(pl.String)).select(*keys, pl.all()))
    return pl.concat(frames).select(*TRANSITION_COLUMNS)


def _sum_if_known(column: str) -> pl.Expr:
    return pl.when(pl.col(column).is_not_null().all()).then(pl.col(column).sum())


def kept_table(pairs: list[Pair], cell: Cell) -> pl.DataFrame:
    """Memorized rows (M = 1) that stay memorized, one record per pair; columns KEPT_COLUMNS."""
    return with_shares(_numbers(pairs, cell), "kept", "memorized", "kept_share", sums=("rows", "gained")).select(
        *KEPT_COLUMNS
    )


def gained_share(pair: Pair, cell: Cell) -> dict[str, Any] | None:
    """The share of rows not memorized by the first model that the second memorizes: others, gained, share with bounds.

    None where the number of the others is not known, or 0.
    """
    others = (pl.col("rows") - pl.col("memorized")).alias("others")
    record = with_shares(
        _numbers([pair], cell).with_columns(others).drop("memorized", "rows", "kept"), "gained", "others"
    )
    return record.row(0, named=True) if (record["others"].item() or 0) > 0 else None


def _numbers(pairs: list[Pair], cell: Cell) -> pl.DataFrame:
    """The keys and numbers of every pair, in each cluster where rows come in clusters."""
    frames = []
    for pair in pairs:
        keys = [pl.lit(value, _CELL_TYPES.get(name)).alias(name) for name, value in pair.keys(cell).items()]
        frames.append(pair.numbers.select(*keys, pl.all()))
    return pl.concat(frames)


def symmetry_table(pairs: list[Pair], cell: Cell) -> pl.DataFrame:
    """Two tests per pair, Bowker's first; columns SYMMETRY_COLUMNS."""
    frames = []
    for pair in pairs:
        keys = [pl.lit(value, _CELL_TYPES.get(name)).alias(name) for name, value in pair.keys(cell).items()]
        frames.append(pl.DataFrame(_pair_tests(pair.by_cluster), schema=_TEST_TYPES).select(*keys, pl.all()))
    return pl.concat(frames).select(*SYMMETRY_COLUMNS)


def symmetry_tests(counts: pl.DataFrame) -> pl.DataFrame:
    """Test whether rows rise to higher levels as often as they fall: Bowker's test, and Stuart and Maxwell's.

    Args:
        counts: columns level, target (names of levels in the first and the second model) and rows, null where not
            measured; cluster, where rows come in clusters; all other columns identify the pair of models. Levels
            without rows may be missing.

    Returns:
        two records per pair: the columns that identify the pair, then rises, falls ... reason as in SYMMETRY_COLUMNS.
    """
    keys = [name for name in counts.columns if name not in ("level", "target", "rows", "cluster")]
    records: list[dict[str, Any]] = []
    for key, group in counts.group_by(keys, maintain_order=True):
        records += [dict(zip(keys, key, strict=True)) | test for test in _pair_tests(group)]
    schema: dict[str, Any] = {name: counts.schema[name] for name in keys} | _TEST_TYPES
    return pl.DataFrame(records, schema=schema)


def _pair_tests(counts: pl.DataFrame) -> list[dict[str, Any]]:
    """Both tests of one pair of models; columns _TEST_TYPES."""
    squares = _squares(counts)
    square = squares.sum(0)
    tests = bowker(square), stuart_maxwell(square)
    if (squares.sum((1, 2)) > 1).any() and "cluster" in counts.columns:
        tests = clustered_bowker(squares), clustered_stuart_maxwell(squares)
    moved = {"rises": int(np.triu(square, 1).sum()), "falls": int(np.tril(square, -1).sum())}
    fields = ("statistic", "freedom", "p", "sparse", "reason")
    return [moved | {"test": test.name} | {name: getattr(test, name) for name in fields} for test in tests]


def _squares(counts: pl.DataFrame) -> NDArray[np.int64]:
    """Rows as an array (clusters, levels, levels), of one cluster where there are none; 0 where not measured.

    A number that is not measured is on the diagonal.
    """
    names = LEVELS if set(counts["level"].unique()) <= set(LEVELS) else RECITED_LEVELS
    size, known = len(names), counts.drop_nulls()
    level_code, target = (
        known[name].cast(pl.String).replace_strict(list(names), list(range(size)), return_dtype=pl.Int64).to_numpy()
        for name in ("level", "target")
    )
    cluster = np.zeros(known.height, np.int64)
    if "cluster" in known.columns:
        cluster = np.unique(known["cluster"].to_numpy(), return_inverse=True)[1]
    clusters = int(cluster.max(initial=0)) + 1
    place = (cluster * size + level_code) * size + target
    squares = np.bincount(place, known["rows"].to_numpy(), minlength=clusters * size * size)
    return squares.reshape(clusters, size, size).astype(np.int64)


def flow_table(pairs: list[Pair]) -> pl.DataFrame:
    """Rows from level to level along each series, without a target for the last model; columns FLOW_COLUMNS."""
    types = [pl.String, pl.Int64, *[pl.String] * 3, pl.Int64]
    frames = [pl.DataFrame(schema=dict(zip(FLOW_COLUMNS, types, strict=True)))]
    for pair in (pair for pair in pairs if pair.span == "neighbours"):
        step = pair.series.models.index(pair.smaller) + 1
        frames.append(_flow_records(pair, step, pair.smaller, pair.counts))
        if pair.larger == pair.series.models[-1]:
            last = pair.counts.group_by("target", maintain_order=True).agg(_sum_if_known("rows"))
            last = last.select(pl.col("target").alias("level"), pl.lit(None, pl.String).alias("target"), "rows")
            frames.append(_flow_records(pair, step + 1, pair.larger, last))
    return pl.concat(frames)


def _flow_records(pair: Pair, step: int, model: str, counts: pl.DataFrame) -> pl.DataFrame:
    return counts.with_columns(
        pl.lit(step, pl.Int64).alias("step"),
        pl.lit(pair.series.name).alias("series"),
        pl.lit(pair.series.short_name(model)).alias("model"),
    ).select(*FLOW_COLUMNS)
