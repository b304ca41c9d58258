"""Formatting of differences and lists for the sentences of findings."""

from collections.abc import Mapping, Sequence
from typing import Any


def format_signed(value: float) -> str:
    """Format a difference for a sentence: +1,234 or -0.0123."""
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def format_difference(record: Mapping[str, Any], name: str = "difference") -> str:
    """Format the number `name` of a record with its interval, for a sentence."""
    lower, upper = record[f"{name}_lower"], record[f"{name}_upper"]
    interval = (
        "no interval"
        if lower is None or upper is None
        else f"95 % interval {format_signed(lower)} to {format_signed(upper)}"
    )
    return f"{format_signed(record[name])} ({interval})"


def join_with_and(parts: Sequence[str]) -> str:
    """Join words as in "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
