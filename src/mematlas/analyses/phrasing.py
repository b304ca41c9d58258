"""Differences in words."""

from collections.abc import Mapping, Sequence
from typing import Any


def signed(value: float) -> str:
    """A difference for a sentence: +1,234 or -0.0123."""
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def difference_of(line: Mapping[str, Any], name: str = "difference") -> str:
    """The number `name` of a line with its interval, for a sentence."""
    lower, upper = line[f"{name}_lower"], line[f"{name}_upper"]
    ends = "no interval" if lower is None or upper is None else f"95 % interval {signed(lower)} to {signed(upper)}"
    return f"{signed(line[name])} ({ends})"


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
