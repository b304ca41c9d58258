"""Tables and numbers on standard output: plain ones, readable in pipes and narrow terminals, or with --json as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.errors import StudyError

#: The option of every command that prints a table: it prints one JSON document instead, and nothing else.
Json = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print one JSON object instead; null is what was not measured.")
]


def print_json(document: object) -> None:
    """Print records, frames, paths and numbers as JSON; what is not a number (NaN, infinite) is null.

    All characters beyond ASCII are escaped, so that no text of a corpus reaches the terminal as it is.
    """
    print(json.dumps(_plain(document), allow_nan=False, indent=1))


def _plain(value: Any) -> Any:
    """`value` in the types of JSON; a dataclass is an object of its fields, a frame a list of its records."""
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, PathLike):
        return str(value)
    for convert in ("to_dicts", "tolist"):  # a frame of polars; an array or a number of numpy
        if hasattr(value, convert):
            return _plain(getattr(value, convert)())
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns of text; the first is left-aligned, the others are right-aligned."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for number, row in enumerate(table):
        cells = [
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def percent(share: float | None) -> str:
    """A share in percent, or a dash if it is unknown."""
    return "-" if share is None else f"{100 * share:.1f} %"


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` decimals, or a dash if it is unknown."""
    return "-" if value is None else f"{value:.{digits}f}"


def count(value: int | None) -> str:
    """A count with a unit, such as 1.8 M, or a dash if it is unknown."""
    if value is None:
        return "-"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value)


def size(count: float) -> str:
    """Bytes in the largest unit that gives a number of at least 1, such as 1.8 GB."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def significant(value: float) -> str:
    """A number with two or more significant digits: 0.41, 16.2, 1,934."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def write_new(path: Path, text: str, other: str) -> None:
    """Write a file that does not exist yet; other: what to name instead of it.

    Raises:
        StudyError: it exists, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StudyError(f"{path} already exists and is not overwritten; name another {other}.") from None
    except OSError as error:
        raise StudyError(f"{path} cannot be written ({error.strerror}); name another {other}.") from None
