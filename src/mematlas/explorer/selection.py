"""The positions of the rows that a query selects, in its order; those of the latest queries are kept."""

import threading
from collections import OrderedDict
from typing import Final

import numpy as np
import polars as pl

from mematlas.explorer.filters import Query, condition
from mematlas.explorer.lines import Lines
from mematlas.types import Ids

_KEPT: Final = 4  # 40 MB each of 10 million rows


class Selections:
    """Answers queries without their text search; threads may share it."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self._lock = threading.Lock()
        self._kept: OrderedDict[Query, Ids] = OrderedDict()

    def positions(self, query: Query) -> Ids:
        """The positions of the rows that pass the filters, in the query's order: [n] uint32."""
        with self._lock:
            if query not in self._kept:
                self._kept[query] = self._select(query)
            self._kept.move_to_end(query)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[query]

    def _select(self, query: Query) -> Ids:
        names = [chosen.field.name for chosen in query.filters]
        names += [query.sort] if query.sort is not None else []
        if not names:
            return np.arange(self.lines.rows.height, dtype=np.uint32)
        columns = self.lines.columns(query.view, list(dict.fromkeys(names)))
        conditions = [condition(chosen, columns[chosen.field.name]) for chosen in query.filters]
        positions = pl.Series(np.arange(columns.height, dtype=np.uint32))
        if conditions:
            positions = columns.select(pl.all_horizontal(conditions).fill_null(False)).to_series().arg_true()
        if query.sort is not None:
            keys = columns[query.sort] if len(positions) == columns.height else columns[query.sort][positions]
            order = {"descending": query.descending, "nulls_last": True, "maintain_order": True}
            frame = pl.DataFrame({"position": positions, "key": keys})
            positions = frame.select(pl.col("position").sort_by("key", **order)).to_series()
        return positions.to_numpy()
