"""Token rows out of what trainers hold: datasets with `input_ids`, arrays, tensors, lists of token ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mematlas.errors import CorpusError, OptionError
from mematlas.types import Ids, TokenRows

IDS: Final = "input_ids"
MASK: Final = "attention_mask"


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Rows that are long enough to be measured.

    tokens: one array of token ids per row, whole and without padding; index: [n], their places in what was given,
    ascending; short: rows that were looked at and left out because they have too few tokens.
    """

    tokens: tuple[Ids, ...]
    index: Ids
    short: int = 0

    def starts(self, width: int) -> TokenRows:
        """The first `width` tokens of every row; no row may be shorter."""
        return TokenRows(np.stack([row[:width] for row in self.tokens]), np.full(len(self.tokens), width))

    def short_rows_line(self, needed: int) -> str:
        """A sentence that says how many rows are not measured."""
        total = len(self.index) + self.short
        return f"{self.short:,} of {total:,} rows have fewer than {needed} tokens and are not measured."


def choose_rows(given: Any, needed: int, max_rows: int | None, name: str) -> ChosenRows:
    """Rows of at least `needed` tokens: all, or `max_rows` drawn without replacement (seed 0), in their order.

    Args:
        given: a dataset or a dictionary with `input_ids` (and `attention_mask`, by which padding is cut off), a 2-D
            array or tensor, or a sequence of rows, each of them token ids or a dictionary with `input_ids`.
        name: what it is called, for messages: "rows", "control".

    Raises:
        OptionError: it has no length, or is text.
        CorpusError: it is empty, holds no token ids, or all rows are shorter.
    """
    items = _as_sequence(given, name)
    total = len(items)
    if not total:
        raise CorpusError(f"{name} has no row; give at least one row of token ids.")
    order = np.arange(total) if max_rows is None or max_rows >= total else np.random.default_rng(0).permutation(total)
    found: dict[int, Ids] = {}
    short = longest = 0
    for place in order:
        row = _token_ids(items[int(place)], name)
        longest = max(longest, len(row))
        if len(row) >= needed:
            found[int(place)] = row
        else:
            short += 1
        if len(found) == max_rows:
            break
    if not found:
        raise CorpusError(
            f"{name} has {total:,} rows of at most {longest} tokens, but context and continuation need {needed}; "
            "choose a shorter context or continuation, or longer rows."
        )
    places = sorted(found)
    return ChosenRows(tuple(found[place] for place in places), np.array(places), short)


def _as_sequence(given: Any, name: str) -> Sequence[Any]:
    """What was given, as something with a length and items."""
    if isinstance(given, str | bytes):
        raise OptionError(f"{name}={given!r} is text; give rows of token ids, such as tokenizer(texts)['input_ids'].")
    if hasattr(given, "select_columns"):  # datasets.Dataset: only the needed columns are read
        names = given.column_names
        if IDS not in (names or ()):
            raise _no_ids(name, f"its columns are {', '.join(names or ())}")
        if not hasattr(given, "__len__"):
            raise _no_length(name)
        return given.select_columns([column for column in (IDS, MASK) if column in names])
    if isinstance(given, Mapping) or hasattr(given, "keys"):
        return _Columns(given, name)
    if not hasattr(given, "__len__") or not hasattr(given, "__getitem__"):
        raise _no_length(name)
    return given


class _Columns(Sequence[Any]):
    """The rows of a dictionary of columns, such as a tokenizer returns."""

    def __init__(self, columns: Any, name: str) -> None:
        if IDS not in columns:
            raise _no_ids(name, f"its keys are {', '.join(map(str, columns))}")
        self._columns = {column: columns[column] for column in (IDS, MASK) if column in columns}

    def __len__(self) -> int:
        return len(self._columns[IDS])

    def __getitem__(self, place: Any) -> Any:
        return {column: values[place] for column, values in self._columns.items()}

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))


def _token_ids(item: Any, name: str) -> Ids:
    """The token ids of one row [n], without padding."""
    mask = None
    if isinstance(item, Mapping) or hasattr(item, "keys"):
        if IDS not in item:
            raise _no_ids(name, f"a row has {', '.join(map(str, item))}")
        item, mask = item[IDS], item.get(MASK)
    if isinstance(item, str):
        raise OptionError(f"{name} holds texts; give rows of token ids, such as tokenizer(texts)['input_ids'].")
    ids = _on_cpu(item)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise CorpusError(
            f"A row of {name} has the shape {ids.shape} and type {ids.dtype}, but rows are lists of token ids."
        )
    ids = ids.astype(np.int64)
    return ids if mask is None else ids[_on_cpu(mask).astype(bool)]


def _on_cpu(values: Any) -> np.ndarray[Any, Any]:
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values)


def _no_ids(name: str, reason: str) -> CorpusError:
    return CorpusError(f"{name} has no {IDS} ({reason}); give tokenized rows, or a dataset that has this column.")


def _no_length(name: str) -> OptionError:
    return OptionError(
        f"{name} has no length (a stream?), so that no rows can be chosen from it; give some rows of token ids: "
        f"{name}=[[12, 7, ...], ...]."
    )
