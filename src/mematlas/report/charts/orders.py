"""In which order values are drawn."""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import polars as pl


def merge_orders(sequences: Iterable[Sequence[Any]]) -> list[Any]:
    """One order of all values that agrees with each sequence; the order of first occurrence if there is none."""
    sequences = [list(sequence) for sequence in sequences]
    sorter: TopologicalSorter[Any] = TopologicalSorter()
    for sequence in sequences:
        for i, value in enumerate(sequence):
            sorter.add(value, *sequence[max(0, i - 1) : i])
    try:
        return list(sorter.static_order())
    except CycleError:
        return list(dict.fromkeys(value for sequence in sequences for value in sequence))


def ordered_values(frame: pl.DataFrame, column: str) -> list[Any]:
    """The column's distinct values in display order: ascending numbers, an Enum's category order, else as found.

    Control rows come last, also where the table has them first.
    """
    distinct = frame[column].drop_nulls().unique(maintain_order=True)
    if isinstance(distinct.dtype, pl.Enum):
        return [category for category in distinct.dtype.categories if category in set(distinct)]
    values = (distinct.sort() if distinct.dtype.is_numeric() else distinct).to_list()
    return sorted(values, key=lambda value: value == "control")
