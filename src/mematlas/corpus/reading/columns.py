"""Chooses the columns of a table, or the keys of JSON lines, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mematlas.errors import CorpusError
from mematlas.registry import did_you_mean

TOKEN_COLUMNS = ("tokens", "token_ids", "input_ids", "Tokens")
VALUE_COLUMNS = (*TOKEN_COLUMNS, "text", "content")
PROMPT_COLUMNS = ("prompt", "completion")  # together one text, as trainers of TRL read them
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
    return not {*VALUE_COLUMNS, *CHAT_COLUMNS}.isdisjoint(names) or set(PROMPT_COLUMNS) <= set(names)


def pick_values(names: list[str], column: str | None, where: object) -> tuple[str, ...]:
    """`column`, or the first of VALUE_COLUMNS that exists, or PROMPT_COLUMNS, whose texts are to be concatenated.

    Raises:
        CorpusError: `column` does not exist, or it is None and no column has a known name.
    """
    if column is not None and column not in names:
        raise CorpusError(
            f"{where} has no column {column!r}.{did_you_mean(column, names)} "
            f"It has: {', '.join(names)}; name one: --column."
        )
    if column is not None:
        return (column,)
    for known in [*((name,) for name in VALUE_COLUMNS), PROMPT_COLUMNS]:
        if set(known) <= set(names):
            return known
    chats = [name for name in CHAT_COLUMNS if name in names]
    if chats:
        raise chat_error(where, chats[0])
    raise CorpusError(
        f"{where} has none of the columns {', '.join(VALUE_COLUMNS)}, and not both {' and '.join(PROMPT_COLUMNS)}; "
        f"it has: {', '.join(names)}; name the one with text or tokens: --column."
    )


def is_chat(value: Any) -> bool:
    """Whether `value` is a list of messages, such as ``[{"role": "user", "content": "Hello"}]``."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def chat_error(where: object, name: str) -> CorpusError:
    """The error for a column of chats, whose text depends on the model's chat template."""
    return CorpusError(
        f"{where} has chats in the column {name!r}, which become text only by a model's chat template; render them "
        f"into a text column: text = tokenizer.apply_chat_template({name}, tokenize=False)."
    )
