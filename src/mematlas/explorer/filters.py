"""A request's filters, read from its address: typed fields only, never an expression, so that nothing can be run.

FIELD=VALUE for choices (repeated: any of them) and texts (a part of it), FIELD_min and FIELD_max, both inclusive, for
numbers. A row whose field is not known passes no filter on it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.errors import OptionError, abbreviate, did_you_mean
from mematlas.explorer.fields import Field
from mematlas.explorer.lines import Lines, View
from mematlas.types import reference_cell

DEFAULT_LIMIT: Final = 50  # rows of a page
MAX_LIMIT: Final = 1000
MAX_SEARCH: Final = 1000  # characters
_VIEW: Final = ("model", "context", "continuation", "compare")
_OTHERS: Final = ("search", "sort", "descending", "offset", "limit", "format")

#: The parameters of an address: name -> its values, in their order.
Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a field. values: of a choice, any of them, or a part of a text; low, high: inclusive."""

    field: Field
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows, in which order: those that pass every filter and contain the text `search`, sorted by `sort`.

    Rows that are equal in `sort`, and all without it, are in the order of the table of rows; unknown values come last.
    """

    view: View
    filters: tuple[Filter, ...] = ()
    search: str = ""
    sort: str | None = None
    descending: bool = False


def read_query(parameters: Parameters, lines: Lines, fields: Mapping[str, Field]) -> Query:
    """The query of an address.

    Raises:
        OptionError: a name is unknown, a value is not of the field's type, or the study does not have the field.
    """
    known = [*_VIEW, *_OTHERS]
    for field in fields.values():
        known += [field.name] if field.type in ("choice", "text") else [f"{field.name}_min", f"{field.name}_max"]
    for name in parameters:
        if name not in known:
            raise OptionError(f"No filter is called {abbreviate(name)}.{did_you_mean(name, known)} See /api/study.")
    view = read_view(parameters, lines)
    search = single(parameters, "search") or ""
    if len(search) > MAX_SEARCH:
        raise OptionError(f"search has {len(search)} characters; give at most {MAX_SEARCH}.")
    filters = [_filter(field, parameters) for field in fields.values()]
    used = tuple(chosen for chosen in filters if chosen is not None)
    sort = single(parameters, "sort")
    if sort is not None and sort not in fields:
        raise OptionError(f"sort: no field is called {abbreviate(sort)}.{did_you_mean(sort, fields)}")
    for field in [*(chosen.field for chosen in used), *([fields[sort]] if sort else [])]:
        _check_available(field, view)
    descending = number(parameters, "descending", 0, 1) or 0
    return Query(view, used, search, sort, bool(descending))


def _check_available(field: Field, view: View) -> None:
    if field.unavailable is not None:
        raise OptionError(f"{field.name}: {field.unavailable}.")
    if field.name == "change" and view.compare is None:
        raise OptionError("change needs a second model; name it with compare=MODEL.")


def read_view(parameters: Parameters, lines: Lines) -> View:
    """The model and cell of an address, by default the largest model at the cell nearest to 32 + 32.

    Raises:
        OptionError: the study does not have them.
    """
    default = default_view(lines)
    labels = [model["label"] for model in lines.models]
    model, compare = single(parameters, "model") or default.model, single(parameters, "compare")
    for name, label in (("model", model), ("compare", compare)):
        if label is not None and label not in labels:
            raise OptionError(f"{name}: the study has no model {abbreviate(label)}.{did_you_mean(label, labels)}")
    cell = []
    for name, lengths in (("context", lines.grid.contexts), ("continuation", lines.grid.continuations)):
        length = number(parameters, name, 0, 2**31)
        length = getattr(default, name) if length is None else length
        if length not in lengths:
            raise OptionError(f"{name} {length} was not scored; give one of {', '.join(map(str, lengths))}.")
        cell.append(length)
    return View(model, cell[0], cell[1], compare)


def default_view(lines: Lines) -> View:
    """The largest model of the family, the last of its size, at the cell nearest to 32 + 32."""
    family = [model for model in lines.models if not model["is_control"]] or lines.models
    largest = max(model["parameters"] or 0 for model in family)
    chosen = [model["label"] for model in family if (model["parameters"] or 0) == largest]
    return View(chosen[-1], *reference_cell(lines.grid.contexts, lines.grid.continuations))


def _filter(field: Field, parameters: Parameters) -> Filter | None:
    """The condition on a field, None without any. An empty value is none: forms send those."""
    if field.type == "text":
        part = single(parameters, field.name)
        return Filter(field, (part,)) if part else None
    if field.type == "choice":
        values = tuple(value for value in parameters.get(field.name, ()) if value)
        for value in values:
            if value not in (field.choices or ()):
                choices = ", ".join((field.choices or ())[:10])
                raise OptionError(f"{field.name}: {abbreviate(value)} is not one of {choices}.")
        return Filter(field, values) if values else None
    read = number if field.type == "integer" else _real
    low, high = read(parameters, f"{field.name}_min"), read(parameters, f"{field.name}_max")
    return None if low is None and high is None else Filter(field, (), low, high)


def single(parameters: Parameters, name: str) -> str | None:
    """The value of a parameter that may be given once; None if it is absent or empty."""
    values = parameters.get(name, ())
    if len(values) > 1:
        raise OptionError(f"{name} is given {len(values)} times; give it once.")
    return values[0] if values and values[0] else None


def number(parameters: Parameters, name: str, low: int = -(2**63), high: int = 2**63 - 1) -> int | None:
    """The whole number of a parameter, None if it is absent."""
    text = single(parameters, name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and low <= int(text) <= high):
        allowed = f"from {low} to {high}" if (low, high) != (-(2**63), 2**63 - 1) else "of 64 bits"
        raise OptionError(f"{name}: {abbreviate(text)} is not a whole number {allowed}.")
    return int(text)


def _real(parameters: Parameters, name: str) -> float | None:
    text = single(parameters, name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise OptionError(f"{name}: {abbreviate(text)} is not a number.")
    return value


def condition(chosen: Filter, column: pl.Series) -> pl.Expr:
    """The polars expression of a filter; column: the whole column of its field."""
    value: Any = pl.col(chosen.field.name)
    if chosen.field.type == "text":
        names = column.unique().drop_nulls()
        part = chosen.values[0].lower()
        return value.is_in(
            names.filter(names.cast(pl.String).str.to_lowercase().str.contains(part, literal=True)).implode()
        )
    if chosen.field.name == "recited":
        return value.is_in([answer == "yes" for answer in chosen.values])
    if chosen.field.type == "choice":
        return value.is_in(pl.Series(chosen.values).cast(column.dtype).implode())
    bounds = [(value >= _as(chosen.low, column)) if chosen.low is not None else None]
    bounds += [(value <= _as(chosen.high, column)) if chosen.high is not None else None]
    return pl.all_horizontal(bound for bound in bounds if bound is not None)


def _as(value: float | None, column: pl.Series) -> pl.Expr:
    """A bound in the column's own precision: 0.1 includes the 32-bit number that is shown as 0.1."""
    return pl.lit(value, pl.Int64 if column.dtype.is_integer() else column.dtype)
