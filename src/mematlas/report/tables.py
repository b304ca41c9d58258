"""A finding's table as text."""

from dataclasses import dataclass
from typing import Any, Final

from mematlas.findings.finding import Table

SHOWN: Final = 60
UNKNOWN: Final = "–"


@dataclass(frozen=True, slots=True)
class Shown:
    """header: column, its meaning, whether it holds numbers; lines: cells as text; left_out: how many are not shown."""

    table: Table
    header: list[tuple[str, str, bool]]
    lines: list[list[str]]
    left_out: int


def show(table: Table) -> Shown:
    """The first lines of a table."""
    frame = table.frame
    header = [(name, meaning, frame[name].dtype.is_numeric()) for name, meaning in table.columns.items()]
    lines = [[cell(value) for value in line] for line in frame.head(SHOWN).iter_rows()]
    return Shown(table, header, lines, max(0, frame.height - SHOWN))


def cell(value: Any) -> str:
    """A value as text: a dash where it was not measured, four digits for numbers with a fraction."""
    if value is None or value != value:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−", 1) if value else "0"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value)) or "none"
    return str(value)
