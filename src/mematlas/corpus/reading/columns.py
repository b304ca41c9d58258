"""Chooses the columns of a table, or the keys of JSON lines, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mematlas.errors import CorpusError
from mematlas.registry import did_you_mean

TOKEN_COLUMNS = ("tokens", "token_ids", "input_ids", "Tokens")
VALUE_COLUMNS = (*TOKEN_COLUMNS, "text", "content")
PROMPT_COLUMNS = ("prompt", "completion")  # together one text, as trainers of TRL read them
INSTRUCTION_COLUMNS = ("instruction", "output")  # with `input`, if there is one
QUESTION_COLUMNS = ("question", "answer")
#: Columns that are read together, the last one as the answer to the others.
ANSWER_COLUMNS = (PROMPT_COLUMNS, INSTRUCTION_COLUMNS, QUESTION_COLUMNS)
INPUT_COLUMN = "input"
CHAT_COLUMNS = ("messages", "conversations", "conversation")
ROW_ID_COLUMNS = ("index", "row", "Index")
Kind = Literal["text", "tokens"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns in use; None where the table has no such column, or one of the wrong type.

    values: one column of text or tokens, or several of text, which are concatenated.
    """

    values: tuple[str, ...]
    kind: Kind
    row_id: str | None = None
    document: str | None = None
    source: str | None = None
    repetitions: str | None = None

    @property
    def value(self) -> str:
        """The columns of `values`, for messages and details."""
        return joined_names(self.values)

    @property
    def metadata(self) -> list[str]:
        """All columns except those of `values`."""
        return [name for name in (self.row_id, self.document, self.source, self.repetitions) if name is not None]


def joined_names(names: Sequence[str]) -> str:
    """``prompt + completion``: columns whose texts are concatenated."""
    return " + ".join(names)


def has_values(names: Sequence[str]) -> bool:
    """Whether columns of these names are rows of text, tokens or chats, by the names alone."""
    known = not {*VALUE_COLUMNS, *CHAT_COLUMNS}.isdisjoint(names)
    return known or any(set(columns) <= set(names) for columns in ANSWER_COLUMNS)


def pick_values(names: list[str], column: str | None, where: object) -> tuple[str, ...]:
    """The columns to read, of which several are one text: `column`, or the first known one or ones that exist.

    Args:
        column: a name, or several joined by +, such as question+answer.

    Raises:
        CorpusError: `column` does not exist, or it is None and no column has a known name.
    """
    if column is not None:
        return _named_columns(names, column, where)
    for known in [*((name,) for name in (*VALUE_COLUMNS, *CHAT_COLUMNS)), *ANSWER_COLUMNS]:
        if set(known) <= set(names):
            has_input = known == INSTRUCTION_COLUMNS and INPUT_COLUMN in names
            return (known[0], INPUT_COLUMN, known[1]) if has_input else known
    pairs = ", ".join(" and ".join(pair) for pair in ANSWER_COLUMNS)
    raise CorpusError(
        f"{where} has none of the columns {', '.join((*VALUE_COLUMNS, *CHAT_COLUMNS))}, and not both of {pairs}; "
        f"it has: {', '.join(names)}; name the one with text or tokens: --column."
    )


def _named_columns(names: list[str], column: str, where: object) -> tuple[str, ...]:
    chosen = (column,) if column in names else tuple(column.split("+"))
    for name in chosen:
        if name not in names:
            raise CorpusError(
                f"{where} has no column {name!r}.{did_you_mean(name, names)} "
                f"It has: {', '.join(names)}; name one: --column."
            )
    return chosen
