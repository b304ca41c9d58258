"""The scores of a study as one short column for each model and cell, beside its rows in the order of their clusters.

Sums over clusters are needed many times. From score lines, each of them reads, joins and groups every line by its
cluster again, and has the records of all clusters in memory. Here a score takes one byte (two where continuations are
longer than 127 tokens), the rows of a cluster stand together, so that nothing is joined or hashed, and the records of
one model and cell are made at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.metrics.extractable import extractable
from mematlas.study.clusters import number_by_appearance
from mematlas.types import Ids

#: Scored rows may be so few of those that a column has, before score lines take less memory than columns.
_SPARSEST: Final = 1 / 8
_VALUES: Final = ("matches", "verbatim")
_UNKNOWN: Final = -1
_RECORDS_AT_ONCE: Final = 1_000_000
_FEWEST_ROWS: Final = 50_000  # of a column; the lines of fewer are summed as fast
_LOOKUP_SLACK: Final = 4  # row ids up to so many times their number are looked up in a table, others by bisection

ROLES: Final = pl.Enum(("train", "control", "control model"))
Key = tuple[str, int, int]  # model, context, continuation


@dataclass(frozen=True, slots=True)
class ScoreBlocks:
    """Scores by model, context and continuation.

    rows: row, role, repetitions, unit (its cluster and role, numbered in ascending order); units: cluster and role by
    number; scores: matches and verbatim of all rows, in the order of `rows`, null where a row was not scored;
    types: the types of columns in the table of scores; control_models: as in `Tables`.
    """

    rows: pl.DataFrame
    units: pl.DataFrame
    scores: dict[Key, pl.DataFrame]
    models: pl.Enum
    types: dict[str, pl.DataType]
    control_models: tuple[str, ...]

    def sums(
        self, aggregates: tuple[pl.Expr, ...], where: pl.Expr | None = None, by: tuple[str, ...] = ()
    ) -> Iterator[pl.DataFrame]:
        """As `Tables.sums`, the records of one model and cell after the other; at least one frame, perhaps empty."""
        for key, scores in self.scores.items():
            lines = self._lines(key, scores, by)
            lines = lines if where is None else lines.filter(where)
            unit = "cluster" if key[0] in self.control_models else "unit"  # rows of a control model have one role
            sums = lines.group_by(unit, *by).agg(*aggregates).collect()
            yield self._with_keys(sums, key, unit, by)

    def _lines(self, key: Key, scores: pl.DataFrame, by: tuple[str, ...]) -> pl.LazyFrame:
        """The records of `Tables.scored_rows` of a model and cell, with unit or cluster."""
        rows = self.rows.lazy().select("unit", "role", *by)
        if key[0] in self.control_models:
            clusters = self.units["cluster"].gather(self.rows["unit"])
            rows = rows.with_columns(cluster=clusters, role=pl.lit("control model", ROLES))
        lines = pl.concat([rows, scores.lazy()], how="horizontal")
        names = ("context", "continuation")
        lengths = [pl.lit(value, self.types[name]).alias(name) for name, value in zip(names, key[1:], strict=True)]
        values = [pl.col(name).cast(self.types[name]) for name in _VALUES]
        lines = lines.with_columns(*lengths, *values, model=pl.lit(key[0], self.models), rows=pl.lit(1, pl.Int64))
        return lines.with_columns(extractable.expression().alias("recited")).filter(pl.col("recited").is_not_null())

    def _with_keys(self, sums: pl.DataFrame, key: Key, unit: str, by: tuple[str, ...]) -> pl.DataFrame:
        model, *lengths = key
        named: list[pl.Expr | pl.Series] = [pl.lit(model, self.models).alias("model")]
        if unit == "unit":
            named += [self.units[name].gather(sums["unit"]).alias(name) for name in ("role", "cluster")]
        else:
            named += [pl.lit("control model", ROLES).alias("role")]
        named += [
            pl.lit(value, self.types[name]).alias(name)
            for name, value in zip(("context", "continuation"), lengths, strict=True)
        ]
        keys = ("model", "role", "context", "continuation", *by, "cluster")
        return sums.with_columns(named).select(*keys, pl.exclude("unit", *keys))

    def side_by_side(self, models: tuple[str, ...], cell: tuple[int, int], value: str) -> pl.DataFrame:
        """As `same_rows.join_models`, of the training rows of a cell, ascending."""
        columns: dict[str, pl.Expr | pl.Series] = {}
        for model in models:
            scores = self.scores.get((model, *cell))
            if scores is None:
                columns[model] = pl.lit(None, self.types.get(value, pl.Boolean()))
                continue
            lines = scores.lazy().with_columns(pl.lit(cell[1]).alias("continuation"))
            expression = extractable.expression() if value == "recited" else pl.col(value).cast(self.types[value])
            known = extractable.expression().is_not_null()
            columns[model] = lines.select(pl.when(known).then(expression)).collect().to_series()
        train = self.rows["role"] == "train"
        wide = self.rows.lazy().select("row").with_columns(**columns).filter(train)
        return wide.sort("row").collect()


def in_large_parts(parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames joined to ones of a million records or more, and a last one of the rest; at least one frame."""
    waiting: list[pl.DataFrame] = []
    for part in parts:
        waiting.append(part)
        if sum(frame.height for frame in waiting) >= _RECORDS_AT_ONCE:
            yield pl.concat(waiting)
            waiting = [part.clear()]
    yield pl.concat(waiting)


def score_blocks(
    rows: pl.LazyFrame, scores: pl.LazyFrame, models: pl.Series, cells: int, control_models: tuple[str, ...]
) -> ScoreBlocks | None:
    """The blocks of a study's scores; None where lines are as good: of few rows, or where few of them are scored.

    Args:
        rows: row, role, repetitions, cluster; scores: as in `Tables`; models: all labels; cells: their number.
    """
    lines = scores.select(pl.len()).collect().item()
    frame = rows.select("row", pl.col("role").cast(ROLES), "repetitions", "cluster").collect(engine="streaming")
    if frame.height < _FEWEST_ROWS or lines < _SPARSEST * frame.height * cells * len(models):
        return None
    frame = _in_order_of_units(frame)
    first = frame.select("unit", "cluster", "role").unique("unit", keep="first", maintain_order=True)
    positions, schema = Positions(frame["row"].to_numpy()), scores.collect_schema()
    types = {name: schema[name] for name in ("context", "continuation", *_VALUES)}
    blocks: dict[Key, pl.DataFrame] = {}
    for model in models:
        own = scores.filter(pl.col("model") == model).select("row", *types)
        own = own.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in _VALUES))
        parts = own.collect(engine="streaming").partition_by("context", "continuation", as_dict=True)
        for cell, part in sorted(parts.items()):
            block = _block(part, positions, int(cell[1]))
            if block is None:
                return None
            blocks[model, int(cell[0]), int(cell[1])] = block
    if not blocks:
        return None
    return ScoreBlocks(
        frame.drop("cluster"), first.select("cluster", "role"), blocks, pl.Enum(models), types, control_models
    )


def _in_order_of_units(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows with their unit (cluster and role), ascending; the order that they have, where the rows of each are
    neighbours."""
    role = frame["role"].to_physical().cast(pl.Int64)
    labels = (frame["cluster"].cast(pl.Int64) * len(ROLES.categories) + role).to_numpy()
    units = pl.Series("unit", number_by_appearance(labels), dtype=pl.UInt32)
    frame = frame.with_columns(units)
    return (frame if units.is_sorted() else frame.sort("unit", maintain_order=True)).with_columns(
        pl.col("unit").set_sorted()
    )


class Positions:
    """Where each of `rows` [n], distinct ids, stands among them."""

    def __init__(self, rows: Ids) -> None:
        self._order: Ids | None = None
        if len(rows) and rows.min() >= 0 and rows.max() < _LOOKUP_SLACK * len(rows):
            self._table = np.full(int(rows.max()) + 1, _UNKNOWN)
            self._table[rows] = np.arange(len(rows))
        else:
            self._order = np.argsort(rows, kind="stable")
            self._table = rows[self._order]
        self.count = len(rows)

    def of(self, rows: Ids) -> Ids:
        """The position of each row, -1 where there is none."""
        if self._order is None:
            inside = (rows >= 0) & (rows < len(self._table))
            return np.where(inside, self._table[np.where(inside, rows, 0)], _UNKNOWN)
        if not len(self._order):
            return np.full(len(rows), _UNKNOWN)
        places = np.searchsorted(self._table, rows).clip(max=len(self._table) - 1)
        return np.where(self._table[places] == rows, self._order[places], _UNKNOWN)


def _block(part: pl.DataFrame, positions: Positions, longest: int) -> pl.DataFrame | None:
    """The scores of one model and cell in the order of all rows; None where a row has several."""
    places = positions.of(part["row"].to_numpy())
    known = places != _UNKNOWN
    places, columns = places[known], {}
    kind: Any = np.int8 if longest <= np.iinfo(np.int8).max else np.int16 if longest <= np.iinfo(np.int16).max else None
    scored: NDArray[np.bool_] = np.zeros(positions.count, np.bool_)
    scored[places] = True
    if np.count_nonzero(scored) != len(places):
        return None
    for name in _VALUES:
        values = np.full(positions.count, _UNKNOWN, kind or np.int32)
        values[places] = part[name].fill_null(_UNKNOWN).to_numpy()[known]
        columns[name] = pl.Series(name, values)
    return pl.DataFrame(columns).select(pl.when(pl.col(name) >= 0).then(name).alias(name) for name in _VALUES)
