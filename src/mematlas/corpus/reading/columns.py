"""Chooses the columns of a table, or the keys of JSON lines, by their names."""

from dataclasses import dataclass
from typing import Literal

from mematlas.errors import CorpusError
from mematlas.registry import did_you_mean

VALUE_COLUMNS = ("tokens", "token_ids", "input_ids", "Tokens", "text", "content")
ROW_ID_COLUMNS = ("index", "row", "Index")
Kind = Literal["text", "tokens"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns in use; None where the table has no such column, or one of the wrong type."""

    value: str
    kind: Kind
    row_id: str | None = None
    document: str | None = None
    source: str | None = None
    repetitions: str | None = None

    @property
    def metadata(self) -> list[str]:
        """All columns except the value's."""
        return [name for name in (self.row_id, self.document, self.source, self.repetitions) if name is not None]


def pick_value(names: list[str], column: str | None, where: object) -> str:
    """The text or token column: `column`, or the first of VALUE_COLUMNS that exists.

    Raises:
        CorpusError: `column` does not exist, or it is None and no column has a known name.
    """
    if column is not None and column not in names:
        raise CorpusError(
            f"{where} has no column {column!r}.{did_you_mean(column, names)} "
            f"It has: {', '.join(names)}; name one: --column."
        )
    candidates = [column] if column is not None else [name for name in VALUE_COLUMNS if name in names]
    if not candidates:
        raise CorpusError(
            f"{where} has none of the columns {', '.join(VALUE_COLUMNS)}; it has: {', '.join(names)}; "
            f"name the one with text or tokens: --column."
        )
    return candidates[0]
