"""The cell, and the models, that the claims of a report are about."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import polars as pl

from mematlas.findings.finding import Finding

_USUAL: Final = 32  # tokens; claims are about 32 + 32 tokens, or the nearest cell that was scored


class Cell(NamedTuple):
    """A length of the context that prompts a model, and of the continuation it is asked for, in tokens."""

    context: int
    continuation: int

    def __str__(self) -> str:
        return f"{self.context} + {self.continuation}"


def nearest_cell(cells: Iterable[Cell]) -> Cell | None:
    """The cell nearest to 32 + 32; None if there is none."""
    return min(cells, key=lambda cell: (abs(cell.context - _USUAL), abs(cell.continuation - _USUAL)), default=None)


def reference_cell(findings: Sequence[Finding]) -> Cell | None:
    """The cell that the findings' claims are about, as far as their tables tell.

    `transitions` is computed in this cell alone; of the cells of `distribution`, it is the nearest to 32 + 32.
    """
    tables = {(finding.name, table.name): table.frame for finding in findings for table in finding.tables}
    for key in (("transitions", "transitions"), ("distribution", "classes"), ("distribution", "survival")):
        frame = tables.get(key)
        if frame is not None and {"context", "continuation"} <= set(frame.columns) and frame.height:
            train = frame.filter(pl.col("role") == "train") if "role" in frame.columns else frame
            cells = train.select("context", "continuation").drop_nulls().unique()
            if cells.height:
                return nearest_cell(Cell(*lengths) for lengths in cells.iter_rows())
    return None
