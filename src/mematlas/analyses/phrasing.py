"""Formatting of differences, counts and lists for the sentences of findings, and the choice of their headlines."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mematlas.stats.hypotheses.label_shuffles import SHUFFLES

if TYPE_CHECKING:
    from mematlas.analyses.trend_tests import Verdict


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


def shorten_list(parts: Sequence[str], most: int = 3) -> str:
    """The parts, of more than `most` the first and the last alone: a, ..., z."""
    return ", ".join(parts if len(parts) <= most else [parts[0], "...", parts[-1]])


def shuffled_sentence(model: str, labels: str) -> str:
    """The sentence that introduces numbers of shuffled labels; labels: "classes", or "levels"."""
    return (
        f"With the {labels} shuffled among the training rows of {model}, {SHUFFLES} times, numbers are means, with "
        "intervals of 95 % of the shuffles."
    )


def capitalized(text: str) -> str:
    """The text with its first letter in upper case, as a sentence begins."""
    return text[:1].upper() + text[1:]


def format_count(number: int, noun: str = "row") -> str:
    """Format a number of things: 1 row, or 1,234 rows."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def format_sizes(numbers: Sequence[int], noun: str = "row") -> str:
    """Format how many things each of several groups has: 200 rows where they agree, else 200 and 150 rows."""
    if len(set(numbers)) == 1:
        return format_count(numbers[0], noun)
    return f"{join_with_and([f'{number:,}' for number in numbers])} {noun}s"


def verb(number: int, plural: str) -> str:
    """The form of a regular verb after a number of things: 1 rises, 2 rise."""
    return plural + "s" * (number == 1)


def format_bounds(lower: float | None, upper: float | None, spec: str = "+.3f") -> str:
    """Format an interval in brackets, for a sentence that says the estimate: (+0.012 to +0.034)."""
    return "(no interval)" if lower is None or upper is None else f"({lower:{spec}} to {upper:{spec}})"


def format_points(record: Mapping[str, Any], name: str) -> str:
    """Format a difference of shares with its interval, in percentage points: +1.2 percentage points (+0.3 to +2.1)."""
    lower, upper = (None if record[end] is None else 100 * record[end] for end in (f"{name}_lower", f"{name}_upper"))
    return f"{100 * record[name]:+.1f} percentage points {format_bounds(lower, upper, '+.1f')}"


def by_verdict(verdict: "Verdict", shows: str, contradicts: str, unclear: str) -> str:
    """The headline for the verdict on a direction."""
    return {"shows": shows, "contradicts": contradicts, "cannot tell": unclear}[verdict]


def by_interval(
    lower: float | None, upper: float | None, above: str, below: str, unclear: str, *, value: float = 0.0
) -> str:
    """The headline for where an interval lies: above `value`, below it, or, unclear, around it or unknown."""
    if lower is None or upper is None:
        return unclear
    return above if lower > value else below if upper < value else unclear
