"""Numbers as people write them: 674k, 1.84M, 12B; no exponents."""

from typing import Final

import altair as alt
import polars as pl

#: A Vega expression that shortens the numbers of an axis in the same way.
SHORT_NUMBER_LABEL: Final = "replace(format(datum.value, '.3~s'), 'G', 'B')"
LARGE: Final = 1_000_000  # up to here, numbers are written out
_UNITS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def short_number(value: float) -> str:
    """A number with three significant digits: 674k, 1.84M, 12B, 0.5."""
    for size, unit in _UNITS:
        if round(abs(value) / size, 4) >= 1:
            scaled = float(f"{value / size:.3g}")
            return f"{scaled:g}{unit}"
    return f"{value:.3g}"


def tooltip(frame: pl.DataFrame, column: str, title: str, *, share: bool = False) -> alt.Tooltip:
    """The tooltip's line for a column: text as it is, numbers in full with four digits, large ones shortened."""
    dtype = frame.schema[column]
    if not dtype.is_numeric():
        return alt.Tooltip(field=column, type="nominal", title=title)
    if share:
        return alt.Tooltip(field=column, type="quantitative", title=title, format=".1%")
    if f"{column}{WRITTEN}" in frame.columns:
        return alt.Tooltip(field=f"{column}{WRITTEN}", type="nominal", title=title)
    number_format = ",d" if dtype.is_integer() else ",.4~r"
    return alt.Tooltip(field=column, type="quantitative", title=title, format=number_format)


WRITTEN: Final = " written"  # ends the name of a column with the numbers of another as text


def with_written_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with one more column for each column of large numbers, other than row ids: the numbers as text."""
    large = [
        name
        for name, dtype in frame.schema.items()
        if dtype.is_numeric() and name != "row" and (frame[name].abs().max() or 0) >= LARGE  # type: ignore[operator]
    ]
    written = (frame[name].map_elements(short_number, pl.String).alias(f"{name}{WRITTEN}") for name in large)
    return frame.with_columns(*written)
