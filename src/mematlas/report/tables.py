"""Tables of findings, with their values formatted as text."""

from dataclasses import dataclass
from typing import Any, Final

from mematlas.findings.finding import Table

MAX_ROWS: Final = 60
NOT_MEASURED: Final = "–"


@dataclass(frozen=True, slots=True)
class TextTable:
    """header: (column, meaning, whether it is numeric) each; rows: cells as text; hidden: number of rows not shown."""

    table: Table
    header: list[tuple[str, str, bool]]
    rows: list[list[str]]
    hidden: int


def text_table(table: Table) -> TextTable:
    """The first MAX_ROWS rows of a table as text."""
    frame = table.frame
    header = [(name, meaning, frame[name].dtype.is_numeric()) for name, meaning in table.columns.items()]
    rows = [[format_value(value) for value in row] for row in frame.head(MAX_ROWS).iter_rows()]
    return TextTable(table, header, rows, max(0, frame.height - MAX_ROWS))


def format_value(value: Any) -> str:
    """A value as text: a dash if it was not measured, four significant digits for numbers with a fraction."""
    if value is None or value != value:
        return NOT_MEASURED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−", 1) if value else "0"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value)) or "none"
    return str(value)
