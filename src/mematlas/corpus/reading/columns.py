"""Which column of a table, or key of a JSON line, is what."""

from dataclasses import dataclass
from typing import Literal

from mematlas.errors import CorpusError
from mematlas.registry import nearest

VALUES = ("tokens", "token_ids", "input_ids", "Tokens", "text", "content")
ROW_IDS = ("index", "row", "Index")
Kind = Literal["text", "tokens"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns in use; None where the table has no such column, or one of an unfitting type."""

    value: str
    kind: Kind
    row_id: str | None = None
    document: str | None = None
    source: str | None = None
    repetitions: str | None = None

    @property
    def beside(self) -> list[str]:
        """All but the value's."""
        return [name for name in (self.row_id, self.document, self.source, self.repetitions) if name is not None]


def pick_value(names: list[str], wanted: str | None, where: object) -> str:
    """The text or token column: `wanted`, else the first of VALUES that is there.

    Raises:
        CorpusError: `wanted` is missing, or none was named and none is known by its name.
    """
    if wanted is not None and wanted not in names:
        raise CorpusError(
            f"{where} has no column {wanted!r}.{nearest(wanted, names)} It has: {', '.join(names)}; name one: --column."
        )
    known = [wanted] if wanted is not None else [name for name in VALUES if name in names]
    if not known:
        raise CorpusError(
            f"{where} has none of the columns {', '.join(VALUES)}; it has: {', '.join(names)}; "
            f"name the one with text or tokens: --column."
        )
    return known[0]
